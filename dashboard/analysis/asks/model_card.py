"""Answers of a Runner: frozen, plain numpy, with their units."""

from dataclasses import dataclass
from pathlib import Path

from dashboard.analysis.names import ModelId


@dataclass(frozen=True)
class ModelCard:
    """What is loaded, and how it computes."""

    model: ModelId
    path: Path
    """The Hugging Face folder that it was loaded from."""
    device: str
    dtype: str
    n_layers: int
    d_model: int
    max_tokens: int
