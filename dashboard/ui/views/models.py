"""What the page Models and SAEs shows. None of it is in the address: all of it belongs to this machine."""

from dataclasses import dataclass
from typing import Any

from dashboard.analysis.model.sizing import ModelSize
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import View, local


@dataclass(frozen=True)
class ModelsView(View):
    """What the boxes say."""

    given: str = local("")
    """A Hugging Face name or a folder."""
    family: str | None = local(None)
    """A suite of SAEs whose model is meant."""
    query: str | None = local(None)
    """Words that are looked for in the directory of public SAEs; None until words are entered."""
    only_own: bool = local(True)
    """SAEs of other models are not listed."""


PAGE = Page("models", "app_pages/models.py", ModelsView, lambda catalog: ModelsView())


def begin() -> None:
    """Give the page its view on first open."""
    if not PAGE.is_open:
        PAGE.take(ModelsView())


def looked() -> tuple[str, ModelSize] | None:
    """The model that was looked at: as it was given, and its size."""
    return PAGE.recall("looked")


def keep_looked(given: str, size: ModelSize | None) -> None:
    """Remember what was looked at; without a size, forget it."""
    PAGE.remember("looked", None if size is None else (given, size))


def row_of(widget: str) -> int | None:
    """The row that is selected in a table."""
    event: Any = PAGE.held(widget)
    rows = event["selection"]["rows"] if event else []
    return rows[0] if rows else None


def take_family(title: str | None, model: str) -> None:
    """Take a suite: its model goes into the box."""
    PAGE.change(family=title, given=model or PAGE.view.given)
    keep_looked("", None)
