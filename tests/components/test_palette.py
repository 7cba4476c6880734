"""Text can be read on every shade, in both themes."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from components.palette import DARK, LIGHT, PINS, PINS_DARK, SIGNED, SIGNED_DARK, STRONG_FROM, css_variables

Colour = np.ndarray

_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]
)
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]]
)


def linear(colour: str) -> Colour:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """What CSS `color-mix(in oklab, one, other share)` gives, in linear light."""
    labs = [_TO_LAB @ np.cbrt(_TO_LMS @ colour) for colour in (one, other)]
    lab = (1 - share) * labs[0] + share * labs[1]
    return np.clip(np.linalg.inv(_TO_LMS) @ (np.linalg.inv(_TO_LAB) @ lab) ** 3, 0, 1)


def shade(theme: dict[str, str], t: float) -> Colour:
    low = mix(linear(theme["paper"]), linear(theme["mid"]), min(t, 0.5) * 2)
    return mix(low, linear(theme["full"]), max(t - 0.5, 0) * 2)


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted(float(colour @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_on_the_ramp_has_a_contrast_of_four_and_a_half(theme: dict[str, str]) -> None:
    for t in np.linspace(0, 1, 201):
        text = theme["on-strong" if t > STRONG_FROM else "on-weak"]
        assert contrast(linear(text), shade(theme, t)) >= 4.5, t


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_ink_can_be_read_on_paper(theme: dict[str, str]) -> None:
    for name in ("ink", "quiet", "accent"):
        assert contrast(linear(theme[name]), linear(theme["paper"])) >= 4.5


@pytest.mark.parametrize(("theme", "rising"), [(LIGHT, False), (DARK, True)], ids=["light", "dark"])
def test_the_ramp_is_even_and_goes_one_way(theme: dict[str, str], rising: bool) -> None:
    lightness = [(_TO_LAB @ np.cbrt(_TO_LMS @ shade(theme, t)))[0] for t in np.linspace(0, 1, 101)]
    steps = np.diff(lightness) * (1 if rising else -1)
    assert (steps > 0).all() and steps.max() < 5 * steps.min()


@pytest.mark.parametrize(("theme", "pins"), [(LIGHT, PINS), (DARK, PINS_DARK)], ids=["light", "dark"])
def test_pins_stand_out_from_the_paper(theme: dict[str, str], pins: tuple[str, ...]) -> None:
    assert all(contrast(linear(pin), linear(theme["paper"])) >= 2.5 for pin in pins) and len(set(pins)) == 3


@pytest.mark.parametrize(("theme", "ends"), [(LIGHT, SIGNED), (DARK, SIGNED_DARK)], ids=["light", "dark"])
def test_both_ends_of_the_signed_scale_stand_out_from_its_middle_and_from_each_other(theme: dict[str, str], ends: tuple[str, str]) -> None:
    middle, low, high = (_TO_LAB @ np.cbrt(_TO_LMS @ linear(colour)) for colour in (theme["line"], *ends))
    assert min(np.linalg.norm(low - middle), np.linalg.norm(high - middle)) > 0.2
    # Blue lies on one side of the middle and orange on the other: along oklab's b, which colour-blind eyes keep.
    assert low[2] < middle[2] - 0.05 and high[2] > middle[2] + 0.05
    assert all(contrast(linear(end), linear(theme["paper"])) >= 2.5 for end in ends)


@pytest.mark.parametrize(("theme", "name"), [(LIGHT, "light"), (DARK, "dark")], ids=["light", "dark"])
def test_the_accent_is_the_primary_colour_of_the_theme(theme: dict[str, str], name: str) -> None:
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())
    assert theme["accent"] == config["theme"][name]["primaryColor"]


def test_every_colour_reaches_the_components() -> None:
    css = css_variables()
    assert (
        f"--negative: light-dark({SIGNED[0]}, {SIGNED_DARK[0]})" in css and f"--positive: light-dark({SIGNED[1]}, {SIGNED_DARK[1]})" in css
    )
    assert all(f"--{name}: light-dark({LIGHT[name]}, {DARK[name]})" in css for name in LIGHT)
