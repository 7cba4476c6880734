"""Text to read: corpora, documents, openings, training text."""
