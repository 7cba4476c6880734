"""Fitting and checking a lens: a mean over documents that goes on where it stopped, and figures that a hand works out too."""

from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.asks.lens import JacobiansAsk, LensAsk, LensCheck, LensKind, LensRecordAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BrokenText
from dashboard.analysis.lenses.file import LensRecord, kept_lens, pack, write_lens
from dashboard.analysis.methods.lens.fitting import check, compare, fit, held_out, order
from dashboard.analysis.methods.lens.study import STUDY, LensFitAsk
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run
from dashboard.analysis.text.corpus import Corpus, join
from dashboard.analysis.tokens import Prompt
from tests.conftest import D_MODEL, N_LAYERS, TEXT, TINY

N_TOKENS = 20


@pytest.fixture
def corpus(runner: LocalRunner) -> Corpus:
    ids = runner.model.tokenizer(4 * TEXT.partition(" 한")[0], add_special_tokens=False)["input_ids"]
    return join("texts", str(TINY), [("text", ids[start : start + N_TOKENS]) for start in range(12)])


def test_a_lens_is_the_mean_over_documents_in_an_order_that_is_always_the_same(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    *_, found = fit(runner, corpus, 3, N_TOKENS, Step(tmp_path))
    asked = [runner.ask(JacobiansAsk(tuple(corpus.document(place).tolist()), N_TOKENS)).matrices for place in found.documents]
    np.testing.assert_allclose(found.mean, np.mean(asked, axis=0), rtol=1e-5, atol=1e-6)
    assert found.documents == tuple(order(corpus)[:3]) and order(corpus) == order(corpus)


def test_a_fit_that_was_stopped_goes_on_and_more_texts_continue_it(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    *_, straight = fit(runner, corpus, 3, N_TOKENS, Step(tmp_path / "straight"))
    for _ in fit(runner, corpus, 3, N_TOKENS, Step(tmp_path / "stopped")):
        break
    assert sum(1 for _ in fit(runner, corpus, 2, N_TOKENS, Step(tmp_path / "stopped"))) == 2
    *_, resumed = fit(runner, corpus, 3, N_TOKENS, Step(tmp_path / "stopped"))
    assert resumed.documents == straight.documents
    np.testing.assert_array_equal(resumed.mean, straight.mean)


def test_too_few_documents_are_said_with_both_numbers(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(BrokenText, match=r"6 documents of 20 tokens.*7 were asked for"):
        list(fit(runner, corpus, 7, N_TOKENS, Step(tmp_path)))


def test_no_document_is_both_fitted_and_held_out(corpus: Corpus) -> None:
    fitted = {tuple(corpus.document(place).tolist()) for place in order(corpus)[: corpus.n_documents // 2]}
    held = held_out(corpus, 100, N_TOKENS)
    assert len(held) == 6 and not fitted & set(held)


def text(predicted: list[int], top: list[list[int]], elsewhere: list[list[int]]) -> LensCheck:
    shape = np.array(top).shape
    kl = np.full(shape, 2.0, dtype=np.float32)
    kl[-1] = 0
    return LensCheck(*(np.array(one, dtype=np.int32) for one in (predicted, top)), kl, np.array(elsewhere, dtype=np.int32), kl + 1)


def test_agreement_is_the_mean_over_texts_of_the_share_of_tokens() -> None:
    texts = [
        text([7, 7, 3, 4], [[7, 1, 1, 1], [7, 7, 3, 4]], [[0, 0, 0, 0], [7, 0, 0, 0]]),
        text([7, 5], [[7, 5], [7, 5]], [[0, 5], [0, 0]]),
    ]
    found = compare(texts, texts)
    assert (found.n_texts, found.n_tokens) == (2, 6)
    first, last = found.logit
    assert first.agreement.mean == pytest.approx((1 / 4 + 2 / 2) / 2) and last.agreement.mean == 1
    assert first.agreement_elsewhere.mean == pytest.approx((0 + 1 / 2) / 2) and last.agreement_elsewhere.mean == pytest.approx(1 / 8)
    assert (first.kl.mean, last.kl.mean, first.kl_elsewhere.mean) == (2, 0, 3)
    # What the other text predicts most often is 7 for the second one, and 7 or 5 (the first of them) for the first.
    assert found.most_frequent.mean == pytest.approx((2 / 4 + 1 / 2) / 2)


def test_a_check_counts_rows_and_says_that_the_last_layer_is_the_model(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    matrices = np.broadcast_to(np.eye(D_MODEL, dtype=np.float32), (N_LAYERS - 1, D_MODEL, D_MODEL))
    record = LensRecord(str(TINY), corpus.name, corpus.sha256, (0,), N_TOKENS, 16, "float32", {}, "2026-01-01T00:00:00Z")
    write_lens(kept_lens(TINY, tmp_path), pack(record, matrices))
    *counted, found = check(runner, held_out(corpus, 3, N_TOKENS))
    assert counted == [1, 2, 3] and not isinstance(found, int)
    assert found.logit == found.jacobian, f"{LensKind.JACOBIAN} of identities is the logit lens"
    assert found.logit[-1].agreement.mean == 1 and found.logit[-1].kl.mean == pytest.approx(0, abs=1e-6)
    assert found.n_tokens == 3 * N_TOKENS


def test_the_study_keeps_the_lens_with_its_check_and_is_found_again(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    bench = Bench(runner, runner.catalog, ResultStore(tmp_path / "results"), lambda file: corpus)
    ask = LensFitAsk(n_texts=2, n_held_out=3, n_tokens=N_TOKENS)
    *before, last = run(STUDY, bench, ask)
    assert [item.done for item in before][:2] == [1, 2] and last.made is not None
    record = runner.ask(LensRecordAsk())
    assert record == last.made.result and record.check is not None and record.check.n_texts == 3
    assert record.documents == tuple(order(corpus)[:2]) and record.model == str(TINY)
    assert runner.ask(LensAsk(Prompt(TEXT), LensKind.JACOBIAN)).agrees[-1].all()
    assert [row["layer"] for row in STUDY.tables(last.made)["agreement"]] == 2 * list(range(N_LAYERS))
    (found,) = run(STUDY, bench, ask)
    assert found.made is not None and found.made.result == record


def test_a_study_that_was_stopped_goes_on_with_the_very_numbers(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    read = []
    for name, stops in (("straight", False), ("stopped", True)):
        bench = Bench(runner, runner.catalog, ResultStore(tmp_path / name), lambda file: corpus)
        if stops:
            next(run(STUDY, bench, LensFitAsk(3, 2, N_TOKENS)))
        *_, last = run(STUDY, bench, LensFitAsk(3, 2, N_TOKENS))
        assert last.made is not None
        read.append((last.made.result.documents, last.made.result.check, runner.ask(LensAsk(Prompt(TEXT), LensKind.JACOBIAN)).shares))
    np.testing.assert_array_equal(read[0][2], read[1][2])
    assert read[0][:2] == read[1][:2]
