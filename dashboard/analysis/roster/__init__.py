"""Which models there are, by name."""
