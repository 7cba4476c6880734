"""The commands on what is known of latents, on the tiny model and hand-made SAEs, against the core and plain arithmetic."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.index.file import index_file, read_facts, read_index
from dashboard.analysis.index.latent import report
from dashboard.analysis.index.texts import find_corpus
from dashboard.analysis.model import prepare, sources
from dashboard.analysis.model.bridge import LoadedModel, token_texts
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.roster import chosen
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.settings import get_settings
from dashboard.analysis.text.corpus import SHIPPED
from dashboard.analysis.tokens import Prompt
from tests.command_line import answer, latents
from tests.conftest import EXACT, N_LATENTS, TEXT, TINY

INDEXED, BARE = SaeId("tiny", "2.resid_post"), SaeId("tiny", "1.resid_post")
WORDS = [word.strip(".,") for word in TEXT.split()]


@pytest.fixture(scope="module", autouse=True)
def folder(tiny_path: Path, tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation whose default model is the tiny one, with a copy of the hand-made SAEs and a text."""
    folder = tmp_path_factory.mktemp("command-line")
    shutil.copytree(tiny_release, folder / "tiny")
    draw = np.random.default_rng(0)
    documents = [{"text": " ".join(draw.choice(WORDS, 30))} for _ in range(200)]
    (folder / "words.jsonl").write_text("\n".join(map(json.dumps, documents)))
    said = {"CACHE": folder / "cache", "SAE_FOLDERS": folder / "tiny", "DEVICE": "cpu", "DTYPE": "float32", "MAX_TOKENS": 256}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(f"LATENTS_{name}", str(value))
        patch.setenv("GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT", "10000"))
        for module in (prepare, sources):
            patch.setattr(module, "prepare_default_model", lambda cache, say: tiny_path)
        patch.setattr(chosen, "DEFAULT_MODEL", TINY)
        get_settings.cache_clear()
        yield folder
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def built(folder: Path) -> list[dict[str, Any]]:
    return answer("index", "build", str(INDEXED), "--text", str(folder / "words.jsonl"))


def spec_of(sae: SaeId) -> SaeSpec:
    return read_catalog(get_settings()).get(sae)


def test_what_was_built_is_listed_and_an_sae_without_an_index_is_named(built: list[dict[str, Any]]) -> None:
    [row] = built
    index = read_index(spec_of(INDEXED))
    assert (row["name"], row["latents"], row["tokens"], row["corpus"]) == (str(INDEXED), N_LATENTS, index.n_tokens, "words")
    assert row["dead"] == sum(n == 0 for n in index.n_fired) and row["file"] == str(index_file(spec_of(INDEXED)))
    assert row["bytes"] == Path(row["file"]).stat().st_size
    done = latents("index", "list", "--json")
    assert {name: value for name, value in row.items() if name != "file"} in json.loads(done.stdout)
    assert f"{BARE} has no index" in " ".join(done.stderr.split())
    assert f"{index.n_tokens:,}" in latents("index", "list").stdout


def test_sae_index_is_the_same_command(built: list[dict[str, Any]], folder: Path) -> None:
    file = Path(built[0]["file"])
    before = file.read_bytes()
    file.unlink()
    assert answer("sae", "index", "--sae", str(INDEXED), "--text", str(folder / "words.jsonl")) == built
    assert file.read_bytes() == before


def test_a_latent_is_told_as_the_core_reports_it(built: list[dict[str, Any]], tiny_model: LoadedModel) -> None:
    fired = read_index(spec_of(INDEXED)).n_fired
    loud = LatentId(INDEXED, int(fired.argmax()))
    got = answer("latent", str(loud))
    facts = read_facts(spec_of(INDEXED), loud.index)
    corpus = find_corpus(facts.head, get_settings())
    assert got == json.loads(json.dumps(report(facts, corpus, lambda ids: token_texts(tiny_model.tokenizer, ids))))
    assert got["n_fired"] == fired.max() == sum(got["histogram"]["counts"])
    told = latents("latent", str(loud)).stdout
    assert told.startswith(str(loud)) and got["label"] in told


def test_a_text_ranks_the_latents_that_fire_on_it(built: list[dict[str, Any]], tiny_model: LoadedModel) -> None:
    text = "the quick dog"
    got = answer("search", text, "--sae", "tiny", "--by", "max", "--top", "1000")
    runner = LocalRunner(tiny_model, read_catalog(get_settings()), get_settings().cache)
    expected: dict[str, float] = {}
    for sae in map(SaeId.parse, got["counts"]):
        capture = runner.ask(CaptureAsk(Prompt(text), (sae,)))
        acts, ordinary = capture.activations[sae], set(capture.tokens.ordinary)
        for latent, position, value in zip(acts.latent, acts.position, acts.value, strict=True):
            if int(position) in ordinary and value > 0:
                name = str(LatentId(sae, int(latent)))
                expected[name] = max(expected.get(name, 0.0), float(value))
    assert {row["latent"]: row["max"] for row in got["rows"]} == pytest.approx(expected, rel=1e-5)
    assert got["n_firing"] == len(expected) == sum(got["counts"].values()) > 0
    assert [row["score"] for row in got["rows"]] == sorted(expected.values(), reverse=True)
    assert "".join(token["text"] for token in got["tokens"] if not token["special"]) == text
    assert str(BARE) in got["without_index"] and str(INDEXED) not in got["without_index"]
    assert got["ask"]["text"] == text and got["ask"]["by"] == "max"


