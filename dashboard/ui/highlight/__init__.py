"""Inputs and panels of the highlight page."""
