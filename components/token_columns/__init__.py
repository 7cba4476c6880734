"""Tokens that a direction makes likelier and less likely, in two columns, tinted by how much."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import TokenWeight

_mount = declare(Path(__file__).parent)


def token_columns(columns: Sequence[tuple[str, Sequence[TokenWeight]]], *, key: str) -> None:
    """Draw titled columns of tokens, all on one scale: the largest weight of either sign has the full tint."""
    data = [{"title": title, "tokens": [asdict(token) for token in tokens]} for title, tokens in columns]
    _mount(key=key, data={"columns": data})
