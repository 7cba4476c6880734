"""Laws of the comparison of two sets of texts: by hand-made captures, by the tiny model, by counting pairs."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import scipy.stats

from dashboard.analysis.asks.capture import Capture, CaptureAsk, LatentActivations
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import PromotedAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast.method import Contrast, Pool, SeparatingLatent, contrast, pooled, promoted_tokens
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenizedPrompt
from tests.only_asked import OnlyAsked

SAES = (SaeId("hand", "1"), SaeId("hand", "2"))
FRIENDLY = ("The fox is quick.", "The dog sleeps over the fox and jumps.", "quick quick fox", "done, and the lazy dog is done")
HOSTILE = ("brown", "The brown dog jumps over the lazy fox", "emoji 한국어", "and and and the end", "jumps. sleeps.")


def hand_made(text: str, dense: Mapping[SaeId, np.ndarray]) -> Capture:
    """A capture from dense [token, latent] arrays; its first token is special."""
    n_tokens = len(next(iter(dense.values())))
    texts = tuple(str(i) for i in range(n_tokens))
    special = (True, *[False] * (n_tokens - 1))
    tokens = TokenizedPrompt(Prompt(text), text, tuple(range(n_tokens)), texts, tuple((i, i + 1) for i in range(n_tokens)), special)
    activations: dict[SaeId, LatentActivations] = {}
    for sae, values in dense.items():
        position, latent = np.nonzero(values)
        value = values[position, latent].astype(np.float32)
        activations[sae] = LatentActivations(sae, n_tokens, values.shape[1], position.astype(np.int32), latent.astype(np.int32), value)
    return Capture(tokens, activations, {})


class HandRunner(OnlyAsked):
    """Answers captures with what a function of the text says."""

    def __init__(self, dense_of: Callable[[str], Mapping[SaeId, np.ndarray]]) -> None:
        self._dense_of = dense_of

    def ask(self, ask):
        if isinstance(ask, PromotedAsk):
            return (str(ask.direction),) * ask.top
        assert isinstance(ask, CaptureAsk)
        dense = self._dense_of(ask.prompt.text)
        return hand_made(ask.prompt.text, {sae: dense[sae] for sae in ask.saes})


def noise(text: str) -> dict[SaeId, np.ndarray]:
    """Sparse random activations that depend on the text alone: 2 SAEs, 5 tokens, 40 latents."""
    generator = np.random.default_rng(list(text.encode()))
    return {sae: np.maximum(generator.normal(-0.5, 1, (5, 40)), 0) for sae in SAES}


def names(start: str, n: int) -> list[str]:
    return [f"{start} {i}" for i in range(n)]


def by_latent(found: Contrast) -> dict[LatentId, SeparatingLatent]:
    return {one.latent: one for one in found.latents}


def numbers_of(runner: Runner, texts: Sequence[str], latent: LatentId) -> list[float]:
    """The mean over ordinary tokens, by hand."""
    rows: list[float] = []
    for text in texts:
        capture = runner.ask(CaptureAsk(Prompt(text), (latent.sae,)))
        values = capture.activations[latent.sae].of_latent(latent.index)
        ordinary = [float(values[i]) for i, special in enumerate(capture.tokens.special) if not special]
        rows.append(sum(ordinary) / len(ordinary))
    return rows


@pytest.mark.parametrize("pool", list(Pool))
def test_swapping_the_sets_mirrors_the_auroc_and_keeps_p(runner: LocalRunner, site_saes, pool: Pool) -> None:
    there, back = (by_latent(contrast(runner, *sets, site_saes, pool)) for sets in ((FRIENDLY, HOSTILE), (HOSTILE, FRIENDLY)))
    assert there.keys() == back.keys() and len(there) > 20
    for latent, one in there.items():
        other = back[latent]
        assert one.auroc == pytest.approx(1 - other.auroc)
        assert (one.p, one.q) == pytest.approx((other.p, other.q))
        assert (one.mean_first, one.firing_first) == (other.mean_second, other.firing_second)
        assert one.difference == -other.difference


def test_the_auroc_is_the_share_of_pairs_won_with_ties_as_half(runner: LocalRunner, site_saes) -> None:
    found = contrast(runner, FRIENDLY, HOSTILE, site_saes[:1])
    assert any(one.firing_first < 1 and one.firing_second < 1 for one in found.latents), "no ties among these latents"
    for one in found.latents:
        first, second = (numbers_of(runner, texts, one.latent) for texts in (FRIENDLY, HOSTILE))
        won = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(first, second)]
        assert one.auroc == pytest.approx(np.mean(won), abs=1e-9)
        assert (one.mean_first, one.mean_second) == pytest.approx((np.mean(first), np.mean(second)), rel=1e-5)
        assert (one.firing_first, one.firing_second) == (np.mean(np.array(first) > 0), np.mean(np.array(second) > 0))


def test_a_latent_of_one_set_alone_gets_1_and_of_the_other_0() -> None:
    def dense(text: str) -> dict[SaeId, np.ndarray]:
        values = np.zeros((4, 3))
        values[2, 0 if text.startswith("a") else 1] = len(text)
        return {SAES[0]: values}

    found = contrast(HandRunner(dense), names("a", 4), names("b", 5), SAES[:1])
    assert {one.latent.index: one.auroc for one in found.latents} == {0: 1.0, 1: 0.0}
    assert found.n_silent == 1 and (found.n_first, found.n_second) == (4, 5)


@pytest.mark.parametrize("pool", list(Pool))
def test_special_tokens_do_not_count(pool: Pool) -> None:
    def dense(text: str, at_special: float) -> dict[SaeId, np.ndarray]:
        values = noise(text)[SAES[0]]
        values[0] = at_special
        values[:, 7] = [at_special, 0, 0, 0, 0]
        return {SAES[0]: values}

    def compared(at_special: float) -> Contrast:
        return contrast(HandRunner(lambda text: dense(text, at_special)), names("a", 5), names("b", 5), SAES[:1], pool)

    quiet, loud = compared(0.0), compared(99.0)
    assert quiet == loud
    assert quiet.n_silent == 1 and LatentId(SAES[0], 7) not in by_latent(loud)


def test_pooling_takes_the_mean_or_the_largest_of_the_ordinary_tokens() -> None:
    capture = hand_made("x", {SAES[0]: np.array([[50.0, 0], [1, 0], [0, 0], [5, 0]])})
    assert pooled(capture, SAES[0], Pool.MEAN).tolist() == [2, 0]
    assert pooled(capture, SAES[0], Pool.MAX).tolist() == [5, 0]


def test_shuffled_labels_find_nothing() -> None:
    runner = HandRunner(noise)
    texts = np.array(names("text", 60))
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(texts).tolist()
        found = contrast(runner, shuffled[:30], shuffled[30:], SAES)
        assert min(one.q for one in found.latents) >= 0.05
        assert min(one.p for one in found.latents) < 0.05, "80 tests without one small p: the correction had nothing to do"


def test_q_corrects_over_the_latents_of_all_saes_together() -> None:
    found = contrast(HandRunner(noise), names("a", 8), names("b", 9), SAES)
    assert {one.latent.sae for one in found.latents} == {*SAES}
    ranked = sorted(found.latents, key=lambda one: one.p)
    steps = [one.p * len(ranked) / (rank + 1) for rank, one in enumerate(ranked)]
    expected = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    np.testing.assert_allclose([one.q for one in ranked], expected)
    one = ranked[0]
    first, second = (numbers_of(HandRunner(noise), names(start, n), one.latent) for start, n in (("a", 8), ("b", 9)))
    assert one.p == pytest.approx(scipy.stats.ranksums(first, second).pvalue, rel=0.2)


def test_the_most_separating_come_first_and_of_equals_the_larger_difference() -> None:
    found = contrast(HandRunner(noise), names("a", 4), names("b", 4), SAES).latents
    keys = [(abs(one.auroc - 0.5), abs(one.difference)) for one in found]
    assert keys == sorted(keys, reverse=True)
    assert len({key[0] for key in keys}) < len(keys), "no equals to put in order"


def test_the_same_number_everywhere_says_nothing() -> None:
    found = contrast(HandRunner(lambda _: {SAES[0]: np.ones((3, 1))}), names("a", 4), names("b", 4), SAES[:1])
    assert [(one.auroc, one.p, one.q, one.difference) for one in found.latents] == [(0.5, 1, 1, 0)]


def test_silence_is_counted_and_no_error() -> None:
    found = contrast(HandRunner(lambda _: {SAES[0]: np.zeros((3, 6))}), names("a", 3), names("b", 3), SAES[:1])
    assert found.latents == () and found.n_silent == 6


def test_an_sae_named_twice_is_tested_once() -> None:
    once, twice = (contrast(HandRunner(noise), names("a", 4), names("b", 4), saes) for saes in (SAES, (*SAES, SAES[0])))
    assert once == twice


def test_too_little_to_compare_is_refused_with_the_numbers() -> None:
    runner = HandRunner(noise)
    with pytest.raises(BadAsk, match="2 and 5 texts; each needs 3"):
        contrast(runner, names("a", 2), names("b", 5), SAES)
    with pytest.raises(BadAsk, match="5 and 0 texts"):
        contrast(runner, names("a", 5), [], SAES)
    with pytest.raises(BadAsk, match="0 SAEs"):
        contrast(runner, names("a", 3), names("b", 3), ())
    with pytest.raises(BadAsk, match="'a 0' has 0 ordinary tokens"):
        contrast(HandRunner(lambda _: {SAES[0]: np.ones((1, 2))}), names("a", 3), names("b", 3), SAES[:1])


def test_promoted_tokens_are_those_of_each_latents_direction() -> None:
    found = contrast(HandRunner(noise), names("a", 3), names("b", 3), SAES).latents[:2]
    assert promoted_tokens(HandRunner(noise), found, top=2) == tuple((str(one.latent),) * 2 for one in found)
