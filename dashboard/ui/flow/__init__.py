"""Panels of the flow page."""
