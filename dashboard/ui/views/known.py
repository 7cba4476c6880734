"""What the known-or-unknown page shows, and what a new study is to be made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import streamlit as st

from dashboard.analysis.methods.known.results import PREVIEW, StudySettings
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts.clicks import _row
from dashboard.ui.parts.sae_sources import Sources
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import View, choice, local, short_text

PREVIEWED, WHOLE = "Preview", "Whole"
ANY_SAE = "all SAEs"
ALL = "all types"
"""What stands for every type together, where one can be chosen."""
SPLITS = {"test": Split.TEST, "train": Split.TRAIN, "all": None}
TABS = ("Latents", "Layers", "Entities", "Questions", "Causality", "Uncertainty", "Report")


@dataclass(frozen=True, kw_only=True)
class KnownView(View):
    """What is shown of a study, all that a link needs; and the inputs of a new one, which are the tab's alone."""

    study: str = short_text("study", always=True)
    """Key; empty for the newest."""
    kind: str = short_text("type", ALL, always=True)
    chosen: str = short_text("chosen", always=True)
    """A latent; empty for the best of the type."""
    split: str = choice("split", "test", [*SPLITS])
    sae: str = short_text("sae", ANY_SAE)
    entity: str = short_text("entity")
    """TYPE/NAME; empty for none."""
    tab: str = choice("tab", TABS[0], TABS)
    causality: str = short_text("causality")
    """Key of what is shown of it; empty for the newest."""
    uncertainty: str = short_text("uncertainty")

    types: tuple[str, ...] | None = local(None)
    """Types of entities of a new study; None for all there are."""
    way: LabelWay = local()
    k: int = local()
    r: int = local()
    known_at: int = local()
    chat: bool = local(False)
    template: str = local("")
    most: int = local(0)
    """Entities of each type; 0 for all."""
    seed: int = local()
    is_preview: bool = local(True)
    """Few SAEs are taken."""
    releases: tuple[str, ...] = local(())
    layers: tuple[int, ...] = local(())
    points: tuple[str, ...] = local(())

    @property
    def sources(self) -> Sources:
        """The SAEs of a new study; empty for all."""
        return Sources(self.releases, self.layers, self.points)

    def types_of(self, kinds: Sequence[str]) -> list[str]:
        """The types of a new study, of those that there are."""
        return [name for name in (kinds if self.types is None else self.types) if name in kinds]

    def settings(self) -> StudySettings:
        """What the inputs say of a new study.

        Raises:
            BadAsk: naming what cannot be.
        """
        own = PREVIEW if self.is_preview else StudySettings()
        rule = KnowledgeRule(self.k, self.r, self.known_at)
        most = self.most or own.most_entities
        template = self.template.strip()
        return replace(own, way=self.way, rule=rule, chat=self.chat, template=template, most_entities=most, seed=self.seed)


def first_look(catalog: Catalog) -> KnownView:
    """The newest study; inputs as of a preview."""
    del catalog
    own = PREVIEW
    return KnownView(way=own.way, k=own.rule.k, r=own.rule.r, known_at=own.rule.known_at, seed=own.seed)


PAGE = Page("known", "app_pages/known_unknown.py", KnownView, first_look)


def change_next(**new: Any) -> NoReturn:
    """Show something else of the study in the next run, which begins at once: for the body of a page, where widgets are already drawn."""
    PAGE.change(**new)
    st.rerun()


def show_study(key: str) -> None:
    """Show a study from its best latent on."""
    PAGE.change(study=key, chosen="", entity="", causality="", uncertainty="")


def pick_point(widget: str, field: str = "chosen") -> None:
    """Callback of a figure: what was clicked is chosen; a latent is opened too."""
    found = next((str(row[0]) for point in _points(widget) if (row := _row(point.get("customdata")))), "")
    if found:
        PAGE.change(**{field: found})
        if field == "chosen":
            ask_to_open(LatentId.parse(found))


def pick_shown(widget: str) -> None:
    """Callback of a figure of the chosen latent: a click opens it."""
    if _points(widget):
        PAGE.touch()
        ask_to_open(LatentId.parse(PAGE.view.chosen))


def pick_row(widget: str, latents: Sequence[str]) -> None:
    """Callback of a table of latents: the row is chosen."""
    if rows := PAGE.held(widget)["selection"]["rows"]:
        PAGE.change(chosen=latents[rows[0]])


def ask_to_open(latent: LatentId, text: str = "") -> None:
    """Callback: go to the page of a latent, with a text to test it on."""
    PAGE.remember("open", (latent, Prompt(text) if text else None))


def to_open() -> tuple[LatentId, Prompt | None] | None:
    """A latent whose page was asked for, and a text; asking forgets it."""
    found = PAGE.recall("open")
    PAGE.remember("open", None)
    return found


def edition() -> int:
    """Counts changes to grades and uploads in this tab: editors and upload boxes are reset with each."""
    return PAGE.recall("edition", 0)


def next_edition() -> None:
    """Reset editors and upload boxes."""
    PAGE.touch()
    PAGE.remember("edition", edition() + 1)


def _points(widget: str) -> list[Any]:
    event = PAGE.held(widget)
    return event["selection"]["points"] if event else []
