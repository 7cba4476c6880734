"""What pages share and only pages use."""
