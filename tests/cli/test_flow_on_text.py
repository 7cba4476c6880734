"""Laws of `latents flow origins`, `deactivate` and `steer`: JSON that says what the methods say, and refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.text.corpus import join, write_corpus
from dashboard.analysis.tokens import Prompt
from dashboard.cli import app, studies

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def latents(runner: LocalRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `latents flow ...` on the tiny model, with a corpus of its own."""
    texts = ("The quick brown fox jumps over the lazy dog", "and the dog sleeps. done.", "lazy quick brown dog")
    file = tmp_path / "own.parquet"
    write_corpus(
        file, join("own", "tests/tiny", [("ab"[i % 2], list(runner.tokens(Prompt(text)).ids[1:])) for i, text in enumerate(texts)])
    )
    monkeypatch.setattr(studies, "open_default_runner", lambda *_: runner)

    def run(command: str, *words: str) -> dict[str, Any]:
        corpus = () if command == "steer" else ("--corpus", str(file))
        found = CliRunner().invoke(app, ["flow", command, *words, *corpus, "--json"], catch_exceptions=True)
        if found.exception is not None:
            raise found.exception
        return json.loads(found.stdout)

    return run


def test_origins_gives_shares_that_add_up_with_a_record(latents: Command) -> None:
    found = latents("origins", "tiny", "--texts", "3", "--tokens", "4", "--by-kind")
    assert found["n_tokens"] == 12 and found["record"]["kind"] == "flow origins" and found["record"]["ask"]["corpus"] == "own"
    for layer in {row["layer"] for row in found["shares"]}:
        whole = [row for row in found["shares"] if row["layer"] == layer and row["kind"] is None]
        assert len(whole) == 8 and sum(row["k"] for row in whole) == whole[0]["n"] > 0
    assert found["missing"] and len(found["matrix"]["latents_in_both"]) == 8


def test_deactivating_with_r_1_changes_nothing_and_with_r_0_something(latents: Command) -> None:
    words = ("tiny", "--texts", "2", "--tokens", "2", "--targets", "3", "--factors", "0,1", "--matching", "cosine,top5,random,pearson")
    found = latents("deactivate", *words, "--exhaustive", "--by-layer")
    rows = {(row["method"], row["factor"], row["layer"]): row for row in found["effects"]}
    assert {"top-1 cosine", "top-5 cosine", "top-1 Pearson", "exhaustive search"} <= {method for method, _, _ in rows}
    assert all(row["activation_change"] == 0 and row["success"] == 0 for (_, factor, _), row in rows.items() if factor == 1)
    assert any(row["activation_change"] != 0 for (_, factor, _), row in rows.items() if factor == 0)


def test_steering_lists_every_setting_and_strength_with_b_and_c_beside_the_total(latents: Command) -> None:
    found = latents(
        "steer", "tiny/2.resid_post/7", "--words", "dog,fox", "--strengths", "0,3", "--unit", "raw", "--texts", "2",
        "--max-new-tokens", "5", "--t-res", "0.1", "--decay", "linear",
    )  # fmt: skip
    labels = {row["setting"] for row in found["points"]}
    assert labels == {"single layer", "initial set", "flow set"} and "tiny/2.resid_post/7" in found["flow_set"]
    assert all(row["total"] == pytest.approx(row["behaviour"] * row["coherence"]) for row in found["points"])
    assert len(found["texts"]) == 2 * len(found["points"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("origins", "nothing"), "0 residual dictionaries"),
        (("origins", "tiny", "--layers", "9"), "Layer 9"),
        (("origins", "tiny", "--kinds", "poem"), "0 documents of kind 'poem'"),
        (("deactivate", "tiny", "--matching", "magic"), "no way of matching"),
        (("deactivate", "tiny", "--factors", "a"), "not a list of numbers"),
        (("steer", "tiny/2.resid_post/7"), "0 proxies"),
        (("steer", "tiny/2.resid_post/7", "--decay", "cubic"), "linear or exponential"),
        (("steer", "tiny/2.resid_post/7", "--reference", "/nowhere/texts"), "--reference /nowhere/texts cannot be read"),
        (("steer", "tiny/2.resid_post/7", "--held-out", "tiny/1.resid_post/99999", "--reference", __file__), "Latent 99999 is not in"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_cure(latents: Command, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        latents(*words)


def test_co_activation_has_a_row_for_each_latent_and_source_that_fire(latents: Command) -> None:
    found = latents("coactivation", "tiny", "--layer", "2", "--texts", "3")
    assert found["pairs"] and found["record"]["kind"] == "flow coactivation" and found["record"]["ask"]["layer"] == 2
    assert all(-1 <= row["pearson"] <= 1 and 0 < row["fires_on"] <= found["n_tokens"] for row in found["pairs"])
    assert {row["latent"].split("/")[1] for row in found["pairs"]} == {"2.resid_post"}
