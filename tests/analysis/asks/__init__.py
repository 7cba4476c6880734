"""Asks."""
