"""Tabs of the steer page: what stands beside the two texts."""

from dataclasses import replace

import streamlit as st

from components.figures.dose import dose_curves
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.weights import Dose, DosesAsk
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.methods.steering import comparison as steering
from dashboard.analysis.methods.steering.comparison import STEERED, Comparison, SteeringAsk
from dashboard.analysis.methods.steering.dose_response import Curve, Rule, RuleKind, SweepAsk, SweepProgress, sweep, table
from dashboard.ui.parts.figures import moment
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import choice, get_engine, get_jobs, get_store, get_vectors
from dashboard.ui.steer import present as present_steer
from dashboard.ui.views import steer
from dashboard.ui.views.steer import PAGE, Asked, SteerView

_POLL_S = 1.0


def doses(asked: Asked) -> dict[int, Dose]:
    """What each edit amounts to, by its line."""
    if not asked.lines:
        return {}
    try:
        found = get_engine().ask(DosesAsk(asked.ask.interventions))
    except AnalysisError:
        return {}
    return dict(zip(asked.lines, found, strict=True))


def next_tokens(view: SteerView, found: Comparison) -> None:
    """The most likely next tokens of both models at the clicked place."""
    if view.picked is None:
        st.caption("Click a token to see what else could have stood there.")
        return
    side, index = view.picked
    written, score = (found.steered, found.steered_score) if side == STEERED else (found.plain, found.plain_score)
    if index >= len(score.tokens):
        return
    token = score.tokens[index]
    place = failures.plain(f"Token {index} of the {side} text, {written.texts[index]!r}")
    n_prompt = len(get_engine().ask(CaptureAsk(view.prompt, ())).tokens)
    at = n_prompt + index
    key = PAGE.key("edit from here")
    st.button(f"Edit from here on (token {at})", key=key, on_click=steer.set_span, args=(at, None), icon=":material/start:")
    st.markdown(f"**{place}**: what either model would write after the same tokens", help=TERMS["KL"])
    probability = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        present_steer.candidates(token.top, token.plain_top), hide_index=True, height="content",
        column_config={"p steered": probability, "p plain": probability},
    )  # fmt: skip


def subset_table(ask: SteeringAsk) -> None:
    """What every subset of the edits makes of the prompt."""
    st.caption(f"Every subset of up to {steering.MAX_SUBSET} edits, numbered in their order above, written together from the same seed.")
    if st.button("Write every subset", key=PAGE.key("subsets"), icon=":material/table_rows:", disabled=not ask.interventions):
        rows = steering.subset_table(get_engine(), ask)
        steer.keep_subsets(ask, rows)
    if rows := steer.subsets_of(ask):
        wide = st.column_config.TextColumn(width="large")
        st.dataframe(rows, hide_index=True, height="content", row_height=64, column_config={"text": wide})


def dose_response(base: SteeringAsk) -> None:
    """A grid of strengths for each edit, or for all of them together, as a background job."""
    if not base.interventions:
        raise BadAsk("There is no edit to make stronger: add a latent above.")
    with st.form(PAGE.key("sweep"), border=False):
        first, second, third = st.columns(3)
        low, high = first.slider("Factors on every amount", -4.0, 4.0, (-2.0, 2.0), 0.5, key=PAGE.key("sweep range"), help=TERMS["factor"])
        steps = second.number_input("Steps", 2, 21, 5, key=PAGE.key("sweep steps"))
        seeds = third.number_input("Seeds", 1, 50, 4, key=PAGE.key("sweep seeds"))
        ways = ("one per edit", "all together")
        how = first.segmented_control("Curves", ways, default=ways[0], key=PAGE.key("sweep curves"), required=True)
        kind = second.selectbox("Rule", ("none", *RuleKind), key=PAGE.key("sweep rule"), help=TERMS["rule"])
        text = third.text_input("Words or regular expression", key=PAGE.key("sweep text"))
        word = first.text_input("Word whose probability is wanted", key=PAGE.key("sweep word"), help=TERMS["word"])
        started = st.form_submit_button("Measure", icon=":material/show_chart:")
    if started:
        factors = tuple(sorted({round(low + (high - low) * i / (steps - 1), 4) for i in range(int(steps))}))
        sampling = base.sampling
        if seeds > 1 and sampling.temperature == 0:
            sampling = replace(sampling, temperature=0.8)
        edits = base.interventions
        curves = tuple(Curve(f"{i + 1}: {edit.direction}", (edit,)) for i, edit in enumerate(edits))
        rule = None if kind == "none" else Rule(RuleKind(kind), "" if kind == RuleKind.REFUSAL else text)
        ask = SweepAsk(
            base.prompt,
            curves if how == ways[0] else (Curve(ways[1], edits),),
            factors,
            int(seeds),
            sampling,
            word or None,
            rule,
        )
        study = StudyRunner(get_engine())
        steer.keep_job(get_jobs().submit("dose response", ask.n_texts, lambda: sweep(study, ask), study.stop))
    if sampling_note := _sampling_note(base.sampling):
        st.caption(sampling_note)
    if id := steer.job():
        _watch(get_jobs().get(id).id)


