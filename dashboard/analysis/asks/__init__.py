"""Asks: frozen questions to a model, each with the type of its answer."""
