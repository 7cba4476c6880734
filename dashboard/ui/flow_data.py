"""Panels of the flow on text: origins, deactivation, steering. Each starts a background job and draws what there is of it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import streamlit as st

from components.dose_curves import dose_curves
from components.flow_figures import cosine_scatter, effect_bars, group_matrix, origin_bars, score_boxes, significance_bars
from dashboard.analysis.corpus import SHIPPED, read_corpus
from dashboard.analysis.engine import Engine
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.flow_layers import Matching, layers_of, matchings
from dashboard.analysis.flow_suite import find_suite
from dashboard.analysis.flow_types import FlowSuite
from dashboard.analysis.methods import deactivation as off
from dashboard.analysis.methods import origins as method
from dashboard.analysis.methods.coactivation import CoActivation, coactivation
from dashboard.analysis.methods.flow_samples import SHORT, Predecessors, SampleAsk, predecessors_of
from dashboard.analysis.names import LatentId
from dashboard.analysis.study import StudyRunner
from dashboard.ui import failures
from dashboard.ui import flow_data_state as kept
from dashboard.ui import present_flow_data as present
from dashboard.ui.naming import names
from dashboard.ui.resources import get_catalog, get_engine, get_jobs

_POLL_S = 1.5
_PAGE = st.column_config.LinkColumn("", display_text="open")
_SOURCES = "RES is the residual before, MLP and ATT what the layer's two modules add."


def origins(seed: LatentId) -> None:
    """Where the active residual latents of the seed's suite come from, on text."""
    st.caption(
        "At random tokens of the corpus, every residual latent that fires is put into one of eight groups, by which of its three "
        f"nearest earlier latents fire at the same token. {_SOURCES}"
    )
    corpus = read_corpus(SHIPPED)
    suite = find_suite(get_catalog(), seed.sae)
    able = _able(suite)
    with st.form(kept.key(kept.ORIGINS, "form"), border=False):
        first, second, third, fourth = st.columns([4, 4, 2, 2], vertical_alignment="bottom")
        chosen = first.multiselect("Layers (none: all)", able, key=kept.key(kept.ORIGINS, "layers"))
        kinds = second.multiselect("Kinds of text (none: all)", sorted({*corpus.kinds}), key=kept.key(kept.ORIGINS, "kinds"))
        n_texts = third.number_input("Texts", 1, 2000, 120, key=kept.key(kept.ORIGINS, "texts"))
        n_tokens = fourth.number_input("Tokens of each", 1, 50, 5, key=kept.key(kept.ORIGINS, "tokens"))
        started = st.form_submit_button("Find origins", icon=":material/call_split:")
    if started:
        ask, layers = SampleAsk(int(n_texts), int(n_tokens), tuple(kinds)), layers_of(suite, chosen or None)

        def steps(study: StudyRunner) -> Iterator[method.Origins]:
            return method.origins(study, corpus, [predecessors_of(study, get_catalog(), layer) for layer in layers], ask)

        start(kept.ORIGINS, "origins on text", int(n_texts), steps)
    watch(kept.ORIGINS, "texts", _draw_origins)


def _draw_origins(found: method.Origins) -> None:
    of_layers = [one.predecessors for one in found.layers]
    if missing := [f"{one.layer} ({', '.join(SHORT[point] for point in one.missing)})" for one in of_layers if one.missing]:
        st.caption(failures.plain(f"No dictionary, so never an origin: layer {', '.join(missing)}."))
    layers = [one.layer for one in of_layers]
    shows, layer_box = st.columns([3, 1], vertical_alignment="bottom")
    what = shows.segmented_control(
        "Show", ("Groups", "By kind of text", "Cosines", "Tests", "Between groups", "Co-activation"), default="Groups",
        key=kept.key(kept.ORIGINS, "shows"), required=True,
    )  # fmt: skip
    number = layer_box.selectbox("Layer", layers, index=len(layers) - 1, key=kept.key(kept.ORIGINS, "layer"))
    place = layers.index(number)
    match what:
        case "Groups" | "By kind of text":
            by_kind = what != "Groups"
            shares = method.shares(found, by_kind, [place] if by_kind else None)
            x_title = f"kind of text, layer {number}" if by_kind else "layer"
            figure = origin_bars(present.origin_bars(shares), x_title=x_title, dark=_dark())
            _latents_of_group(found, _chart(figure, kept.ORIGINS, f"bars_{by_kind}"))
        case "Cosines":
            _draw_scores(found.layers[place])
        case "Tests":
            _draw_tests(found)
        case "Between groups":
            st.caption("Share of the latents seen in a row's group that were also seen in a column's, all layers together.")
            _chart(group_matrix(method.group_to_group(found).tolist(), dark=_dark()), kept.ORIGINS, "matrix")
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
    st.caption("Cosine of each latent with its best match, once in every group that it was seen in. Click a point for its name.")
    for point, name in present.SCORE.items():
        if points := present.scored_latents(layer, point):
            picked = _chart(score_boxes(points, y_title=name, dark=_dark()), kept.ORIGINS, f"boxes_{name}")
            if picked:
                st.link_button(picked, present.latent_link(LatentId.parse(picked)), icon=":material/center_focus_strong:")


