"""Opening an installation, bringing a model or SAE into it, checking it."""
