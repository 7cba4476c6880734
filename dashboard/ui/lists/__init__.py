"""Inputs and panels of the lists page."""
