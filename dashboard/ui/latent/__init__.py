"""Panels of the latent page."""
