"""Two texts that are being written, side by side, as their tokens come."""

import html
import time

import streamlit as st

from dashboard.analysis.engine.tickets import Place
from dashboard.analysis.methods.steering.comparison import PLAIN, STEERED, SteeringAsk, Written
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_engine, get_notice
from dashboard.ui.views import steer

_DRAWN_EVERY_S = 0.07
_CARET = "<span style='opacity:.5'>&#9611;</span>"


def stream(ask: SteeringAsk) -> dict[str, Written]:
    """Write both texts, drawing them as they grow. Leaving early, also by a click elsewhere, cancels the job."""
    texts = {PLAIN: Written(), STEERED: Written()}
    line, left, right = st.empty(), *(column.empty() for column in st.columns(2, gap="large"))
    said, drawn = "", 0.0
    steer.keep_partial(ask, dict(texts))
    with get_engine().ticket(ask.generation) as ticket:
        for item in ticket:
            if isinstance(item, Place):
                now = f"{item.ahead} ahead of you" if item.ahead else get_notice().line or "writing"
                if now != said:
                    said = now
                    line.caption(failures.plain(now))
                continue
            for delta in item:
                texts[delta.variant] = texts[delta.variant].add(delta)
            steer.keep_partial(ask, dict(texts))
            if time.monotonic() - drawn > _DRAWN_EVERY_S:
                drawn = time.monotonic()
                for place, title, label in ((left, "Plain", PLAIN), (right, "Steered", STEERED)):
                    place.html(_growing(title, ask.prompt.text, texts[label]))
    for place in (line, left, right):
        place.empty()
    return texts


def _growing(title: str, prompt: str, written: Written) -> str:
    """The text so far, in the type of the finished one."""
    face = "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Noto Sans Mono', 'Noto Sans Mono CJK KR', D2Coding, monospace"
    style = f"font-family: {face}; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 2.1"
    prompt = prompt if len(prompt) <= 400 else "…" + prompt[-400:]
    caret = "" if written.ended else _CARET
    body = f"<span style='opacity:.6'>{html.escape(prompt)}</span>{html.escape(written.text)}{caret}"
    return f'<div><strong>{title}</strong><div style="{style}">{body}</div></div>'
