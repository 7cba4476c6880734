"""Absorption: the fraction is what its definition says, and an SAE that absorbs is told from one that does not."""

import numpy as np
import pytest
import torch

from dashboard.analysis.sae.measure.absorption import MIN_COSINE, _measure, absorbed

D = 8
AXIS = np.eye(D, dtype=np.float32)


def rows(*directions: np.ndarray) -> np.ndarray:
    return np.stack(directions).astype(np.float32)


@pytest.mark.parametrize(
    ("value", "main", "other", "expected"),
    [
        (1.0, 0.2, 0.7, 0.7 / 0.9),  # A < P - S
        (1.0, 0.5, 0.9, 0.5),  # what is missing bounds what can be absorbed
        (1.0, 1.0, 0.9, 0.0),  # nothing is missing
        (1.0, 0.2, 0.3, 0.0),  # others carry too little
        (1.0, 0.0, 0.9, 1.0),  # the main latent is off
        (-1.0, -2.0, 0.9, 0.0),  # the probe points the other way
    ],
)
def test_the_fraction_of_one_token(value: float, main: float, other: float, expected: float) -> None:
    decoder = rows(AXIS[0], AXIS[0], AXIS[1])
    acts = np.array([main, other, 5.0], dtype=np.float32)
    assert absorbed(value * AXIS[0], acts, decoder, 3 * AXIS[0], [0]) == pytest.approx(expected)


def test_a_latent_that_hardly_points_the_probes_way_absorbs_nothing() -> None:
    for cosine, expected in ((MIN_COSINE * 0.9, 0.0), (MIN_COSINE * 1.1, 1.0)):
        slanted = cosine * AXIS[0] + np.sqrt(1 - cosine**2) * AXIS[1]
        acts = np.array([0.0, 0.9 / cosine], dtype=np.float32)
        assert absorbed(AXIS[0], acts, rows(AXIS[0], slanted), AXIS[0], [0]) == expected


def test_at_most_three_latents_absorb() -> None:
    decoder = rows(*[AXIS[0]] * 6)
    acts = np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.2], dtype=np.float32)
    assert absorbed(AXIS[0], acts, decoder, AXIS[0], [0]) == pytest.approx(0.6 / 0.7)


@pytest.mark.parametrize("absorbs", [False, True])
def test_an_absorbing_dictionary_is_told_from_an_honest_one(absorbs: bool) -> None:
    """Words of letter a share a direction; of every third of them, another latent carries that direction with the word's own."""
    draw = np.random.default_rng(0)
    n_words = 240
    letters = np.array([0 if word % 2 else 1 for word in range(n_words)])
    ids = np.repeat(np.arange(n_words), 4)
    is_a = letters[ids] == 0
    special = is_a & (ids % 3 == 0)
    noise = 0.05 * draw.standard_normal((len(ids), D)).astype(np.float32)
    values = 4 * is_a[:, None] * AXIS[0] + special[:, None] * AXIS[1] + (~is_a)[:, None] * AXIS[2] + noise
    together = (4 * AXIS[0] + AXIS[1]) / np.sqrt(17)
    decoder = rows(AXIS[0], together if absorbs else AXIS[1], AXIS[2], AXIS[3])
    acts = np.zeros((len(ids), 4), dtype=np.float32)
    acts[:, 0] = 4 * (is_a & ~special) if absorbs else 4 * is_a
    acts[:, 1] = special * (np.sqrt(17) if absorbs else 1)
    acts[:, 2] = ~is_a
    found = _measure(values, acts, torch.from_numpy(decoder), ids, letters)
    assert found.n_letters == 2 and found.n_tokens == len(ids)
    assert found.probe_f1 == pytest.approx(1.0)
    if absorbs:
        assert found.max_cosine > 0.4 and found.latents_per_letter > 1
    else:
        assert found.absorption == pytest.approx(0, abs=0.01) and found.latents_per_letter == 1


def test_letters_that_the_model_does_not_say_are_left_out() -> None:
    draw = np.random.default_rng(0)
    ids = np.repeat(np.arange(200), 4)
    letters = draw.integers(0, 2, 200)
    values = draw.standard_normal((len(ids), D)).astype(np.float32)
    found = _measure(values, np.abs(values), torch.eye(D), ids, letters)
    assert (found.n_letters, found.absorption, found.max_cosine) == (0, None, 0.0)