def _draw_tests(found: method.Origins) -> None:
    distinct = st.toggle("Each latent counts once a group", key=kept.key(kept.ORIGINS, "distinct"))
    tests = method.group_tests(found, distinct)
    st.caption(f"{len(tests):,} Mann-Whitney tests: pairs of groups with {method.MIN_GROUP} cosines each or more, layer by layer.")
    if tests:
        _chart(significance_bars(present.significance_bars(tests)), kept.ORIGINS, "tests")


def _co_activation(layer: Predecessors) -> None:
    st.caption("Do latents that point the same way fire together? Every ordinary token of some texts is read for it.")
    n_texts = st.number_input("Texts to read whole", 5, 2000, 100, key=kept.key(kept.PAIRS, "texts"))
    corpus = read_corpus(SHIPPED)
    if st.button("Read", icon=":material/scatter_plot:", key=kept.key(kept.PAIRS, "start")):
        ask = SampleAsk(int(n_texts), None)
        start(kept.PAIRS, "co-activation", int(n_texts), lambda study: coactivation(study, corpus, tuple(dict.fromkeys(layer.saes)), ask))

    def draw(found: CoActivation) -> None:
        if layer.target not in found.acts:
            st.caption("This is of another layer: press Read for this one.")
            return
        pairs = found.pairs(layer)
        picked = _chart(cosine_scatter(present.pair_points(pairs), dark=_dark()), kept.PAIRS, "scatter")
        st.caption(
            f"{found.n_tokens:,} tokens; {len(pairs):,} pairs of which both fire, {present.MAX_DRAWN * 3:,} of a source drawn at most."
        )
        for name in (picked or "").split():
            st.link_button(name, present.latent_link(LatentId.parse(name)), icon=":material/center_focus_strong:")

    watch(kept.PAIRS, "texts", draw)


def deactivation(seed: LatentId) -> None:
    """Do latents need their predecessors?"""
    st.caption(
        "At random tokens the active predecessors of active latents are rescaled, each at its own site and at that token only; the rest of "
        f"the layer is run and the latent read again. AC = 1 - after / before. {_SOURCES}"
    )
    corpus, suite = read_corpus(SHIPPED), find_suite(get_catalog(), seed.sae)
    able = _able(suite)
    own = get_catalog().get(seed.sae).site.layer
    with st.form(kept.key(kept.DEACTIVATION, "form"), border=False):
        first, second, third = st.columns(3)
        default = [own if own in able else able[-1]]
        chosen = first.multiselect("Layers", able, default=default, key=kept.key(kept.DEACTIVATION, "layers"))
        ways = second.multiselect("Predecessors by", list(Matching), default=[Matching.COSINE], key=kept.key(kept.DEACTIVATION, "ways"))
        factors = third.text_input("r, with commas", "0", key=kept.key(kept.DEACTIVATION, "factors"), help="0 removes, 1 changes nothing.")
        n_texts = first.number_input("Texts", 1, 200, 8, key=kept.key(kept.DEACTIVATION, "texts"))
        n_tokens = second.number_input("Tokens of each", 1, 20, 2, key=kept.key(kept.DEACTIVATION, "tokens"))
        n_targets = third.number_input("Latents of each", 1, off.MAX_TARGETS, 10, key=kept.key(kept.DEACTIVATION, "targets"))
        exhaustive = first.toggle(
            "Exhaustive search", key=kept.key(kept.DEACTIVATION, "all"), help="Every active earlier latent, one by one."
        )
        started = st.form_submit_button("Rescale", icon=":material/content_cut:")
    if started:
        if not ways:
            raise BadAsk("0 ways of choosing predecessors are chosen. Take at least one.")
        sample = SampleAsk(int(n_texts), int(n_tokens))
        ask = off.DeactivationAsk(sample, int(n_targets), numbers(factors), exhaustive=exhaustive)
        layers = layers_of(suite, chosen or None)

        def steps(study: StudyRunner) -> Iterator[off.Deactivation]:
            yield from off.deactivate(study, corpus, [matchings(study, get_catalog(), one, ways, corpus, sample) for one in layers], ask)

        start(kept.DEACTIVATION, "deactivation", int(n_texts) * int(n_tokens) * len(layers), steps)
    watch(kept.DEACTIVATION, "tokens", _draw_deactivation)