def _sampling_note(sampling: Sampling) -> str:
    return "At temperature 0 every seed writes the same text: with more than one seed, 0.8 is used." if sampling.temperature == 0 else ""


def _watch(job_id: str) -> None:
    going = not get_jobs().get(job_id).state.ended

    @st.fragment(run_every=_POLL_S if going else None)
    def draw() -> None:
        job = get_jobs().get(job_id)
        if not job.state.ended:
            bar, cancel = st.columns([5, 1], vertical_alignment="center")
            bar.progress(job.done / max(1, job.total), text=f"{job.state.value}: {job.done} of {job.total} texts")
            cancel.button("Cancel", key=PAGE.key("sweep cancel"), on_click=get_jobs().cancel, args=(job_id,))
        elif going:
            st.rerun()
        elif job.error:
            st.error(failures.plain(job.error), icon=":material/error:")
        else:
            st.caption(f"{job.state.value}: {job.done} of {job.total} texts. Bars: 95 % over seeds.")
        if isinstance(job.latest, SweepProgress) and job.latest.points:
            _draw_sweep(job.latest)

    draw()


def _draw_sweep(progress: SweepProgress) -> None:
    drawn = {name: curves for name in present_steer.FIGURES if (curves := present_steer.curve_points(progress.points, name))}
    for at, (column, (name, curves)) in enumerate(zip([*st.columns(2), *st.columns(2), *st.columns(2)], drawn.items(), strict=False)):
        column.plotly_chart(dose_curves(curves, y_title=name), key=PAGE.key(f"sweep figure {at}"))
    with st.expander("Table"):
        st.dataframe(table(progress.points), hide_index=True)
    with st.expander("Texts"):
        rows = [{"curve": p.curve, "factor": p.factor, "seed": t.seed, "text": t.text} for p in progress.points for t in p.texts]
        st.dataframe(rows, hide_index=True, column_config={"text": st.column_config.TextColumn(width="large")})


def saved_runs() -> None:
    """Comparisons that were kept on this machine."""
    store = get_store()
    own, runs = str(choice()), []
    for key in store.keys("steer"):
        with failures.shown():
            record, _ = store.load("steer", key)
            runs += [(key, record)] if record.model == own else []
    st.caption(
        f"{len(runs)} saved on this machine with {failures.plain(own)}. Opening one puts its prompt, edits and sampling back; "
        "its record says what made it."
    )
    for key, record in runs[:20]:
        with st.container(border=True):
            edits = ", ".join(edit["edit"] for edit in record.ask["edits"]) or "no edits"
            text, button = st.columns([5, 1], vertical_alignment="center")
            text.markdown(f"**{failures.plain(record.ask['prompt'][:120])}**  \n{failures.plain(edits)}  \n{moment(record.created)}")
            button.button("Open", key=PAGE.key(f"open {key}"), on_click=steer.open_run, args=(record.ask, get_vectors(), record.model))
            with st.expander("Record"):
                st.json(record.__dict__)
