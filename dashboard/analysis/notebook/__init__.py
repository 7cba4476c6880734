"""What users save: labels, notes, lists, vectors."""
