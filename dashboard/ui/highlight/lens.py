"""The panel of the lenses: what the model is disposed to say after each token, and what a latent's direction says by itself."""

import streamlit as st

from components.figures.lens import lens_curves
from components.word_grid import word_grid
from dashboard.analysis.asks.lens import DirectionLensAsk, LensAsk, LensKind, LensRecordAsk
from dashboard.analysis.lenses.file import LensRecord
from dashboard.analysis.methods.lens.method import window
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import TokenizedPrompt
from dashboard.ui.highlight import present_lens
from dashboard.ui.parts.figures import grouped
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog, get_engine
from dashboard.ui.views import highlight as views
from dashboard.ui.views.highlight import PAGE, HighlightView

_TOKENS, _WORDS = 32, 5
"""Tokens that are read at one time, and words kept for each."""


def panel(view: HighlightView, tokens: TokenizedPrompt, latent: LatentId | None) -> None:
    """Everything for the chosen lens; nothing is asked of the model before one is chosen."""
    heading, choice = st.columns([3, 2], vertical_alignment="center")
    heading.markdown("**What the model is disposed to say after each token**", help=TERMS["lens"])
    with choice:
        st.segmented_control(
            "Lens", list(LensKind), format_func=present_lens.NAMES.__getitem__, label_visibility="collapsed", width="stretch",
            **PAGE.bind("lens"),
        )  # fmt: skip
    if view.lens is None:
        st.caption("Choose a lens to see, for every layer and token, which word the model would say next if it ended there.")
        return
    with failures.shown():
        _read(view, view.lens, tokens, latent)


def _read(view: HighlightView, kind: LensKind, tokens: TokenizedPrompt, latent: LatentId | None) -> None:
    record = get_engine().ask(LensRecordAsk())
    fitted = "" if record is None else record.created
    _text(LensAsk(view.prompt, kind, _WORDS, window(len(tokens), view.position, _TOKENS), _TOKENS, fitted), view.position)
    if record is not None and record.check is not None:
        layer = get_catalog().get(latent.sae if latent else view.sae).site.layer
        st.caption(failures.plain(present_lens.near_layer(record.check, kind, layer)))
    if latent is not None:
        with failures.shown():
            _direction(DirectionLensAsk(latent, kind, _WORDS, fitted))
    if record is not None:
        with st.expander("How far each lens can be trusted", icon=":material/monitoring:"):
            _trust(record)


def _text(ask: LensAsk, selected: int | None) -> None:
    lens = failures.answer(get_engine().ticket(ask), "reading every layer")
    columns, rows = present_lens.text_grid(lens)
    legend = "probability of the word, full shade 100 % · bold: the model's own prediction · hover for more words"
    word_grid(columns, rows, corner="layer", legend=legend, selected=selected, key=PAGE.key("lens grid"), on_pick=views.pick_column)
    if len(columns) < len(lens.tokens):
        last = lens.first + len(columns) - 1
        st.caption(f"Tokens {lens.first} to {last} of {grouped(len(lens.tokens))}. Click a token of the text above to read around it.")


def _direction(ask: DirectionLensAsk) -> None:
    st.markdown(f"**What {failures.plain(str(ask.direction))} says by itself**", help=TERMS["lens direction"])
    lens = failures.answer(get_engine().ticket(ask), "reading the direction")
    columns, rows = present_lens.direction_grid(lens)
    legend = "effect on the word's logit, full shade the largest of its layer"
    word_grid(columns, rows, corner="layer", legend=legend, signed=True, key=PAGE.key("lens direction"))


def _trust(record: LensRecord) -> None:
    st.caption(failures.plain(present_lens.how_fitted(record)))
    check = record.check
    if check is None:
        st.info("This lens has not been compared with the model's predictions. Fit it again to measure the agreement.")
        return
    left, right = st.columns(2)
    with left:
        curves = present_lens.agreement_curves(check, kl=False)
        st.plotly_chart(lens_curves(curves, y_title="tokens that agree", share=True), key=PAGE.key("lens agreement"))
    with right:
        curves = present_lens.agreement_curves(check, kl=True)
        st.plotly_chart(lens_curves(curves, y_title="KL, nats per token", share=False), key=PAGE.key("lens kl"))
    st.caption(failures.plain(present_lens.how_checked(check)), help=TERMS["lens agreement"])
    st.download_button(
        "Download as CSV",
        present_lens.check_csv(check),
        "lens-agreement.csv",
        "text/csv",
        key=PAGE.key("lens csv"),
        icon=":material/download:",
    )
