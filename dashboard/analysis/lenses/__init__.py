"""Jacobian lenses that were fitted: their file, and where it is looked for."""
