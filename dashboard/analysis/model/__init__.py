"""The language model: getting it, loading it, reading and editing its sites."""
