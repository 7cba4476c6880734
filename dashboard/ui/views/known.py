"""Typed state of the known-or-unknown page <-> session and address bar. With `state.py`, one of the places where keys are spelt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import streamlit as st

from dashboard.analysis.methods.known.results import PREVIEW, StudySettings
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts.clicks import _row
from dashboard.ui.parts.sae_sources import SourceKeys
from dashboard.ui.shell import address
from dashboard.ui.shell.tab import has_acted, note_change

TYPES, WAY, EXTENT, UPLOADS, RUN, REMOVE = (
    "known_types", "known_way", "known_extent", "known_uploads", "known_run", "known_remove",
)  # fmt: skip
SOURCES = SourceKeys("known_releases", "known_layers", "known_points")
K, R, KNOWN_AT, CHAT, TEMPLATE, MOST, SEED = (
    "known_k", "known_r", "known_at", "known_chat", "known_template", "known_most", "known_seed",
)  # fmt: skip
STUDY, KIND, SPLIT, SAE, CHOSEN, ENTITY, TAB = (
    "known_study", "known_kind", "known_split", "known_sae", "known_chosen", "known_entity", "known_tab",
)  # fmt: skip
SCATTER, BARS, NORMS, STRIP, TEXTS, OPEN = (
    "known_scatter", "known_bars", "known_norms", "known_strip", "known_texts", "known_open",
)  # fmt: skip
ANSWERS, FIND, DETECTORS, SIDE, CONDITIONS = (
    "known_answers", "known_find", "known_detectors", "known_side", "known_conditions",
)  # fmt: skip
PREVIEWED, WHOLE = "Preview", "Whole"
ANY_SAE = "all SAEs"
ALL = "all types"
SPLITS = {"test": Split.TEST, "train": Split.TRAIN, "all": None}
TABS = ("Latents", "Layers", "Entities", "Questions", "Causality", "Uncertainty", "Report")
_VIEW, _OPEN, _EDITION = "known:view", "known:open", "known:edition"
"""What no widget may be called: its value would take the place of ours."""
_BAR = address.Bar("known")


@dataclass(frozen=True)
class KnownState:
    """What is shown of a study: all that a link needs."""

    study: str = ""
    """Key; empty for the newest."""
    kind: str = ALL
    split: str = "test"
    sae: str = ANY_SAE
    chosen: str = ""
    """A latent; empty for the best of the type."""
    entity: str = ""
    """TYPE/NAME; empty for none."""
    tab: str = TABS[0]
    causality: str = ""
    """Key of what is shown of it; empty for the newest."""
    uncertainty: str = ""


def known_state() -> KnownState:
    """The state of this tab."""
    return st.session_state[_VIEW]


def take(view: KnownState) -> None:
    """Show this: widgets follow."""
    kept = st.session_state
    kept[_VIEW] = view
    kept[KIND], kept[SPLIT], kept[SAE], kept[TAB] = view.kind, view.split, view.sae, view.tab
    if view.study:
        kept[STUDY] = view.study
    if view.chosen:
        kept[CHOSEN] = view.chosen


def change(**new: Any) -> None:
    """Callback: show something else of the study."""
    note_change()
    take(replace(known_state(), **new))


def change_next(**new: Any) -> NoReturn:
    """Show something else of the study in the next run, which begins at once: for the body of a page, where widgets stand already."""
    note_change()
    st.session_state[_VIEW] = replace(known_state(), **new)
    st.rerun()


def follow(key: str, field: str) -> None:
    """Callback of a widget: what it says is shown."""
    change(**{field: st.session_state[key] or getattr(KnownState, field)})


def show_study(key: str) -> None:
    """Show a study from its best latent on."""
    change(study=key, chosen="", entity="", causality="", uncertainty="")


def follow_study() -> None:
    """Callback of the box of studies: a latent that both have stays chosen."""
    change(study=st.session_state[STUDY], causality="", uncertainty="")


def take_part(name: str, key: str) -> str:
    """The key of the box of kept parts, which says this one."""
    st.session_state[f"known_{name}_box"] = key
    return f"known_{name}_box"


def open_url() -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong, for people.

    Where the tab comes from another page, an address that says nothing leaves everything as it was.
    """
    kept, url = st.session_state, address.read()
    is_same = _BAR.stands(url, acted=has_acted()) or (address.arrived() and not url)
    if is_same and _VIEW in kept:
        take(kept[_VIEW])
        return _BAR.problems()
    problems: list[str] = []

    def choice(name: str, choices: Sequence[str], otherwise: str) -> str:
        text = url.get(name, [otherwise])[-1]
        if text not in choices:
            problems.append(f"{name}={text[:20]!r} is none of {', '.join(choices)}.")
            return otherwise
        return text

    def said(name: str, otherwise: str) -> str:
        return url.get(name, [otherwise])[-1][:400]

    names = (said("study", ""), said("type", ALL), choice("split", [*SPLITS], "test"), said("sae", ANY_SAE), said("chosen", ""))
    take(KnownState(*names, said("entity", ""), choice("tab", TABS, TABS[0]), said("causality", ""), said("uncertainty", "")))
    return _BAR.took(url, problems)


