"""What fires on each token of a text."""
