"""What people keep: names, lists, vectors."""
