"""Numbers and coordinates in a text, as answers hold them."""

import math
import re
from collections.abc import Iterator

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_QUANTITY = re.compile(rf"(-?)(\d+(?:\.\d+)?)(?:\s*({'|'.join(_SCALES)}))?", re.IGNORECASE)
_DECIMAL = re.compile(r"\d+(?:\.\d+)?")
_POINT = re.compile(r"point\(\s*(-?[\d.]+(?:e-?\d+)?)\s+(-?[\d.]+(?:e-?\d+)?)\s*\)", re.IGNORECASE)
_LONGEST = 30
"""Digits; a longer run is not an answer but a model that repeats itself."""


def whole_numbers(text: str) -> tuple[int, ...]:
    """Every run of digits, thousands commas taken out: "1,234 in 1961" gives 1234 and 1961, "2.5" gives 2 and 5."""
    return tuple(int(run) for run in re.findall(r"\d+", _THOUSANDS.sub("", text)) if len(run) <= _LONGEST)


def quantities(text: str) -> Iterator[float]:
    """Every number with its sign, decimals and the word after it: "2.5 million" gives 2,500,000, "-12" gives -12.

    A dash between two numbers is a range, not a sign: "10-20" gives 10 and 20.
    """
    plain = _THOUSANDS.sub("", text).replace("−", "-")
    for found in _QUANTITY.finditer(plain):
        sign, digits, word = found.groups()
        if len(digits) <= _LONGEST:
            is_negative = sign and not plain[: found.start()].rstrip()[-1:].isalnum()
            yield (-1 if is_negative else 1) * float(digits) * _SCALES.get((word or "").lower(), 1.0)


def truncated(text: str) -> tuple[int, ...]:
    """The whole part of every number, without sign: "48.86° N, 2.35° E" gives 48 and 2."""
    return tuple(math.trunc(float(run)) for run in _DECIMAL.findall(text) if len(run) <= _LONGEST)


def parse_coordinates(cell: str) -> tuple[float, float] | None:
    """Latitude and longitude in degrees of "48.86 2.35", "48.86, 2.35" or "Point(2.35 48.86)"; None if it is none of these.

    Within `Point` the longitude stands first, as Wikidata writes it.
    """
    if point := _POINT.fullmatch(cell.strip()):
        pair = (point[2], point[1])
    else:
        pair = tuple(part for part in re.split(r"[,\s]+", cell.strip()) if part)
    try:
        latitude, longitude = (float(part) for part in pair)
    except ValueError:
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 360 else None
