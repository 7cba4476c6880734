"""Steering: comparing plain and steered texts."""