def _draw_deactivation(found: off.Deactivation) -> None:
    if not found.trials:
        st.caption("No active latent with an active predecessor yet.")
        return
    factors = sorted({trial.factor for trial in found.trials})
    whole = off.effects(found.trials)
    if len(factors) > 1:
        titles = {"success": "share that stops firing", "AC": "activation change", "loss": "relative loss change"}
        for column, (which, title) in zip(st.columns(3), titles.items(), strict=True):
            if curves := present.effect_curves(whole, which):
                figure = dose_curves(curves, y_title=title, x_title="r", x_name="r")
                column.plotly_chart(figure, key=kept.key(kept.DEACTIVATION, f"curve_{which}"))
    options, by = st.columns([1, 2], vertical_alignment="bottom")
    factor = options.selectbox("r of the bars", factors, key=kept.key(kept.DEACTIVATION, "r"))
    by_subset = by.toggle("By what was rescaled", value=True, key=kept.key(kept.DEACTIVATION, "subset"))
    shown = [one for one in (off.effects(found.trials, by_subset=True) if by_subset else whole) if one.factor == factor]
    left, right = st.columns(2)
    with left:
        figure = effect_bars(present.effect_bars(shown, "success"), y_title="share that stops firing", as_share=True)
        first = _chart(figure, kept.DEACTIVATION, "success")
    with right:
        figure = effect_bars(present.effect_bars(shown, "AC"), y_title="mean activation change", as_share=False)
        second = _chart(figure, kept.DEACTIVATION, "ac")
    without = ", ".join(f"{n:,} by {method_name}" for method_name, n in found.n_without.items())
    st.caption(failures.plain(f"Without an active predecessor, and in no bar: {without or 'none'}. Click a bar for its trials."))
    with st.expander("Trials", expanded=bool(first or second)):
        rows = present.trial_rows(found.trials, first or second, names(get_catalog()))
        st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})
    with st.expander("Table"):
        st.dataframe(off.table(off.effects(found.trials, by_layer=True, by_subset=True)), hide_index=True)


def _able(suite: FlowSuite) -> list[int]:
    """Layers whose latents can have predecessors."""
    able = [layer.layer for layer in layers_of(suite)]
    if not able:
        raise BadAsk("0 layers of this suite have a dictionary before them, so nothing can be said of origins. Choose another suite.")
    return able


def start(panel: str, title: str, total: int, steps: Callable[[StudyRunner], Iterator[Any]]) -> None:
    """A background job in place of the panel's last one, which is stopped."""
    jobs, engine = get_jobs(), get_engine()
    assert isinstance(engine, Engine)
    if earlier := kept.job(panel):
        with suppress(BadAsk):  # forgotten already
            jobs.cancel(earlier)
    study = StudyRunner(engine)
    kept.keep_job(panel, jobs.submit(title, total, lambda: steps(study), study.stop))


def watch(panel: str, counted: str, draw: Callable[[Any], None]) -> None:
    """The panel's job as it comes: how far it is, a way to stop it, and what there is."""
    id = kept.job(panel)
    if id is None:
        return
    going = not get_jobs().get(id).state.ended

    @st.fragment(run_every=_POLL_S if going else None)
    def show() -> None:
        job = get_jobs().get(id)
        if not job.state.ended:
            bar, cancel = st.columns([5, 1], vertical_alignment="center")
            bar.progress(min(1.0, job.done / max(1, job.total)), text=f"{job.state.value}: {job.done} of {job.total} {counted}")
            cancel.button("Cancel", key=kept.key(panel, "cancel"), on_click=get_jobs().cancel, args=(id,))
        elif going:
            st.rerun()
        elif job.error:
            st.error(failures.plain(job.error), icon=":material/error:")
        if job.latest is not None:
            with failures.shown():
                draw(job.latest)

    show()


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        BadAsk: if one is none.
    """
    try:
        return tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise BadAsk(f"{text[:40]!r} is not a list of numbers. Write for example -1, 0, 1.") from error


def _chart(figure: Any, panel: str, name: str) -> str | None:
    """A figure that can be clicked: the key behind the mark."""
    event = st.plotly_chart(figure, key=kept.key(panel, name), on_select="rerun", selection_mode="points")
    return kept.clicked(event)


def _dark() -> bool:
    return st.context.theme.type == "dark"
