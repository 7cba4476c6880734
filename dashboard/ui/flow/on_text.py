"""Panels of the flow on text: origins and deactivation. Each starts a background job and draws its results as they arrive."""

from dataclasses import replace
from typing import Any

import streamlit as st

from components.figures.dose import dose_curves
from components.figures.origins import cosine_scatter, effect_bars, group_matrix, origin_bars, score_boxes, significance_bars
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow import deactivation as off
from dashboard.analysis.methods.flow import deactivation_effects as after
from dashboard.analysis.methods.flow import origins as method
from dashboard.analysis.methods.flow import study_coactivation, study_deactivation, study_origins
from dashboard.analysis.methods.flow.layers import layers_of
from dashboard.analysis.methods.flow.results import FlowSuite
from dashboard.analysis.methods.flow.samples import SHORT, Predecessors
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId
from dashboard.ui.flow import present_on_text as present
from dashboard.ui.parts import clicks as kept
from dashboard.ui.parts.clicks import _chart, _dark, dose_chart
from dashboard.ui.parts.naming import names
from dashboard.ui.parts.options import inputs
from dashboard.ui.parts.panel import panel
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_catalog, get_own_corpus

_DEACTIVATION = ("layers", "matching", "factors", "texts", "tokens", "targets", "exhaustive")
_PAGE = st.column_config.LinkColumn("", display_text="open")
_SOURCES = "RES is the residual before, MLP and ATT what the layer's two modules add."


def origins(seed: LatentId) -> None:
    """Where the active residual latents of the seed's suite come from, on text."""
    st.caption(
        "At random tokens of the corpus, every residual latent that fires is assigned to one of eight groups, by which of its three "
        f"nearest earlier latents fire at the same token. {_SOURCES}"
    )
    able = _able(find_suite(get_catalog(), seed.sae))
    with st.form(kept.key(kept.ORIGINS, "form"), border=False):
        choices = {"layers": able, "kinds": sorted({*get_own_corpus().kinds})}
        form = inputs(study_origins.STUDY.first(), kept.ORIGINS, columns=4, choices=choices)
        started = st.form_submit_button("Find origins", icon=":material/call_split:")

    def ask() -> study_origins.OriginsAsk:
        return form.ask(release=seed.sae.release)

    panel(study_origins.STUDY, kept.ORIGINS, ask, started, _draw_origins, figures=_origin_figures)


def _origin_figures(found: method.Origins) -> dict[str, Any]:
    return {"Groups by layer": origin_bars(present.origin_bars(method.shares(found)), x_title="layer")}


def _draw_origins(found: method.Origins) -> None:
    of_layers = [one.predecessors for one in found.layers]
    if missing := [f"{one.layer} ({', '.join(SHORT[point] for point in one.missing)})" for one in of_layers if one.missing]:
        st.caption(failures.plain(f"Never an origin, for lack of a dictionary: layer {', '.join(missing)}."))
    layers = [one.layer for one in of_layers]
    shows, layer_box = st.columns([3, 1], vertical_alignment="bottom")
    what = shows.segmented_control(
        "Show", ("Groups", "By kind of text", "Cosines", "Tests", "Between groups", "Co-activation"), default="Groups",
        key=kept.key(kept.ORIGINS, "shows"), required=True,
    )  # fmt: skip
    place = len(layers) - 1
    if what not in ("Groups", "Tests", "Between groups"):
        place = layers.index(layer_box.selectbox("Layer", layers, index=place, key=kept.key(kept.ORIGINS, "layer")))
    match what:
        case "Groups" | "By kind of text":
            by_kind = what != "Groups"
            shares = method.shares(found, by_kind, [place] if by_kind else None)
            x_title = f"kind of text, layer {layers[place]}" if by_kind else "layer"
            figure = origin_bars(present.origin_bars(shares), x_title=x_title, dark=_dark())
            _latents_of_group(found, _chart(figure, kept.ORIGINS, f"bars_{by_kind}"))
        case "Cosines":
            _draw_scores(found.layers[place])
        case "Tests":
            _draw_tests(found)
        case "Between groups":
            _draw_matrix(found)
        case _:
            _co_activation(found.layers[place].predecessors)


