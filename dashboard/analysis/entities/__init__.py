"""Entities by type: names, what is true of them, how a model is asked, and how its answers are graded."""
