"""An index against a token-by-token recomputation with sae-lens, and a build that is killed anywhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BrokenText, RunMismatch
from dashboard.analysis.index import file as index_module
from dashboard.analysis.index import passes as reading
from dashboard.analysis.index.building import build_indexes
from dashboard.analysis.index.facts import N_BINS, N_INTERVALS, N_NEAR, N_NEIGHBOURS, N_TOP, PER_INTERVAL, QUANTILES, LatentFacts, bins_of
from dashboard.analysis.index.file import columns, index_file, read_facts, read_histograms, read_index
from dashboard.analysis.index.latent import frequency, report
from dashboard.analysis.index.measuring import Vocabulary, in_steps, labels, rounded, sort_firings
from dashboard.analysis.model.bridge import LoadedModel, token_texts
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.sae.measure import measures
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpus import Corpus, join
from tests.conftest import N_LATENTS, TEXT, TINY

SAES = tuple(SaeId("tiny", name) for name in ("1.resid_post", "2.resid_post", "1.mlp_out", "2.exact"))
CUT = {"rtol": 2**-11, "atol": 1e-6}
STEP = 0.51 / 4096
SOME = sorted({*range(0, N_LATENTS, 4), 5, 6})
"""Latents whose facts are checked one by one; counts are checked for all."""


def make_corpus(model: LoadedModel, n_documents: int = 60) -> Corpus:
    """Documents of many lengths, with special tokens inside, at the start and alone."""
    rng = np.random.default_rng(0)
    words = model.tokenizer(TEXT)["input_ids"]
    end, start = model.tokenizer.eos_token_id, model.tokenizer.bos_token_id
    documents = [rng.choice(words, int(rng.integers(1, 40))).tolist() for _ in range(n_documents)]
    documents += [[start, *words[:9]], [*words[:5], end, *words[5:9]], [end], [start], words[:20], words[:20]]
    return join("words", str(TINY), [("test", document) for document in documents])


@dataclass
class Place:
    """A release in a folder of its own, with what builds its indexes."""

    runner: LocalRunner
    corpus: Corpus
    cache: Path

    def spec(self, sae: SaeId) -> SaeSpec:
        return self.runner.catalog.get(sae)

    def build(self, *saes: SaeId, progress: Callable[[float, str], None] = lambda share, words: None) -> list[Path]:
        specs = [self.spec(sae) for sae in saes or SAES]
        return build_indexes(specs, self.corpus, self.runner.model, self.runner.catalog, self.cache, progress)


def dead_latent(folder: Path) -> None:
    """Latent 5 of an SAE never fires, latent 6 on every token."""
    sae = SAE.load_from_disk(folder)
    sae.threshold.data[5] = 1e9
    sae.b_enc.data[6] += 100
    sae.save_model(folder)


@pytest.fixture(scope="session")
def release(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(tiny_release, tmp_path_factory.mktemp("index") / "tiny")
    dead_latent(folder / "2.resid_post")
    return folder


def place_of(release: Path, model: LoadedModel, settings: Settings, folder: Path) -> Place:
    own = settings.model_copy(update={"sae_folders": (release,), "cache": folder / "cache"})
    return Place(LocalRunner(model, read_catalog(own, assets=folder), own.cache), make_corpus(model), own.cache)


@pytest.fixture
def place(release: Path, tiny_model: LoadedModel, tiny_settings: Settings, tmp_path: Path, small_parts: None) -> Place:
    return place_of(shutil.copytree(release, tmp_path / "tiny"), tiny_model, tiny_settings, tmp_path)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART_TOKENS", 200)
    monkeypatch.setattr(reading, "_TOKENS_PER_PASS", 100)


@dataclass
class Plain:
    """Every activation of an SAE over the corpus, document by document, as sae-lens gives it."""

    acts: np.ndarray
    before: np.ndarray
    counted: np.ndarray
    n_ordinary: int
    document: np.ndarray


def recompute(place: Place, sae_id: SaeId) -> Plain:
    runner, corpus, spec = place.runner, place.corpus, place.spec(sae_id)
    sae, special = runner.sae(sae_id), runner.model.tokenizer.all_special_ids
    acts, before, norms, documents = [], [], [], []
    for number in range(corpus.n_documents):
        ids = tuple(corpus.document(number).tolist())
        row = runner.model.with_bos(ids)
        rows = read_sites(runner.model.bridge, torch.tensor([row]), [spec.site])[spec.site][0, len(row) - len(ids) :].float()
        with torch.no_grad():
            acts.append(sae.encode(rows).numpy())
            before.append(((rows - sae.b_dec * sae.cfg.apply_b_dec_to_input) @ sae.W_enc + sae.b_enc).numpy())
        norms.append(rows.norm(dim=1).numpy())
        documents += [number] * len(ids)
    norm, ordinary = np.concatenate(norms), ~np.isin(corpus.ids, special)
    counted = ordinary & (norm <= measures.OUTLIER_NORM * np.sort(norm[ordinary])[(ordinary.sum() - 1) // 2])
    return Plain(np.concatenate(acts), np.concatenate(before), counted, int(ordinary.sum()), np.array(documents))


@pytest.fixture(params=[10.0, 2.2, 1.3], ids=["no outliers", "large norms", "outliers"])
def outlier_norm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(measures, "OUTLIER_NORM", request.param)
    monkeypatch.setattr(reading, "OUTLIER_NORM", request.param)
    return request.param


def check_activations(facts: LatentFacts, plain: Plain) -> None:
    """Counts and examples of one latent against its dense column."""
    value = np.where(plain.counted, plain.acts[:, facts.latent.index], 0)
    fired = np.flatnonzero(value)
    assert facts.n_fired == len(fired)
    order = fired[np.lexsort((fired, -value[fired]))]
    near = np.sort(value[fired])
    if facts.is_dead:
        assert facts.mean == facts.maximum == 0 and facts.label == ""
        assert not (facts.quantiles or facts.histogram or facts.top or facts.intervals or facts.cofiring)
        return
    assert facts.mean == pytest.approx(value[fired].mean(dtype=np.float64), rel=1e-5)
    assert facts.maximum == pytest.approx(value.max(), rel=1e-5)
    np.testing.assert_allclose(facts.quantiles, np.quantile(near, QUANTILES), **CUT)
    assert len(facts.histogram) == N_BINS and sum(facts.histogram) == facts.n_fired == sum(part.n for part in facts.intervals)
    # Rounding of the model's pass may move a token over an edge, which changes two bins by one.
    assert np.abs(np.array(facts.histogram) - np.bincount(bins_of(near, float(near[-1])), minlength=N_BINS)).sum() <= 2
    np.testing.assert_allclose([one.value for one in facts.top], value[order[:N_TOP]], **CUT)
    np.testing.assert_allclose([one.value for one in facts.top], value[[one.position for one in facts.top]], **CUT)
    assert len({one.position for one in facts.top}) == min(N_TOP, len(fired))
    for part in facts.intervals:
        inside = [one.position for one in part.examples]
        assert len({*inside}) == len(inside) == min(PER_INTERVAL, part.n)
        np.testing.assert_allclose([one.value for one in part.examples], value[inside], **CUT)
        assert all(part.low * (1 - 1e-5) < value[p] <= part.high * (1 + 1e-5) for p in inside)
        eligible = fired[(value[fired] > part.low * (1 + 1e-5)) & (value[fired] <= part.high * (1 - 1e-5))]
        assert len({*plain.document[inside]}) >= min(PER_INTERVAL, len({*plain.document[eligible]}), part.n)


def check_near(facts: LatentFacts, plain: Plain) -> None:
    latent = facts.latent.index
    best = []
    for document in range(plain.document.max() + 1):
        here = plain.counted & (plain.document == document)
        if here.any() and not (plain.acts[here, latent] > 0).any():
            best.append(plain.before[here, latent].max())
    expected = np.sort(best)[::-1][:N_NEAR]
    np.testing.assert_allclose([one.value for one in facts.near_misses], expected, **CUT)
    for one in facts.near_misses:
        assert plain.counted[one.position] and plain.before[one.position, latent] == pytest.approx(one.value, rel=1e-3, abs=1e-6)
    assert len({plain.document[one.position] for one in facts.near_misses}) == len(facts.near_misses)


def check_cofiring(place: Place, sae: SaeId, plain: Plain) -> None:
    fires = ((plain.acts > 0) & plain.counted[:, None]).astype(np.int64)
    both = fires.T @ fires
    n = fires.sum(0)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(both / (n[:, None] + n - both))
    np.fill_diagonal(share, 0)
    for index in SOME:
        facts = read_facts(place.spec(sae), index)
        expected = np.sort(share[index])[::-1][:N_NEIGHBOURS]
        np.testing.assert_allclose([one.share for one in facts.cofiring], expected[expected > 0], atol=STEP)
        for one in facts.cofiring:
            assert one.latent.sae == sae and share[index, one.latent.index] == pytest.approx(one.share, abs=STEP)


@pytest.mark.parametrize("sae", SAES, ids=str)
def test_every_number_equals_a_token_by_token_recomputation(place: Place, sae: SaeId, outlier_norm: float) -> None:
    place.build(sae)
    plain, index = recompute(place, sae), read_index(place.spec(sae))
    threshold = place.runner.sae(sae).threshold.detach().numpy()
    assert not (np.abs(plain.before - threshold) < 1e-6).any(), "a latent on the edge of its threshold makes counts uncertain"
    assert index.n_tokens == plain.counted.sum() and index.head.n_outliers == plain.n_ordinary - plain.counted.sum()
    assert index.head.n_outliers == 0 if outlier_norm == 10 else outlier_norm > 2 or index.head.n_outliers > 0
    np.testing.assert_array_equal(index.n_fired, ((plain.acts > 0) & plain.counted[:, None]).sum(0))
    for latent in SOME:
        facts = read_facts(place.spec(sae), latent)
        check_activations(facts, plain)
        check_near(facts, plain)
    check_cofiring(place, sae, plain)


def test_a_dead_latent_has_no_examples_and_a_loud_one_no_near_misses(place: Place) -> None:
    place.build(SAES[1])
    dead, loud = (read_facts(place.spec(SAES[1]), index) for index in (5, 6))
    assert dead.is_dead and dead.near_misses and dead.promoted and dead.neighbours and np.isfinite(dead.logit_high)
    assert loud.n_fired == loud.head.n_tokens and not loud.near_misses
    assert read_histograms(place.spec(SAES[1]))[5].sum() == 0


def test_special_tokens_are_never_counted(place: Place) -> None:
    place.build(SAES[1])
    special = {*place.runner.model.tokenizer.all_special_ids}
    ordinary = sum(int(i) not in special for i in place.corpus.ids)
    assert len(place.corpus) > ordinary == read_facts(place.spec(SAES[1]), 6).n_fired
    for name in ("top_position", "interval_position", "near_position"):
        positions = columns(place.spec(SAES[1]), name).column(name).combine_chunks().flatten().to_numpy()
        assert len(positions) and not {*place.corpus.ids[positions].tolist()} & special


def test_neighbours_equal_a_brute_force_cosine(place: Place) -> None:
    place.build()
    rows = {sae: torch.nn.functional.normalize(place.runner.sae(sae).W_dec.double(), dim=1) for sae in SAES}
    for sae in SAES:
        for index in range(0, N_LATENTS, 7):
            facts = read_facts(place.spec(sae), index)
            assert len(facts.neighbours) == 2 * N_NEIGHBOURS
            cosine = {LatentId(other, i): float(c) for other in SAES for i, c in enumerate(rows[other] @ rows[sae][index])}
            del cosine[LatentId(sae, index)]
            for within, found in ((True, facts.neighbours[:N_NEIGHBOURS]), (False, facts.neighbours[N_NEIGHBOURS:])):
                expected = sorted((c for latent, c in cosine.items() if (latent.sae == sae) is within), reverse=True)[:N_NEIGHBOURS]
                np.testing.assert_allclose([one.cosine for one in found], expected, atol=STEP)
                assert all(cosine[one.latent] == pytest.approx(one.cosine, abs=STEP) for one in found)


def test_tokens_stand_in_the_order_of_the_unembedding_and_their_logits_are_what_a_unit_adds(place: Place) -> None:
    place.build(SAES[2])  # its rows are of unequal length
    model, sae = place.runner.model, place.runner.sae(SAES[2])
    weights = model.bare.model.norm.weight.double()
    for index in range(N_LATENTS):
        facts = read_facts(place.spec(SAES[2]), index)
        logits = model.bare.lm_head.weight.double() @ (sae.W_dec[index].double() * weights)
        order = model.unembed(sae.W_dec[index]).argsort(descending=True).tolist()
        assert [one.token_id for one in facts.promoted] == order[:10]
        assert [one.token_id for one in facts.suppressed] == order[::-1][:10]
        for one in (*facts.promoted, *facts.suppressed):
            assert one.logit == pytest.approx(float(logits[one.token_id]), rel=1e-3)
        assert (facts.logit_low, facts.logit_high) == pytest.approx((float(logits.min()), float(logits.max())), rel=1e-3)
        expected, _ = np.histogram(logits.detach().numpy(), N_BINS)
        assert sum(facts.logit_histogram) == len(logits) and np.abs(expected - facts.logit_histogram).sum() <= 2


def test_a_row_of_the_file_equals_the_columns(place: Place) -> None:
    place.build(SAES[0])
    table = columns(place.spec(SAES[0]), *index_module.SCHEMA.names)
    for index in (0, 1, N_LATENTS - 1):
        facts, row = read_facts(place.spec(SAES[0]), index), {name: table.column(name)[index].as_py() for name in table.column_names}
        assert [(one.position, one.value) for one in facts.top] == list(zip(row["top_position"], row["top_value"], strict=True))
        assert (facts.n_fired, facts.mean, facts.maximum, facts.label) == tuple(row[n] for n in ("n_fired", "mean", "maximum", "label"))
        assert [*facts.histogram] == row["histogram"] == read_histograms(place.spec(SAES[0]))[index].tolist()
        examples = [one for part in facts.intervals for one in part.examples]
        assert [one.position for one in examples] == row["interval_position"]


class Killed(BaseException):
    pass


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = [file.read_bytes() for file in place.build()]
    stages: list[str] = []
    place.build(progress=lambda share, words: stages.append(words))
    assert len({words for words in stages if "reading part" in words}) > 3
    passes = 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal passes
        passes += 1
        return read_sites(*given, **named)

    monkeypatch.setattr(reading, "read_sites", counted)
    place.build()
    whole = passes
    for stop in (0, 3, len(stages) // 3, len(stages) // 2, len(stages) - 6, len(stages) - 3):
        for file in map(index_file, map(place.spec, SAES)):
            file.unlink()
        calls = iter(range(stop + 1))

        def die(share: float, words: str, calls: Any = calls) -> None:
            if next(calls, None) is None:
                raise Killed

        passes = 0
        with pytest.raises(Killed):
            place.build(progress=die)
        passes_before, passes = passes, 0
        assert [file.read_bytes() for file in place.build()] == straight
        # What a whole part holds is not read again.
        assert passes <= whole - passes_before + 3
    assert not [file for file in (place.cache / "index-parts").iterdir() if file.is_dir()]


def test_an_index_does_not_depend_on_which_saes_are_built_with_it(place: Place) -> None:
    together = place.build()[1].read_bytes()
    assert place.build(SAES[1])[0].read_bytes() == together


def test_a_torn_part_is_made_again(place: Place) -> None:
    straight = place.build(SAES[0])[0].read_bytes()

    def die(share: float, words: str) -> None:
        if share > 0.5:
            raise Killed

    with pytest.raises(Killed):
        place.build(SAES[0], progress=die)
    part = next((place.cache / "index-parts").glob("*/00001.safetensors"))
    part.write_bytes(part.read_bytes()[:-3])
    assert place.build(SAES[0])[0].read_bytes() == straight


def test_a_corpus_of_another_model_too_long_or_empty_is_refused(place: Place) -> None:
    ids, corpus = place.corpus.document(0).tolist(), place.corpus
    for wrong, words in (
        (join("x", "someone/else", [("", ids)]), "token ids of someone/else; tests/tiny is loaded"),
        (join("x", corpus.model, [("", [40] * 256)]), "256 tokens; with a BOS the model reads 255"),
        (join("x", corpus.model, [("", [0])]), "0 ordinary tokens"),
    ):
        place.corpus = wrong
        with pytest.raises(BrokenText, match=words):
            place.build(SAES[0])


def test_two_builds_at_once_are_refused(place: Place) -> None:
    def again(share: float, words: str) -> None:
        with pytest.raises(RunMismatch, match="Another process"):
            place.build(SAES[1])

    place.build(SAES[0], progress=again)


@pytest.mark.parametrize("maximum", [12.0, 40 * 0.3, 0.1, 21.2031, 1 / 3, 3e-5, 7777.77])
def test_bins_are_exact_at_every_edge(maximum: float) -> None:
    maximum = np.float32(maximum)
    edges = (np.arange(1, N_BINS + 1) * np.float64(maximum) / N_BINS).astype(np.float32)
    for k, edge in enumerate(edges):
        for value in (np.nextafter(edge, np.float32(0)), edge, min(np.nextafter(edge, np.float32(99)), maximum)):
            found = int(bins_of(np.array([value]), float(maximum))[0])
            # Both sides are exact in float64.
            assert found * float(maximum) < float(value) * N_BINS <= (found + 1) * float(maximum), (k, value)


def test_ties_stand_by_position() -> None:
    position = np.array([9, 3, 7, 1, 5], dtype=np.int32)
    firings = sort_firings(position, np.array([1, 1, 0, 1, 1], np.uint16), np.array([2, 2, 1, 5, 2], np.float32), 3)
    assert firings.starts.tolist() == [0, 1, 5, 5]
    assert [p.tolist() for p, _ in firings] == [[7], [1, 3, 5, 9], []]


def test_rounding_stays_below_its_limit_and_within_its_error() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.allclose(rounded(values), values, rtol=2**-12, atol=0) and not np.array_equal(rounded(values), values)
    assert (rounded(np.float32(1.99999)), rounded(np.float32(1.99999), 1.99999)) == (2.0, 2 - 2**-11)
    assert in_steps([1.0, -1.0, 0.5, 0.0001]).tolist() == [1.0, -1.0, 0.5, 0.0]


def test_a_label_names_what_most_firings_are_on_or_says_that_they_are_many() -> None:
    texts = [" Paris", "paris", "\n", 'say "x"', *(f"word{i}" for i in range(50))]
    vocabulary = Vocabulary(texts)
    few = np.array([0, 0, 1, 2, 0], dtype=np.int32)
    many = np.arange(4, 54, dtype=np.int32)

    def label(ids: np.ndarray, promoted: list[int]) -> str:
        n = len(ids)
        firings = sort_firings(np.arange(n, dtype=np.int32), np.zeros(n, np.int32), np.arange(n, 0, -1).astype(np.float32), 1)
        return labels(firings, ids, np.array([promoted]), vocabulary)[0]

    assert label(few, [3, 0, 1, 2]) == 'fires on "Paris", "\\n" (100 % of its tokens); promotes "say \\"x\\"", "Paris", "\\n"'
    assert label(many, [2]) == 'fires on many different tokens, most strongly on "word0", "word1", "word2"; promotes "\\n"'
    assert label(np.array([], np.int32), [2]) == ""


def test_a_part_of_a_character_is_not_quoted_and_the_next_token_takes_its_place() -> None:
    texts = ["\ufffd", " \ufffd\ufffd", "a\ufffd", "one", "two", "three", "four"]
    vocabulary = Vocabulary(texts)

    def label(ids: list[int], promoted: list[int]) -> str:
        n = len(ids)
        firings = sort_firings(np.arange(n, dtype=np.int32), np.zeros(n, np.int32), np.arange(n, 0, -1).astype(np.float32), 1)
        return labels(firings, np.array(ids, dtype=np.int32), np.array([promoted]), vocabulary)[0]

    promoted = [2, 6, 0, 5, 1, 4, 3]
    named = label([0, 3, 1, 3, 2, 4, 4, 5], promoted)
    assert named == 'fires on "one", "two" (50 % of its tokens); promotes "four", "three", "two"'
    many = label([0, 1, 2] * 30 + [3, 4, 5, 6], promoted)
    assert many.startswith('fires on many different tokens, most strongly on "one", "two", "three";')
    assert label([0, 1, 2], [0, 1]) == "fires on parts of characters; promotes parts of characters"


def test_the_report_says_where_examples_stand(place: Place) -> None:
    place.build(SAES[0])
    spec, tokenizer = place.spec(SAES[0]), place.runner.model.tokenizer
    facts = max((read_facts(spec, index) for index in range(N_LATENTS)), key=lambda one: 0 < one.n_fired < 100 and one.n_fired)
    answer = json.loads(json.dumps(report(facts, place.corpus, lambda ids: token_texts(tokenizer, ids)), allow_nan=False))
    found = frequency(facts)
    assert 0 <= found.low < found.share < found.high <= 1 and answer["frequency"]["n"] == facts.head.n_tokens
    assert len(answer["histogram"]["edges"]) == N_BINS + 1 and answer["histogram"]["edges"][-1] == facts.maximum
    assert len(answer["intervals"]) == N_INTERVALS
    for one in islice(answer["top"], 5):
        ids = place.corpus.document(one["document"])
        assert ids[one["position"] - place.corpus.starts[one["document"]]] == one["token_id"]
        assert one["context"] in "".join(token_texts(tokenizer, ids.tolist()))
