"""What the model is disposed to say after each token, layer by layer."""
