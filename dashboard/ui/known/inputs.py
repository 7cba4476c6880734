"""What a study is to be made of, and which of those that are made is shown."""

from collections import Counter
from pathlib import Path

import streamlit as st

from dashboard.analysis.entities.kinds import EntityKinds
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known import study as known_unknown
from dashboard.analysis.methods.known.statistics.labels import LabelWay
from dashboard.analysis.methods.known.study import StudyHead
from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesAsk, ask_of
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.known import present as present_known
from dashboard.ui.known.own_types import Uploaded, keep_type, remove_type
from dashboard.ui.parts import notices, panel
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.parts.figures import moment
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import added_kinds, get_catalog, get_kinds
from dashboard.ui.views import known
from dashboard.ui.views.known import PAGE


def new_study() -> EntitiesAsk | None:
    """The inputs of a study, and the button that makes it; what is asked for when it is clicked."""
    kinds, catalog = get_kinds(), get_catalog()
    view = PAGE.view
    n_called = Counter(kind.title for kind in kinds.kinds.values())
    # Two choices that read alike are one to the browser.
    titles = {name: kind.title if n_called[kind.title] == 1 else f"{kind.title} ({name})" for name, kind in kinds.kinds.items()}
    types = PAGE.widget("types", view.types_of(list(titles)), lambda names: PAGE.change(types=tuple(names)))
    st.pills("Types of entities", list(titles), format_func=lambda name: titles[name], selection_mode="multi", **types)
    first, second, third = st.columns([4, 3, 3], vertical_alignment="bottom")
    first.segmented_control(
        "Labels", [*LabelWay], format_func=present_known.WAYS.__getitem__, required=True, help=TERMS["labels"], **PAGE.bind("way")
    )
    extents = [known.PREVIEWED, known.WHOLE]
    extent = PAGE.widget("extent", extents[not view.is_preview], lambda said: PAGE.change(is_preview=said == known.PREVIEWED))
    second.segmented_control("Extent", extents, required=True, help=TERMS["preview"], **extent)
    saes = chosen_saes(catalog)
    with st.expander(f"Settings: {sources.how_many(len(saes), catalog)}, thresholds, your own types"):
        _settings(kinds, catalog)
    for error in kinds.broken:
        st.warning(failures.plain(str(error)), icon=":material/broken_image:")
    label = "Run the preview" if view.is_preview else "Run the study"
    if third.button(label, key=PAGE.key("run"), type="primary", icon=":material/play_arrow:", width="stretch"):
        return _ask(kinds, saes)
    return None


def chosen_saes(catalog: Catalog) -> tuple[SaeId, ...]:
    """The SAEs of a new study; a preview takes those of `preview_saes`, unless some were chosen."""
    chosen = PAGE.view.sources
    found = chosen.saes(catalog)
    if not PAGE.view.is_preview or chosen != sources.Sources():
        return found
    return known_unknown.preview_saes(catalog)


def _settings(kinds: EntityKinds, catalog: Catalog) -> None:
    sources.boxes(PAGE, catalog)
    first, second, third, fourth = st.columns(4)
    first.number_input("Answers sampled (k)", 1, 64, help=TERMS["knowledge rule"], **PAGE.bind("k"))
    second.number_input("Right answers for an attribute to count (r)", 1, 64, help=TERMS["knowledge rule"], **PAGE.bind("r"))
    third.number_input("Attributes that make an entity known", 1, 20, help=TERMS["knowledge rule"], **PAGE.bind("known_at"))
    fourth.number_input("Entities of each type (0: all)", 0, 100_000, **PAGE.bind("most"))
    first.number_input("Seed", 0, 2**31 - 1, **PAGE.bind("seed"))
    second.toggle("Ask as a chat message", **PAGE.bind("chat"))
    third.text_input("Template for reading names", placeholder="The {type} '{name}'", **PAGE.bind("template"))
    _own_type(kinds)


def _own_type(kinds: EntityKinds) -> None:
    """A type from files. Of several files with the same extension the last counts, so a corrected file is simply added again."""
    st.markdown(
        "**Your own type**: a CSV file (name, familiarity, attributes); optionally a TOML file (questions, matchers); "
        "without it, each column is asked in plain words",
    )
    files = st.file_uploader(
        "CSV and TOML",
        ["csv", "toml"],
        accept_multiple_files=True,
        key=PAGE.key(f"uploads {known.edition()}"),
        label_visibility="collapsed",
    )
    toml, table = (next((file for file in reversed(files) if file.name.lower().endswith(end)), None) for end in (".toml", ".csv"))
    if files and table is None:
        st.caption("The CSV file is still missing.")
    added = added_kinds()
    if table is not None:
        _add_button(toml, table, added, kinds)
    own = [name for name, kind in kinds.kinds.items() if kind.file.parent == added]
    if own:
        with st.popover("Remove one of your types", icon=":material/delete:"):
            st.caption("Studies made with it are kept.")
            for name in own:
                st.button(failures.plain(name), key=PAGE.key(f"remove {name}"), on_click=remove_type, args=(name, added))


def _add_button(toml: Uploaded | None, table: Uploaded, folder: Path, kinds: EntityKinds) -> None:
    said = table.name if toml is None else f"{toml.name} and {table.name}"
    if st.button(failures.plain(f"Add a type from {said}"), icon=":material/add:"):
        with failures.shown():
            found = keep_type(toml, table, folder, frozenset(kinds.kinds))
            notices.say(present_known.added_type(found))
            known.next_edition()
            st.rerun()


def _ask(kinds: EntityKinds, saes: tuple[SaeId, ...]) -> EntitiesAsk:
    names = PAGE.view.types_of(list(kinds.kinds))
    if not names:
        raise BadAsk("No type of entity is chosen. Choose at least one above.")
    return ask_of(names, saes, PAGE.view.settings())


def how_to_get_it() -> str:
    """What to do for a first study, or that one is being made."""
    if panel.is_going(STUDY):
        return "A study is running; it appears here when it is done."
    return "Run the preview above: it takes about a minute."


def study_box(heads: tuple[StudyHead, ...]) -> None:
    """Which of the studies of this machine is shown."""
    names = {head.key: _named(head) for head in heads}
    st.selectbox("Study", list(names), format_func=lambda key: names[key], **PAGE.bind("study", causality="", uncertainty=""))


def _named(head: StudyHead) -> str:
    types = ", ".join(one.name for one in head.ask.types)
    way = present_known.WAYS[head.ask.settings.way]
    return f"{types} · {head.n_entities} entities, labels {way} · {len(head.ask.saes)} SAEs · {moment(head.created)}"