def _latents_of_group(found: method.Origins, key: str | None) -> None:
    group = present.clicked_group(key)
    if group is None:
        st.caption(f"{len(found.row):,} tokens of {found.done} texts. Click a piece of a bar for its latents. "
                   "Tokens of one text are alike, so the intervals are too narrow.")  # fmt: skip
        return
    layer, kind, origin = group
    st.markdown(failures.plain(f"{origin.value}, layer {layer}{f', {kind}' if kind else ''}"))
    rows = present.group_rows(found, layer, kind, origin, names(get_catalog()))
    st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})


def _draw_scores(layer: method.Occurrences) -> None:
    st.caption("Cosine of each latent with its best match, once in every group that it was seen in. Click a point for its page.")
    for point, name in present.SCORE.items():
        if points := present.scored_latents(layer, point):
            title = f"{name}: cosine with {SHORT[point]}"
            _pages(_chart(score_boxes(points, y_title=title, dark=_dark()), kept.ORIGINS, f"boxes_{name}"))


def _draw_tests(found: method.Origins) -> None:
    distinct = st.toggle("Count each latent once per group", key=kept.key(kept.ORIGINS, "distinct"))
    tests = method.group_tests(found, distinct)
    st.caption(
        f"{len(tests):,} Mann-Whitney tests: do the cosines of two groups differ? Pairs of groups with {method.MIN_GROUP} cosines each or "
        "more, layer by layer. A panel a source: is it active in one of the two groups, in both, in neither? Click a bar for its tests."
    )
    if tests:
        picked = _chart(significance_bars(present.significance_bars(tests)), kept.ORIGINS, "tests")
        if rows := present.tests_rows(tests, picked):
            st.dataframe(rows, hide_index=True)


def _draw_matrix(found: method.Origins) -> None:
    st.caption(
        "Share of the latents seen in a row's group that were also seen in a column's, all layers pooled. Click a cell to list them."
    )
    picked = _chart(group_matrix(method.group_to_group(found).tolist(), dark=_dark()), kept.ORIGINS, "matrix")
    if rows := present.both_rows(found, picked, names(get_catalog())):
        st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})


def _co_activation(layer: Predecessors) -> None:
    st.caption("Do latents with similar directions fire together? Measured on every ordinary token of some texts.")
    form = inputs(study_coactivation.STUDY.first(), kept.PAIRS, columns=2)
    started = st.button("Run", icon=":material/scatter_plot:", key=kept.key(kept.PAIRS, "start"))

    def ask() -> study_coactivation.CoActivationAsk:
        return form.ask(release=layer.target.release, layer=layer.layer)

    def draw(found: study_coactivation.Pairs) -> None:
        figure = cosine_scatter(present.pair_points(found.pairs), dark=_dark())
        _pages(_chart(figure, kept.PAIRS, "scatter"))
        st.caption(
            f"{found.n_tokens:,} tokens; {len(found.pairs):,} pairs in which both fire, {present.MAX_PAIRS:,} drawn per source at most. "
            "Click a point for the pages of its two latents."
        )

    panel(study_coactivation.STUDY, kept.PAIRS, ask, started, draw)


