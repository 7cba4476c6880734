"""The analysis core: asks, results, methods and the engine that answers. Knows nothing of the screen."""
