"""Every colour, light and dark. Components get them as CSS variables and never name a colour themselves."""

PINS = ("#0072B2", "#009E73", "#CC79A7")
"""Pinned latents, in the order they were pinned: Okabe-Ito blue, bluish green, reddish purple."""
PINS_DARK = ("#56B4E9", "#2fc79d", "#e3a1c6")
"""The same hues, light enough for a dark page."""

SIGNED = ("#0072B2", "#D55E00")
"""The negative and the positive end of signed scales, Okabe-Ito blue and vermilion; their middle, 0, is `line`."""
SIGNED_DARK = ("#56B4E9", "#E69F00")
"""The same for a dark page: Okabe-Ito sky blue and orange."""

CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a7a00")
"""Lines of a figure, in order: Okabe-Ito hues, each at least 3:1 on light and on dark paper."""

KINDS = (*CURVES, "#7d68c9")
"""Types of entities, in order: the hues of CURVES and a violet. From the seventh on they come again in the next dash."""
DASHES = ("solid", "dot", "dashdot")

TONES = {
    "known": "#0072B2",
    "unknown": "#D55E00",
    "aside": "#8c857b",
    "plain": "#7f786e",
    "random": "#8c857b",
    "without": "#009E73",
    "right": "#8c857b",
    "wrong": "#CC79A7",
}
"""What a mark of a study stands for, each readable on light and on dark paper: known is blue, unknown orange, aside grey."""

ORIGINS = {
    "not_known": ("#8c857b", "#8f887d"),
    "nowhere": ("#b8b0a4", "#5d626b"),
    "res": ("#0072B2", "#56B4E9"),
    "mlp": ("#d98a00", "#E69F00"),
    "att": ("#009E73", "#2fc79d"),
    "res_mlp": ("#b3568c", "#e3a1c6"),
    "res_att": ("#4a9ccb", "#9bd5f2"),
    "mlp_att": ("#8a7a00", "#e3d84a"),
    "res_mlp_att": ("#6a4fb3", "#b9a5f0"),
    "error": ("#a5524a", "#d98c83"),
    "token": ("#4f5661", "#c3c9d2"),
    "logit": ("#1f1b16", "#ece8e1"),
}
"""What a latent comes from, or what another node is, (light, dark): Okabe-Ito hues and their neighbours; grey for nothing."""

LIGHT = {
    "paper": "#fffdf9",
    "mid": "#ffc247",
    "full": "#f0701a",
    "ink": "#1f1b16",
    "quiet": "#6f675c",
    "line": "#ddd5c8",
    "focus": "#0072B2",
    "accent": "#b45309",
    "on-weak": "#1f1b16",
    "on-strong": "#17130d",
}
"""paper, mid and full are the three stops of the activation ramp; on-weak and on-strong are text on its two halves.
accent is the primary colour of the theme, and marks steered text."""
DARK = {
    "paper": "#14161a",
    "mid": "#8a5a12",
    "full": "#ffd166",
    "ink": "#ece8e1",
    "quiet": "#a39d93",
    "line": "#363b44",
    "focus": "#56B4E9",
    "accent": "#f5b754",
    "on-weak": "#ffffff",
    "on-strong": "#000000",
}
STRONG_FROM = 0.575
"""From this share of the maximum on, text on the ramp is drawn in on-strong."""


def css_variables(selector: str = ":host") -> str:
    """A rule with every colour; each follows the page's colour scheme by itself."""
    pairs = {name: (LIGHT[name], DARK[name]) for name in LIGHT}
    pairs |= {f"pin{i}": pair for i, pair in enumerate(zip(PINS, PINS_DARK, strict=True))}
    pairs |= {f"origin-{name.replace('_', '-')}": pair for name, pair in ORIGINS.items()}
    pairs |= dict(zip(("negative", "positive"), zip(SIGNED, SIGNED_DARK, strict=True), strict=True))
    declarations = " ".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in pairs.items())
    return f"{selector} {{ {declarations} }}\n"
