"""Tabs of the steer page."""

import streamlit as st

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.weights import Dose, DosesAsk
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.steering import comparison as steering
from dashboard.analysis.methods.steering.comparison import STEERED, Comparison, SteeringAsk
from dashboard.ui.parts.figures import moment
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import choice, get_engine, get_store, get_vectors
from dashboard.ui.steer import present as present_steer
from dashboard.ui.views import steer
from dashboard.ui.views.steer import PAGE, Asked, SteerView


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
        st.caption("Click a token to see the alternatives at that position.")
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
    st.markdown(f"**{place}**: what each model predicts after the same tokens", help=TERMS["KL"])
    probability = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        present_steer.candidates(token.top, token.plain_top), hide_index=True, height="content",
        column_config={"p steered": probability, "p plain": probability},
    )  # fmt: skip


def subset_table(ask: SteeringAsk) -> None:
    """What every subset of the edits makes of the prompt."""
    st.caption(f"Every subset of up to {steering.MAX_SUBSET} edits, numbered in their order above, written together from the same seed.")
    if st.button("Generate every subset", key=PAGE.key("subsets"), icon=":material/table_rows:", disabled=not ask.interventions):
        rows = steering.subset_table(get_engine(), ask)
        steer.keep_subsets(ask, rows)
    if rows := steer.subsets_of(ask):
        wide = st.column_config.TextColumn(width="large")
        st.dataframe(rows, hide_index=True, height="content", row_height=64, column_config={"text": wide})


def saved_runs() -> None:
    """Comparisons that were kept on this machine."""
    store = get_store()
    own, runs = str(choice()), []
    for key in store.keys("steer"):
        with failures.shown():
            record, _ = store.load("steer", key)
            runs += [(key, record)] if record.model == own else []
    st.caption(
        f"{len(runs)} saved on this machine with {failures.plain(own)}. Opening one restores its prompt, edits and sampling; "
        "its record says how it was made."
    )
    for key, record in runs[:20]:
        with st.container(border=True):
            edits = ", ".join(edit["edit"] for edit in record.ask["edits"]) or "no edits"
            text, button = st.columns([5, 1], vertical_alignment="center")
            text.markdown(f"**{failures.plain(record.ask['prompt'][:120])}**  \n{failures.plain(edits)}  \n{moment(record.created)}")
            button.button("Open", key=PAGE.key(f"open {key}"), on_click=steer.open_run, args=(record.ask, get_vectors(), record.model))
            with st.expander("Record"):
                st.json(record.__dict__)
