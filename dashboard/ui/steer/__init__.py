"""Inputs and panels of the steer page."""
