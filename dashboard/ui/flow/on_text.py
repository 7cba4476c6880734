"""Panels of the flow on text: origins and deactivation. Each starts a background job and draws what there is of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from components.figures.dose import dose_curves
from components.figures.origins import cosine_scatter, effect_bars, group_matrix, origin_bars, score_boxes, significance_bars
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow import deactivation as off
from dashboard.analysis.methods.flow import deactivation_effects as after
from dashboard.analysis.methods.flow import origins as method
from dashboard.analysis.methods.flow.coactivation import CoActivation, coactivation
from dashboard.analysis.methods.flow.layers import Matching, layers_of, matchings
from dashboard.analysis.methods.flow.results import FlowLayer, FlowSuite
from dashboard.analysis.methods.flow.samples import SHORT, SOURCES, Predecessors, SampleAsk, predecessors_of
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.text.corpus import Corpus
from dashboard.ui.flow import present_on_text as present
from dashboard.ui.flow_made import Plan, command, commas, settle, shell, watch
from dashboard.ui.parts import clicks as kept
from dashboard.ui.parts.clicks import _chart, _dark, dose_chart, numbers
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_catalog, get_own_corpus

_PAGE = st.column_config.LinkColumn("", display_text="open")
_SOURCES = "RES is the residual before, MLP and ATT what the layer's two modules add."


def origins(seed: LatentId) -> None:
    """Where the active residual latents of the seed's suite come from, on text."""
    st.caption(
        "At random tokens of the corpus, every residual latent that fires is put into one of eight groups, by which of its three "
        f"nearest earlier latents fire at the same token. {_SOURCES}"
    )
    corpus, catalog = get_own_corpus(), get_catalog()
    suite = find_suite(catalog, seed.sae)
    able = _able(suite)
    with st.form(kept.key(kept.ORIGINS, "form"), border=False):
        first, second, third, fourth = st.columns([4, 4, 2, 2], vertical_alignment="bottom")
        chosen = first.multiselect("Layers (none: all)", able, key=kept.key(kept.ORIGINS, "layers"))
        kinds = second.multiselect("Kinds of text (none: all)", sorted({*corpus.kinds}), key=kept.key(kept.ORIGINS, "kinds"))
        n_texts = third.number_input("Texts", 1, 2000, 120, key=kept.key(kept.ORIGINS, "texts"))
        n_tokens = fourth.number_input("Tokens of each", 1, 50, 5, key=kept.key(kept.ORIGINS, "tokens"))
        started = st.form_submit_button("Find origins", icon=":material/call_split:")

    def plan() -> Plan:
        ask, layers = SampleAsk(int(n_texts), int(n_tokens), tuple(kinds)), layers_of(suite, chosen or None)

        def steps(study: StudyRunner) -> Iterator[method.Origins]:
            return method.origins(study, corpus, [predecessors_of(study, catalog, layer) for layer in layers], ask)

        numbers = [layer.layer for layer in layers]
        options = {"--layers": commas(numbers), "--texts": ask.n_rows, "--tokens": ask.n_tokens, "--kinds": commas(ask.kinds)}
        about = f"{_said(numbers)} of {seed.sae.release}, texts: {ask.n_rows}, tokens of each: {ask.n_tokens}"
        about += f", {commas(ask.kinds)}" if ask.kinds else ""
        asked = {"release": seed.sae.release, "layers": numbers, "top": 1} | ask.plain_data() | _text(corpus)
        saes = _saes(layers)
        return Plan("flow origins", about, asked, saes, command(("flow", "origins", seed.sae.release), options, shell()), ask.n_rows, steps)

    settle(kept.ORIGINS, plan, started)
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
    distinct = st.toggle("Each latent counts once a group", key=kept.key(kept.ORIGINS, "distinct"))
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
    st.caption("Share of the latents seen in a row's group that were also seen in a column's, all layers together. Click a cell for them.")
    picked = _chart(group_matrix(method.group_to_group(found).tolist(), dark=_dark()), kept.ORIGINS, "matrix")
    if rows := present.both_rows(found, picked, names(get_catalog())):
        st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})


