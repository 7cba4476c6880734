"""Following a latent through the layers."""
