"""Every colour, light and dark. Components get them as CSS variables and never name a colour themselves."""

PINS = ("#0072B2", "#009E73", "#CC79A7")
"""Pinned latents, in the order they were pinned: Okabe-Ito blue, bluish green, reddish purple."""
PINS_DARK = ("#56B4E9", "#2fc79d", "#e3a1c6")
"""The same hues, light enough for a dark page."""

_LIGHT = {
    "paper": "#fffdf9",
    "mid": "#ffc247",
    "full": "#f0701a",
    "ink": "#1f1b16",
    "quiet": "#6f675c",
    "line": "#ddd5c8",
    "focus": "#0072B2",
}
_DARK = {
    "paper": "#14161a",
    "mid": "#8a5a12",
    "full": "#ffd166",
    "ink": "#ece8e1",
    "quiet": "#a39d93",
    "line": "#363b44",
    "focus": "#56B4E9",
}
_ON_FULL = "#17130d"
"""Text on the strongest shade, in both themes."""


def css_variables() -> str:
    """A `:host` rule with every colour; each follows the page's colour scheme by itself."""
    both = [f"--{name}: light-dark({_LIGHT[name]}, {_DARK[name]});" for name in _LIGHT]
    pins = [f"--pin{i}: light-dark({light}, {dark});" for i, (light, dark) in enumerate(zip(PINS, PINS_DARK, strict=True))]
    return f":host {{ {' '.join(both + pins)} --on-full: {_ON_FULL}; }}\n"
