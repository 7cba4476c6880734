"""Which latents tell two sets of texts apart."""
