"""What is known of every latent: built once, looked up fast."""
