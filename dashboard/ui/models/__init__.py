"""Panels of the models page."""