def deactivation(seed: LatentId) -> None:
    """Do latents need their predecessors?"""
    st.caption(
        "At random tokens the active predecessors of active latents are rescaled, each at its own site and at that token only; the rest of "
        f"the layer is then run and the latent's activation measured again. AC = 1 - after / before. {_SOURCES}"
    )
    catalog = get_catalog()
    own, able = catalog.get(seed.sae).site.layer, _able(find_suite(catalog, seed.sae))
    start = replace(study_deactivation.STUDY.first(), layers=(own if own in able else able[-1],), by_subset=True)
    with st.form(kept.key(kept.DEACTIVATION, "form"), border=False):
        form = inputs(start, kept.DEACTIVATION, _DEACTIVATION, choices={"layers": able})
        started = st.form_submit_button("Rescale", icon=":material/content_cut:")

    def ask() -> study_deactivation.DeactivateAsk:
        return form.ask(release=seed.sae.release)

    panel(study_deactivation.STUDY, kept.DEACTIVATION, ask, started, _draw_deactivation, figures=_deactivation_figures)


def _deactivation_figures(found: off.Deactivation) -> dict[str, Any]:
    bars = present.effect_bars(after.effects(found.trials, by_subset=True), "success")
    return {"Share that stops firing": effect_bars(bars, y_title="share that stops firing", as_share=True)}


def _draw_deactivation(found: off.Deactivation) -> None:
    if not found.trials:
        st.caption("No active latent with an active predecessor yet.")
        return
    factors = sorted({trial.factor for trial in found.trials})
    whole, clicks = after.effects(found.trials), dict[str, str | None]()
    if len(factors) > 1:
        titles = {"success": "share that stops firing", "AC": "activation change", "loss": "relative loss change"}
        for column, (which, title) in zip(st.columns(3), titles.items(), strict=True):
            if curves := present.effect_curves(whole, which):
                with column:
                    dose = dose_chart(dose_curves(curves, y_title=title, x_title="r", x_name="r"), kept.DEACTIVATION, f"curve_{which}")
                clicks[f"curve {which}"] = dose and after.effect_key(dose[0], after.ALL_ACTIVE, dose[1])
    options, by = st.columns([1, 2], vertical_alignment="bottom")
    factor = options.selectbox("Factor r of the bars", factors, key=kept.key(kept.DEACTIVATION, "r"))
    by_subset = by.toggle("By what was rescaled", value=True, key=kept.key(kept.DEACTIVATION, "subset"))
    shown = [one for one in (after.effects(found.trials, by_subset=True) if by_subset else whole) if one.factor == factor]
    left, right = st.columns(2)
    with left:
        figure = effect_bars(present.effect_bars(shown, "success"), y_title="share that stops firing", as_share=True)
        clicks["success"] = _chart(figure, kept.DEACTIVATION, "success")
    with right:
        figure = effect_bars(present.effect_bars(shown, "AC"), y_title="mean activation change", as_share=False)
        clicks["AC"] = _chart(figure, kept.DEACTIVATION, "ac")
    picked = kept.latest(kept.DEACTIVATION, clicks)
    without = ", ".join(f"{n:,} by {method_name}" for method_name, n in found.n_without.items())
    st.caption(failures.plain(f"Without an active predecessor, so in no bar: {without or 'none'}. Click a bar or a point for its trials."))
    with st.expander("Trials", expanded=bool(picked)):
        rows = present.trial_rows(found.trials, picked, names(get_catalog()))
        st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})
    with st.expander("Table"):
        st.dataframe(after.table(after.effects(found.trials, by_layer=True, by_subset=True)), hide_index=True)


def _able(suite: FlowSuite) -> list[int]:
    """Layers whose latents can have predecessors."""
    able = [layer.layer for layer in layers_of(suite)]
    if not able:
        raise BadAsk("No layer of this suite has an earlier dictionary, so there are no origins to find. Choose another suite.")
    return able


def _pages(key: str | None) -> None:
    """Links to the pages of the latents behind a point that was clicked."""
    if key:
        named = names(get_catalog())
        with st.container(horizontal=True):
            for name in key.split():
                label = named(LatentId.parse(name))
                said = failures.plain(f"{name}: {label}" if label else name)
                st.link_button(said, present.latent_link(LatentId.parse(name)), icon=":material/center_focus_strong:")
