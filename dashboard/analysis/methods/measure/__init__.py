"""How good dictionaries are: what they keep of the model, and how far they split and absorb a concept."""
