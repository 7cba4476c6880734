"""Latents that fire on entities the model knows, and on those it does not."""
