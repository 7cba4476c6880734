"""Latents of a study: the scatter, the best ones, one of them type by type, and layers."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from components.figures.known import CONFIG, frequency_scatter, kind_bars, layer_curves, norm_curves
from components.figures.known_data import FrequencyPoint
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId
from dashboard.ui.known import present as present_known
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog
from dashboard.ui.views import known
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.known import PAGE

_SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)


def latents(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """The scatter with the chosen latent beside it, and the best of both sides below."""
    left, right = st.columns([7, 5], gap="large")
    split = known.SPLITS[view.split]
    with left:
        _choices(study, view)
        sae = next((sae for sae in study.ask.saes if str(sae) == view.sae), None)
        found = present_known.scatter(study, view.kind, split, sae)
        st.caption(failures.plain(found.caption))
        if found.points:
            figure = frequency_scatter(found.points, chosen=view.chosen)
            st.plotly_chart(
                figure, key=PAGE.key("scatter"), on_select=lambda: known.pick_point("scatter"), selection_mode="points", config=CONFIG
            )
            with st.expander("Table"):
                st.dataframe(_scatter_rows(found.points), hide_index=True)
    with right:
        _chosen(study, view, found.points)
    _best_of_kinds(study)
    for side in _SIDES:
        _best(study, side)
    if study.baselines:
        st.markdown("**The best of each side against its baselines**", help="Smallest separation over the types, on test entities.")
        st.dataframe(present_known.baseline_rows(study), hide_index=True, height="content")


def layers(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Separation by layer, and norms of the residual."""
    for side, column in zip(_SIDES, st.columns(2, gap="large"), strict=True):
        with column:
            st.markdown(f"**Separation for {side.value} entities**, mean of the 5 best of each layer", help=TERMS["separation"])
            lines = present_known.curves(study, side)
            if not lines:
                st.caption("No type has both sides in the train and in the test split, so no curve can be drawn.")
                continue
            curves = f"curves {side.name}"
            figure = layer_curves(lines, y_title="separation, test entities", chosen=view.chosen)
            st.plotly_chart(
                figure, key=PAGE.key(curves), on_select=partial(known.pick_point, curves), selection_mode="points", config=CONFIG
            )
            with st.expander("Table"):
                st.dataframe(present_known.curve_rows(lines), hide_index=True)
    st.caption(
        "Bars span the smallest to the largest of the five. MaxMin is the latent whose smallest separation over the types is largest."
    )
    st.markdown(f"**Norm of the residual at the last token of a name**, {failures.plain(view.kind)}; bars are one standard deviation")
    norms = norm_curves(present_known.norm_points(study, view.kind))
    st.plotly_chart(norms, key=PAGE.key("norms"), on_select=lambda: known.pick_point("norms"), selection_mode="points", config=CONFIG)
    st.caption("Click a point to open the best latent of its layer: of that type in the curves, of that side in the norms.")


def latent_box(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Which latent is chosen, among the best of both sides and the one that was clicked."""
    ringed = [str(one.latent) for one in (*study.known, *study.unknown)]
    st.selectbox("Chosen latent", list(dict.fromkeys([view.chosen, *ringed])), help=TERMS["latent"], **PAGE.bind("chosen"))


def open_button(latent: LatentId) -> None:
    """The way to a latent's own page."""
    if st.button("Open this latent", key=PAGE.key("open"), icon=":material/center_focus_strong:"):
        latent_state.show(latent)


def _choices(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Which type, split and SAE the scatter is of."""
    kinds = [*study.counts.kinds, present_known.ALL]
    first, second, third = st.columns([3, 2, 5], vertical_alignment="bottom")
    first.selectbox("Type", kinds, **PAGE.bind("kind"))
    second.selectbox("Split", [*known.SPLITS], help=TERMS["splits"], **PAGE.bind("split"))
    saes = [known.ANY_SAE, *map(str, study.ask.saes)]
    third.selectbox("SAE", saes, **PAGE.bind("sae"))


def _chosen(study: KnownUnknownStudy, view: known.KnownView, points: Sequence[FrequencyPoint]) -> None:
    """The chosen latent, type by type."""
    latent = LatentId.parse(view.chosen)
    latent_box(study, view)
    if about := names(get_catalog())(latent):
        st.markdown(failures.plain(about))
    bars = kind_bars(present_known.kind_shares(study, latent, known.SPLITS[view.split]))
    st.plotly_chart(bars, key=PAGE.key("bars"), on_select=lambda: known.pick_shown("bars"), selection_mode="points", config=CONFIG)
    st.caption(
        failures.plain(
            f"{present_known.name_of(known.SPLITS[view.split]).capitalize()}, 95 % Wilson intervals; below each type: known, then unknown."
        )
    )
    open_button(latent)
    if others := present_known.same_place(points, view.chosen):
        few = ", ".join(present_known.short(study, one) for one in others[:4])
        st.caption(failures.plain(f"{len(others)} more at the same point: {few}{' …' if len(others) > 4 else ''}"))


def _best_of_kinds(study: KnownUnknownStudy) -> None:
    """The best latent of each type on each side; a row that is clicked is chosen."""
    rows = [present_known.best_of_kind(study, kind, side) for side in _SIDES for kind in study.counts.kinds]
    rows = [row for row in rows if "/" in row["latent"]]
    st.markdown("**The best of each type**, chosen on train and shown on test; p is against the best latent under shuffled labels")
    _table(rows, "best of kinds")


def _best(study: KnownUnknownStudy, side: Knowledge) -> None:
    """The best latents of a side; a row that is clicked is chosen."""
    rows = present_known.chosen_rows(study, side, names(get_catalog()))
    if not rows:
        return
    st.markdown(
        f"**The best for {side.value} entities**, chosen on train; shares are known | unknown of the test split", help=TERMS["separation"]
    )
    _table(rows, f"best {side.name}")


def _table(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Rows of latents, of which one can be chosen."""
    latents_of = [str(row["latent"]) for row in rows]
    two = {name: st.column_config.NumberColumn(format="%.2f") for name in ("train", "test")}
    st.dataframe(
        rows,
        hide_index=True,
        height="content",
        key=PAGE.key(name),
        on_select=partial(known.pick_row, name, latents_of),
        selection_mode="single-row",
        column_config=two,
    )


def _scatter_rows(points: Sequence[FrequencyPoint]) -> list[dict[str, object]]:
    return [
        {"latent": one.key, "known": one.known, "of": one.n_known, "unknown": one.unknown, "of ": one.n_unknown, "note": one.note}
        for one in points
    ]
