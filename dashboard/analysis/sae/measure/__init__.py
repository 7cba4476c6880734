"""How good an SAE is."""