def _co_activation(layer: Predecessors) -> None:
    st.caption("Do latents that point the same way fire together? Every ordinary token of some texts is read for it.")
    box, button = st.columns([1, 3], vertical_alignment="bottom")
    n_texts = box.number_input("Texts to read whole", 5, 2000, 100, key=kept.key(kept.PAIRS, "texts"))
    corpus = get_own_corpus()
    started = button.button("Read", icon=":material/scatter_plot:", key=kept.key(kept.PAIRS, "start"))

    def plan() -> Plan:
        ask, saes, release = SampleAsk(int(n_texts), None), tuple(dict.fromkeys(layer.saes)), layer.target.release

        def steps(study: StudyRunner) -> Iterator[CoActivation]:
            return coactivation(study, corpus, saes, ask)

        again = command(("flow", "coactivation", release), {"--layer": layer.layer, "--texts": ask.n_rows}, shell())
        asked = {"release": release, "layer": layer.layer} | ask.plain_data() | _text(corpus)
        about = f"Layer {layer.layer} of {release}, all tokens of {ask.n_rows} texts"
        return Plan("flow coactivation", about, asked, saes, again, ask.n_rows, steps)

    def draw(found: CoActivation) -> None:
        if layer.target not in found.acts:
            st.caption("This is of another layer: press Read for this one.")
            return
        pairs = found.pairs(layer)
        picked = _chart(cosine_scatter(present.pair_points(pairs), dark=_dark()), kept.PAIRS, "scatter")
        _pages(picked)
        st.caption(
            f"{found.n_tokens:,} tokens; {len(pairs):,} pairs of which both fire, {present.MAX_PAIRS:,} of a source drawn at most. "
            "Click a point for the pages of its two latents."
        )

    settle(kept.PAIRS, plan, started)
    watch(kept.PAIRS, "texts", draw)


def deactivation(seed: LatentId) -> None:
    """Do latents need their predecessors?"""
    st.caption(
        "At random tokens the active predecessors of active latents are rescaled, each at its own site and at that token only; the rest of "
        f"the layer is run and the latent read again. AC = 1 - after / before. {_SOURCES}"
    )
    corpus, catalog = get_own_corpus(), get_catalog()
    suite, own = find_suite(catalog, seed.sae), catalog.get(seed.sae).site.layer
    able = _able(suite)
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

    def plan() -> Plan:
        if not ways:
            raise BadAsk("0 ways of choosing predecessors are chosen. Take at least one.")
        sample = SampleAsk(int(n_texts), int(n_tokens))
        ask = off.DeactivationAsk(sample, int(n_targets), numbers(factors), exhaustive=exhaustive)
        layers = layers_of(suite, chosen or None)

        def steps(study: StudyRunner) -> Iterator[off.Deactivation]:
            yield from off.deactivate(study, corpus, [matchings(study, catalog, one, ways, corpus, sample) for one in layers], ask)

        of, release = [layer.layer for layer in layers], seed.sae.release
        by = [Matching(way).name.lower() for way in ways]
        options = {"--layers": commas(of), "--texts": sample.n_rows, "--tokens": sample.n_tokens, "--targets": ask.max_targets}
        options |= {"--factors": commas(ask.factors), "--matching": commas(by), "--exhaustive": exhaustive, "--by-subset": True}
        about = f"{_said(of)} of {release}, texts: {sample.n_rows}, tokens of each: {sample.n_tokens}, r {commas(ask.factors)}"
        asked = {"release": release, "layers": of, "matching": by} | ask.plain_data() | _text(corpus)
        again = command(("flow", "deactivate", release), options, shell())
        total = sample.n_rows * int(n_tokens) * len(layers)
        return Plan("flow deactivate", about, asked, _saes(layers), again, total, steps)

    settle(kept.DEACTIVATION, plan, started)
    watch(kept.DEACTIVATION, "tokens", _draw_deactivation)


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
    factor = options.selectbox("r of the bars", factors, key=kept.key(kept.DEACTIVATION, "r"))
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
    st.caption(failures.plain(f"Without an active predecessor, and in no bar: {without or 'none'}. Click a bar or a point for its trials."))
    with st.expander("Trials", expanded=bool(picked)):
        rows = present.trial_rows(found.trials, picked, names(get_catalog()))
        st.dataframe(rows, hide_index=True, column_config={"page": _PAGE})
    with st.expander("Table"):
        st.dataframe(after.table(after.effects(found.trials, by_layer=True, by_subset=True)), hide_index=True)


def _able(suite: FlowSuite) -> list[int]:
    """Layers whose latents can have predecessors."""
    able = [layer.layer for layer in layers_of(suite)]
    if not able:
        raise BadAsk("0 layers of this suite have a dictionary before them, so nothing can be said of origins. Choose another suite.")
    return able


def _saes(layers: Sequence[FlowLayer]) -> tuple[SaeId, ...]:
    """Every dictionary of some layers and those before them."""
    return tuple(dict.fromkeys(sae for layer in layers for sae in (layer.resid, *map(layer.before, SOURCES)) if sae))


def _text(corpus: Corpus) -> dict[str, Any]:
    return {"corpus": corpus.name, "corpus_sha256": corpus.sha256}


def _said(layers: Sequence[int]) -> str:
    """Layers 9 to 19, or each of them."""
    whole = len(layers) > 2 and list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"Layer{'s' * (len(layers) > 1)} " + (f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers)))


def _pages(key: str | None) -> None:
    """Links to the pages of the latents behind a point that was clicked."""
    if key:
        named = names(get_catalog())
        with st.container(horizontal=True):
            for name in key.split():
                label = named(LatentId.parse(name))
                said = failures.plain(f"{name}: {label}" if label else name)
                st.link_button(said, present.latent_link(LatentId.parse(name)), icon=":material/center_focus_strong:")
