"""Finding latents by a text or by a word."""
