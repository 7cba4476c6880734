"""Inputs and panels of the search page."""
