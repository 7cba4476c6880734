"""Inputs and panels of the known-or-unknown page."""
