"""Sparse autoencoders: what there is, loading, the shipped format, training, measuring. The maths is sae-lens'."""
