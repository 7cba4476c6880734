"""Labels, counts and tests of entities."""