def write_url(view: KnownState) -> None:
    """Make the address bar say what is on the screen."""
    url = {"study": [view.study], "type": [view.kind], "chosen": [view.chosen]}
    for name in ("split", "sae", "entity", "tab", "causality", "uncertainty"):
        if (value := getattr(view, name)) != getattr(KnownState, name):
            url[name] = [value]
    _BAR.say(url)


def first_choices(kinds: Sequence[str]) -> None:
    """What the boxes of a new study say before anybody has touched them."""
    kept, own = st.session_state, PREVIEW
    standard: dict[str, Any] = {
        TYPES: [*kinds], WAY: own.way.value, EXTENT: PREVIEWED, SOURCES.releases: [], SOURCES.layers: [], SOURCES.points: [],
        K: own.rule.k, R: own.rule.r, KNOWN_AT: own.rule.known_at, CHAT: False, TEMPLATE: "", MOST: 0, SEED: own.seed,
    }  # fmt: skip
    for key, value in standard.items():
        kept.setdefault(key, value)
    kept[TYPES] = [name for name in kept[TYPES] if name in kinds]


def asked_settings() -> StudySettings:
    """What the boxes say of a new study.

    Raises:
        BadAsk: naming what cannot be.
    """
    kept = st.session_state
    rule = KnowledgeRule(int(kept[K]), int(kept[R]), int(kept[KNOWN_AT]))
    own = PREVIEW if kept[EXTENT] == PREVIEWED else StudySettings()
    return replace(
        own,
        way=LabelWay(kept[WAY]),
        rule=rule,
        chat=bool(kept[CHAT]),
        template=str(kept[TEMPLATE]).strip(),
        most_entities=int(kept[MOST]) or own.most_entities,
        seed=int(kept[SEED]),
    )


def is_preview() -> bool:
    """Whether few SAEs are taken."""
    return st.session_state[EXTENT] == PREVIEWED


def pick_point(key: str, field: str = "chosen") -> None:
    """Callback of a figure: what was clicked is chosen; a latent is opened too."""
    event = st.session_state.get(key)
    points = event["selection"]["points"] if event else []
    found = next((str(row[0]) for point in points if (row := _row(point.get("customdata")))), "")
    if found:
        change(**{field: found})
        if field == "chosen":
            ask_to_open(LatentId.parse(found))


def pick_shown(key: str) -> None:
    """Callback of a figure of the chosen latent: a click opens it."""
    event = st.session_state.get(key)
    if event and event["selection"]["points"]:
        note_change()
        ask_to_open(LatentId.parse(known_state().chosen))


def pick_row(key: str, latents: Sequence[str]) -> None:
    """Callback of a table of latents: the row is chosen."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        change(chosen=latents[rows[0]])


def ask_to_open(latent: LatentId, text: str = "") -> None:
    """Callback: go to the page of a latent, with a text to test it on."""
    st.session_state[_OPEN] = (str(latent), text)


def to_open() -> tuple[LatentId, Prompt | None] | None:
    """A latent whose page was asked for, and a text; asking forgets it."""
    if (found := st.session_state.pop(_OPEN, None)) is None:
        return None
    return LatentId.parse(found[0]), Prompt(found[1]) if found[1] else None


def edition() -> int:
    """Counts what was overruled or brought in this tab: editors and boxes for files begin anew with each."""
    return st.session_state.get(_EDITION, 0)


def uploads() -> str:
    """The key of the box for files: an empty one once they were taken."""
    return f"{UPLOADS}_{edition()}"


def next_edition() -> None:
    """Editors and boxes for files are to begin anew."""
    st.session_state[_EDITION] = edition() + 1


ALL = "all types"
"""What stands for every type together, where one can be chosen."""
