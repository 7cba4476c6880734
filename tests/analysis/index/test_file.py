"""The file of an index: written, read, refused when it is damaged or foreign, noticed when it changes, and the unit that rests on it."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit
from dashboard.analysis.asks.generation import ScoreAsk
from dashboard.analysis.asks.measuring import Evaluation
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.index.facts import IndexHead
from dashboard.analysis.index.file import SCHEMA, index_file, read_facts, read_histograms, read_index, write_index
from dashboard.analysis.index.texts import find_corpus
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.sae.release import write_evaluation
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpora import corpus_file, keep_corpus
from dashboard.analysis.text.corpus import Corpus, join, write_corpus
from dashboard.analysis.tokens import Prompt
from tests.conftest import N_LATENTS

SAE = SaeId("tiny", "2.resid_post")
N_FIRED = np.arange(N_LATENTS, dtype=np.int64)
"""Latent 0 never fired."""
MAXIMUM = (N_FIRED / 4).astype(np.float32)
FIGURES = Evaluation(31.987654, 0.1, 0.9, 3.0, 3.1, 4.0, 1 / N_LATENTS, 0.2, 4321, 500)
CURE = "Build it again with `latents index build"


def table(factor: float = 1.0, n_latents: int = N_LATENTS) -> pa.Table:
    """An index without examples."""
    columns: dict[str, Any] = {}
    for field in SCHEMA:
        columns[field.name] = (
            pa.array([[]] * n_latents if pa.types.is_list(field.type) else [0] * n_latents, field.type, safe=False)
            if field.type != pa.string()
            else pa.array(["a label"] * n_latents)
        )
    columns["n_fired"] = pa.array(np.arange(n_latents), pa.int64())
    columns["maximum"] = pa.array((factor * np.arange(n_latents) / 4).astype(np.float32))
    return pa.table(columns)


def head(spec: SaeSpec) -> IndexHead:
    return IndexHead(4321, 7, "words", "0" * 64, weights_sha256(spec), "float32", (str(SAE),), "0.1.0")


def write(spec: SaeSpec, factor: float = 1.0) -> Path:
    write_index(index_file(spec), table(factor), head(spec))
    return index_file(spec)


@pytest.fixture
def own(tmp_path: Path, tiny_release: Path, tiny_model: LoadedModel, tiny_settings: Settings) -> LocalRunner:
    """A runner over a copy of the release, whose files may be changed."""
    release = shutil.copytree(tiny_release, tmp_path / "tiny")
    settings = tiny_settings.model_copy(update={"sae_folders": (release,), "cache": tmp_path / "cache"})
    return LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)


@pytest.fixture
def spec(own: LocalRunner) -> SaeSpec:
    return own.catalog.get(SAE)


def test_an_index_is_read_as_it_was_written_and_leaves_nothing_beside_it(spec: SaeSpec) -> None:
    before = {*spec.source.iterdir()}
    write(spec)
    index = read_index(spec)
    assert index.head == head(spec) and index.n_tokens == 4321 and index.labels == ("a label",) * N_LATENTS
    assert index.n_fired.tolist() == N_FIRED.tolist() and index.maximum.tolist() == MAXIMUM.tolist()
    assert {*spec.source.iterdir()} - before == {spec.source / "index.parquet"}


def test_no_index_is_said_with_the_command_that_makes_one(spec: SaeSpec) -> None:
    for read in (read_index, read_histograms, lambda spec: read_facts(spec, 0)):
        with pytest.raises(NotMeasured, match=r"tiny/2\.resid_post has no index.*`latents index build tiny/2\.resid_post`"):
            read(spec)


@pytest.mark.parametrize("width", [0, 1, N_LATENTS - 1, N_LATENTS + 1])
def test_an_index_of_another_width_is_refused_with_both_numbers(spec: SaeSpec, width: int) -> None:
    write_index(index_file(spec), table(n_latents=width), head(spec))
    with pytest.raises(NotMeasured, match=f"it has {width} latents, the SAE {N_LATENTS}.*{CURE}"):
        read_index(spec)


def test_an_index_of_other_weights_is_refused(spec: SaeSpec) -> None:
    write_index(index_file(spec), table(), replace(head(spec), sae_sha256="f" * 64))
    for read in (read_index, read_histograms, lambda spec: read_facts(spec, 3)):
        with pytest.raises(NotMeasured, match=f"other weights .ffffffff. than tiny/2.resid_post has now.*{CURE}"):
            read(spec)


def test_an_index_cut_anywhere_is_refused(spec: SaeSpec) -> None:
    file = write(spec)
    whole = file.read_bytes()
    for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(NotMeasured, match=f"cannot be read.*{CURE}"):
            read_index(spec)


@pytest.mark.parametrize("metadata", [None, {}, {"latents": "many"}, {"latents": "{}"}, {"n_tokens": "9"}, {"latents": '{"saes": 3}'}])
def test_an_index_that_does_not_say_what_it_rests_on_is_refused(spec: SaeSpec, metadata: dict[str, str] | None) -> None:
    pq.write_table(table().replace_schema_metadata(metadata), index_file(spec))
    with pytest.raises(NotMeasured, match=CURE):
        read_index(spec)


@pytest.mark.parametrize("name", SCHEMA.names)
def test_an_index_without_a_column_or_with_one_of_another_kind_is_refused(spec: SaeSpec, name: str) -> None:
    file = write(spec)
    whole = pq.read_table(file)
    words = pa.array(["1"] * N_LATENTS) if name != "label" else pa.array(range(N_LATENTS))
    for broken in (whole.drop_columns([name]), whole.set_column(whole.column_names.index(name), name, words)):
        pq.write_table(broken, file)
        with pytest.raises(NotMeasured, match=CURE):
            read_facts(spec, 1)


def test_a_latent_that_never_fired_has_no_maximum(spec: SaeSpec) -> None:
    write(spec)
    index = read_index(spec)
    assert index.maximum_of(LatentId(SAE, 7)) == 1.75
    with pytest.raises(NotMeasured, match=r"tiny/2\.resid_post/0 fired on none of the 4,321 tokens.*Use the unit raw or norm"):
        index.maximum_of(LatentId(SAE, 0))


def test_a_changed_index_is_noticed_even_with_the_same_time(spec: SaeSpec) -> None:
    file = index_file(spec)
    for factor in (1.0, 3.0, 1.0):
        write(spec, factor)
        os.utime(file, (10**9, 10**9))
        assert read_index(spec).maximum.tolist() == (factor * MAXIMUM).tolist()
    file.unlink()
    with pytest.raises(NotMeasured):
        read_index(spec)


def test_the_unit_max_is_the_measured_maximum(own: LocalRunner, spec: SaeSpec) -> None:
    ids = own.tokens(Prompt("dog")).ids[-1:]

    def dose(op: Op, amount: float, latent: int = 7) -> float:
        edit = Intervention(LatentId(SAE, latent), op, amount, Unit.MAX)
        return own.ask(ScoreAsk(Prompt("The", continuation=ids), (edit,))).doses[0].amount

    with pytest.raises(NotMeasured, match="latents index build"):
        dose(Op.ADD, 2.0)
    write(spec)
    assert dose(Op.ADD, 2.0) == 2 * 1.75
    assert dose(Op.CLAMP, -0.5) == -0.5 * 1.75 and dose(Op.CAP, 1.0) == 1.75 and dose(Op.SCALE, 2.0) == 0
    with pytest.raises(NotMeasured, match="fired on none"):
        dose(Op.ADD, 2.0, latent=0)
    write(spec, 3.0)
    assert dose(Op.ADD, 2.0) == 2 * 3 * 1.75


def test_the_unit_max_pushes_as_far_as_its_raw_amount(own: LocalRunner, spec: SaeSpec) -> None:
    write(spec)
    ids = own.tokens(Prompt("dog and the fox")).ids[-3:]

    def kl(amount: float, unit: Unit) -> list[float]:
        edit = Intervention(LatentId(SAE, 9), Op.ADD, amount, unit)
        return [token.kl for token in own.ask(ScoreAsk(Prompt("The", continuation=ids), (edit,))).tokens]

    assert kl(2.0, Unit.MAX) == kl(2 * 2.25, Unit.RAW) != kl(2.0, Unit.RAW)


def test_an_evaluation_is_written_into_the_record_and_found_by_the_next_catalogue(
    own: LocalRunner, spec: SaeSpec, tmp_path: Path, tiny_settings: Settings
) -> None:
    write(spec)
    write_evaluation(spec, FIGURES)
    again = read_catalog(tiny_settings.model_copy(update={"sae_folders": (tmp_path / "tiny",)}), assets=tmp_path).get(SAE)
    assert again.measured("l0") == 31.988 and again.record["evaluation"]["n_tokens"] == 4321
    assert again.config == spec.config and read_index(again).n_tokens == 4321


def test_an_index_of_a_vector_is_never_asked_for(own: LocalRunner, spec: SaeSpec) -> None:
    vector = NamedVector("north", spec.site, (1.0,) * own.model.d_model)
    ids = own.tokens(Prompt("dog")).ids[-1:]
    assert own.ask(ScoreAsk(Prompt("The", continuation=ids), (Intervention(vector, Op.CLAMP, 2.0),))).doses[0].amount == 2.0


@pytest.fixture
def words() -> Corpus:
    return join("two words / 한국어", "tests/tiny", [("a", [5, 6, 7]), ("b", [8])])


def test_the_text_behind_an_index_is_found_again_by_its_digest(spec: SaeSpec, words: Corpus, tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache")
    of_words = replace(head(spec), corpus=words.name, corpus_sha256=words.sha256)
    with pytest.raises(NotMeasured, match=r"is not on this machine.*latents index build"):
        find_corpus(of_words, settings)
    keep_corpus(words, settings)
    found = find_corpus(of_words, settings)
    assert found.ids.tolist() == words.ids.tolist() and found.sha256 == words.sha256
    write_corpus(corpus_file(words, settings), join(words.name, words.model, [("a", [5, 6])]))
    with pytest.raises(NotMeasured):
        find_corpus(of_words, settings)
    corpus_file(words, settings).write_bytes(b"torn")
    with pytest.raises(NotMeasured):
        find_corpus(of_words, settings)