def test_a_word_finds_the_latents_that_have_it_and_by_meaning_all(built: list[dict[str, Any]]) -> None:
    got = answer("search", "dog", "--word", "--sae", str(INDEXED), "--top", "1000")
    index = read_index(spec_of(INDEXED))
    labelled = {str(LatentId(INDEXED, i)) for i, label in enumerate(index.labels) if "dog" in label}
    assert labelled == {row["latent"] for row in got["rows"] if "label" in row["where"]} and labelled
    assert all(any("dog" in word for word in row["matched"]) or row["where"] == ["label"] for row in got["rows"])
    assert got["n_found"] == len(got["rows"]) < got["n_latents"] == N_LATENTS
    meant = answer("search", "dog", "--word", "--meaning", "--sae", str(INDEXED), "--top", "1000")
    assert len(meant["rows"]) == meant["n_found"] == N_LATENTS and meant["ask"]["meaning"]
    scores = [row["score"] for row in meant["rows"]]
    assert scores == sorted(scores, reverse=True) and len({*scores}) > 1
    assert answer("search", "heliotrope", "--word", "--sae", str(INDEXED))["rows"] == []


def test_absorption_is_measured_and_written_into_the_record(folder: Path) -> None:
    got = answer("sae", "absorption", str(EXACT), str(BARE), "--text", str(folder / "words.jsonl"), "--tokens", "2000", "--write")
    assert [*got] == [str(EXACT), str(BARE)]
    for sae in (EXACT, BARE):
        found = got[str(sae)]
        rows = torch.nn.functional.normalize(SAE.load_from_disk(folder / "tiny" / sae.name).W_dec, dim=1).detach()
        cosines = (rows @ rows.T).fill_diagonal_(-1)
        assert found["max_cosine"] == pytest.approx(float(cosines.amax(1).mean()), abs=1e-5) and found["n_tokens"] > 0
        written = json.loads((folder / "tiny" / sae.name / "record.json").read_text())["absorption"]
        assert written.keys() == found.keys() and found["n_letters"] == 0, "no letter has words enough in this text"
        assert {name: value for name, value in written.items() if value is None} == dict.fromkeys(
            ("probe_f1", "latents_per_letter", "main_f1", "absorption")
        )
        assert (written["max_cosine"], written["n_tokens"]) == pytest.approx((found["max_cosine"], found["n_tokens"]), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latent", f"{INDEXED}/{N_LATENTS}"), f"0 to {N_LATENTS - 1}"),
        (("latent", "tiny/9.resid_post/1"), "No SAE 'tiny/9.resid_post'"),
        (("latent", "tiny"), "is not a latent"),
        (("latent", f"{BARE}/3"), "has no index, so its latents' activations and examples are not known. Build it with `latents index"),
        (("search", ""), "The prompt is empty: it has 0 tokens"),
        (("search", " ", "--word"), "The query is empty"),
        (("search", "x" * 201, "--word"), "201 characters; the limit is 200"),
        (("search", "dog", "--meaning"), "--meaning only works with --word"),
        (("search", "dog", "--sae", "tiny", "--token", "0"), "Add --special"),
        (("search", "dog", "--sae", "huge"), "No SAE 'huge'"),
        (("index", "build", "huge", "--text", "."), "No SAE 'huge'"),
        (("index", "build", "tiny", "--corpus", str(SHIPPED)), "SmolLM2-135M-Instruct; tests/tiny is loaded"),
        (("index", "build", "tiny", "--text", "/no/such"), "holds no text"),
        (("index", "build", "tiny", "--text", ".", "--corpus", "x"), "Remove one"),
        (("index", "build", "tiny", "--corpus", "/no/such"), "cannot be read"),
        (("sae", "absorption", "tiny", "--text", "/no/such"), "holds no text"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_message_and_exit_2(built: list[dict[str, Any]], arguments: tuple[str, ...], message: str) -> None:
    done = latents(*arguments, "--json")
    assert done.status == 2 and done.stdout == ""
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_a_dictionary_of_the_neurons_is_trained_and_highlights_a_text(folder: Path) -> None:
    sizes = ("--tokens", "1000", "--latents", "32", "--k", "4", "--batch", "64")
    made = answer("sae", "train", "--name", "neurons", "--text", str(folder / "words.jsonl"), "--site", "3.mlp_post", *sizes)
    (sae,) = made["saes"]
    found = answer("highlight", TEXT, "--sae", sae)
    assert any(token["latents"] for token in found["tokens"]) and found["fvu"] is not None
