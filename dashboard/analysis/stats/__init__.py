"""Statistics and text measures that know neither a model nor a capability."""
