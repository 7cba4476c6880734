"""Numbers formatted for display."""

import numpy as np

from components.data import Column
from components.figures.known_data import ShareBar
from dashboard.analysis.index.latent import Frequency
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.tokens import TokenizedPrompt
from dashboard.ui.shell.glossary import TERMS


def peak(values: np.ndarray, tokens: TokenizedPrompt) -> float:
    """Largest value on an ordinary token; 0 if there is none."""
    return float(values[list(tokens.ordinary)].max(initial=0.0))


def figure(value: float | None, digits: int) -> str:
    """A number for a metric; what is not known says so."""
    return "not known" if value is None else f"{value:.{digits}f}"


def number(value: float) -> str:
    """A number to three significant digits."""
    return f"{value:.3g}"


def moment(created: str) -> str:
    """A timestamp of the store for display, to the minute."""
    return f"{created[:16].replace('T', ' ')} UTC"


def share_bar(share: Share) -> ShareBar:
    """A share for a bar; of nothing it spans everything."""
    low, high = share.interval or (0.0, 1.0)
    return ShareBar(share.k, share.n, low, high)


def share_of_n(share: Share) -> str:
    """A share with its n: "80 % of 30"."""
    return "not known" if share.value is None else f"{100 * share.value:.0f} % of {share.n}"


def tiny(p: float) -> str:
    """A probability: two decimals, a power of ten where it is small."""
    return f"{p:.2f}" if p >= 0.0095 else f"{p:.0e}".replace("e-0", "e-")


def how_many(n: int, one: str, more: str) -> str:
    """As "1 row", "2 rows"."""
    return f"{grouped(n)} {one if n == 1 else more}"


def grouped(n: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\u2009")


def percent(share: float) -> str:
    """A share in per cent, to two significant digits below 10."""
    value = 100 * share
    return "0 %" if value == 0 else f"{value:.0f} %" if value >= 10 else f"{value:.2g} %" if value >= 1e-3 else f"{value:.0e} %"


def density(found: Frequency) -> tuple[str, str]:
    """How often a latent fires, with its interval; and what was counted."""
    if found.n == 0:
        return "not known", "no token was counted"
    low, high = (f"{100 * end:.3g}" for end in (found.low, found.high))
    return f"{100 * found.share:.3g} % [{low}, {high}]", f"{grouped(found.n_fired)} of {grouped(found.n)} tokens"


DENSITY = Column("density", TERMS["density"])

UNKNOWN = "–"


def rounded_count(value: float) -> str:
    """A count with thin spaces, to two significant digits where it is an estimate of many."""
    rounded = float(f"{value:.2g}") if value >= 100 else round(value, 1 if value < 10 else 0)
    return f"{rounded:,.1f}".replace(",", "\u2009").removesuffix(".0")


def short_percent(share: float | None) -> str:
    """A share in short_percent, with as many digits as a small one needs."""
    if share is None:
        return UNKNOWN
    return f"{100 * share:.2g} %" if share < 0.01 else f"{100 * share:.1f} %"
