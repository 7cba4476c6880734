"""Every colour, light and dark. Components get them as CSS variables and never name a colour themselves."""

PINS = ("#0072B2", "#009E73", "#CC79A7")
"""Pinned latents, in the order they were pinned: Okabe-Ito blue, bluish green, reddish purple."""
PINS_DARK = ("#56B4E9", "#2fc79d", "#e3a1c6")
"""The same hues, light enough for a dark page."""

LIGHT = {
    "paper": "#fffdf9",
    "mid": "#ffc247",
    "full": "#f0701a",
    "ink": "#1f1b16",
    "quiet": "#6f675c",
    "line": "#ddd5c8",
    "focus": "#0072B2",
    "on-weak": "#1f1b16",
    "on-strong": "#17130d",
}
"""paper, mid and full are the three stops of the activation ramp; on-weak and on-strong are text on its two halves."""
DARK = {
    "paper": "#14161a",
    "mid": "#8a5a12",
    "full": "#ffd166",
    "ink": "#ece8e1",
    "quiet": "#a39d93",
    "line": "#363b44",
    "focus": "#56B4E9",
    "on-weak": "#ffffff",
    "on-strong": "#000000",
}
STRONG_FROM = 0.575
"""From this share of the maximum on, text on the ramp is drawn in on-strong."""


def css_variables() -> str:
    """A `:host` rule with every colour; each follows the page's colour scheme by itself."""
    both = [f"--{name}: light-dark({LIGHT[name]}, {DARK[name]});" for name in LIGHT]
    pins = [f"--pin{i}: light-dark({light}, {dark});" for i, (light, dark) in enumerate(zip(PINS, PINS_DARK, strict=True))]
    return f":host {{ {' '.join(both + pins)} }}\n"
