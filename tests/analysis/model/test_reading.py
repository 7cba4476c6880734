"""Many texts read at one token each, against one capture a text and against plain transformers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.many_texts import MarkedText, ReadChunk, ReadingAsk, SparseRows, Spot
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, EmptyPrompt, PromptTooLong, UnknownSae, WidthMismatch
from dashboard.analysis.model import reading
from dashboard.analysis.model.marking import batches, mark_texts
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.tokens import Prompt

NAMES = ("dog", "the lazy fox", "Zürich", "Seoul 서울", "quick brown fox jumps", "a", "O'Neill", "👩‍👩‍👧", "The Matrix (film)")
SITE = Site.parse("2.resid_post")


def filled(name: str, template: str = "The dog '{}' sleeps", **more) -> MarkedText:
    start = template.index("{}")
    return MarkedText(template.format(name), (start, start + len(name)), **more)


TEXTS = tuple(filled(name) for name in NAMES)


def gathered(chunks) -> tuple[dict[SaeId, list[np.ndarray]], dict[Site, np.ndarray], list[ReadChunk]]:
    """Dense codes by text, norms by text."""
    chunks = list(chunks)
    order = np.concatenate([chunk.texts for chunk in chunks])
    assert sorted(order) == list(range(len(order)))
    back = np.argsort(order)
    codes = {sae: list(np.concatenate([chunk.codes[sae].dense() for chunk in chunks])[back]) for sae in chunks[0].codes}
    norms = {site: np.concatenate([chunk.norms[site] for chunk in chunks])[back] for site in chunks[0].norms}
    return codes, norms, chunks


def last_of_name(runner: LocalRunner, text: MarkedText) -> int:
    """The last token that shares a character with the name, by the house's own tokens."""
    tokens = runner.tokens(Prompt(text.text, text.chat))
    assert text.marked is not None
    offset = tokens.text.rindex(text.text)
    start, end = (offset + place for place in text.marked)
    return max(i for i, (a, b) in enumerate(tokens.char_ranges) if a < end and b > start)


@pytest.mark.parametrize("chat", [False, True])
def test_a_reading_equals_one_capture_a_text(runner: LocalRunner, site_saes, chat: bool) -> None:
    texts = tuple(filled(name, chat=chat) for name in NAMES)
    codes, _, _ = gathered(runner.stream(ReadingAsk(texts, site_saes)))
    for place, text in enumerate(texts):
        capture = runner.ask(CaptureAsk(Prompt(text.text, chat), site_saes))
        at = last_of_name(runner, text)
        for sae in site_saes:
            one = capture.activations[sae]
            expected = np.array([one.of_latent(latent)[at] for latent in range(one.n_latents)])
            np.testing.assert_allclose(codes[sae][place], expected, rtol=1e-4, atol=1e-5)


def test_the_closing_quote_is_not_read(runner: LocalRunner) -> None:
    (text,) = mark_texts(runner.model, [filled("lazy")])
    assert runner.model.tokenizer.decode(text.ids[: text.last + 1]).endswith("lazy")


def test_rows_and_norms_equal_plain_transformers(runner: LocalRunner, tiny_path) -> None:
    sites = (Site.parse("0.embed"), Site.parse("1.resid_post"), SITE)
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    for chunk in runner.stream(ReadingAsk(TEXTS, norms=sites, rows=sites)):
        for row, place in enumerate(chunk.texts):
            ids = runner.tokens(Prompt(TEXTS[place].text)).ids
            with torch.inference_mode():
                hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            for site, depth in zip(sites, (0, 2, 3), strict=True):
                expected = hidden[depth][0, last_of_name(runner, TEXTS[place])].numpy()
                np.testing.assert_allclose(chunk.rows[site][row], expected, rtol=1e-4, atol=1e-5)
                assert chunk.norms[site][row] == pytest.approx(np.linalg.norm(expected), rel=1e-4)


def test_a_row_does_not_depend_on_its_neighbours(runner: LocalRunner, site_saes, monkeypatch: pytest.MonkeyPatch) -> None:
    together, _, _ = gathered(runner.stream(ReadingAsk(TEXTS, site_saes)))
    monkeypatch.setattr(reading, "_MOST_ROWS", 1)
    alone, _, chunks = gathered(runner.stream(ReadingAsk(TEXTS, site_saes)))
    assert len(chunks) == len(TEXTS)
    for sae in site_saes:
        np.testing.assert_allclose(together[sae], alone[sae], rtol=1e-4, atol=1e-5)


def test_texts_that_are_the_same_up_to_the_name_are_read_once(runner: LocalRunner, site_saes) -> None:
    texts = (*TEXTS[:3], TEXTS[0], filled("dog", "The dog '{}' barks at the fox"), filled("dog", "A dog '{}'"))
    codes, _, chunks = gathered(runner.stream(ReadingAsk(texts, site_saes)))
    assert sum(chunk.n_read for chunk in chunks) == 4
    sae = site_saes[0]
    np.testing.assert_array_equal(codes[sae][0], codes[sae][3])
    np.testing.assert_array_equal(codes[sae][0], codes[sae][4])
    assert not np.array_equal(codes[sae][0], codes[sae][5])


def test_the_model_stops_at_the_deepest_site(runner: LocalRunner, site_saes) -> None:
    ran: list[int] = []
    layers = runner.model.bare.model.layers
    handles = [layers[i].register_forward_pre_hook(lambda *_, i=i: ran.append(i)) for i in range(4)]
    try:
        list(runner.stream(ReadingAsk(TEXTS, site_saes[2:])))
    finally:
        for handle in handles:
            handle.remove()
    assert {*ran} == {0, 1}
    assert not any(module._forward_hooks for module in runner.model.bare.modules())


def test_the_last_token_of_a_prompt_is_read_where_it_is_asked_for(runner: LocalRunner, site_saes) -> None:
    text = MarkedText("Who is the dog?", chat=True)
    codes, _, _ = gathered(runner.stream(ReadingAsk((text,), site_saes[:1], Spot.LAST)))
    one = runner.ask(CaptureAsk(Prompt(text.text, chat=True), site_saes[:1])).activations[site_saes[0]]
    expected = [one.of_latent(latent)[-1] for latent in range(one.n_latents)]
    np.testing.assert_allclose(codes[site_saes[0]][0], expected, rtol=1e-4, atol=1e-5)


def test_engine_and_local_runner_give_equal_chunks_and_a_closed_stream_frees_the_engine(
    engine: Engine, runner: LocalRunner, site_saes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(engine, Runner) and isinstance(runner, Runner)
    monkeypatch.setattr(reading, "_MOST_ROWS", 2)
    ask = ReadingAsk(TEXTS, site_saes, norms=(SITE,))
    # One after the other: a model is one thread's at a time.
    for ours, local in zip(list(engine.stream(ask)), list(runner.stream(ask)), strict=True):
        np.testing.assert_array_equal(ours.texts, local.texts)
        np.testing.assert_array_equal(ours.norms[SITE], local.norms[SITE])
        for sae in site_saes:
            np.testing.assert_array_equal(ours.codes[sae].dense(), local.codes[sae].dense())
    stream = engine.stream(ask)
    next(stream)
    stream.close()
    for _ in range(2):  # a turn that is under way goes back into the queue once
        engine.submit(lambda _: iter([None])).result()
    assert not engine._waiting


def test_what_cannot_be_read_is_said_before_anything_is_read(runner: LocalRunner, site_saes) -> None:
    for texts, saes, error in (
        ((MarkedText("no mark"),), site_saes, BadAsk),
        ((MarkedText("x" * 999, (0, 1)),), site_saes, PromptTooLong),
        ((MarkedText(""),), (), EmptyPrompt),
        (TEXTS, (SaeId("no", "such"),), UnknownSae),
    ):
        with pytest.raises(error):
            list(runner.stream(ReadingAsk(texts, saes, norms=(SITE,), at=Spot.MARKED_LAST if saes else Spot.LAST)))
    with pytest.raises(WidthMismatch):
        list(runner.stream(ReadingAsk(TEXTS, norms=(Site.parse("9.resid_post"),))))
    with pytest.raises(BadAsk):
        ReadingAsk(TEXTS)
    with pytest.raises(BadAsk):
        MarkedText("abc", (2, 4))


def test_no_texts_give_no_chunks(runner: LocalRunner, site_saes) -> None:
    assert list(runner.stream(ReadingAsk((), site_saes))) == []


def test_batches_hold_every_place_once_and_keep_to_their_size() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 300).tolist()
    made = list(batches(lengths, 100, 7))
    assert sorted(place for batch in made for place in batch) == list(range(300))
    assert all(len(batch) <= 7 and (len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 100) for batch in made)


def test_sparse_rows_taken_in_any_order_are_the_dense_rows() -> None:
    dense = np.random.default_rng(1).random((6, 5)).astype(np.float32) * (np.random.default_rng(2).random((6, 5)) > 0.6)
    dense[2] = 0
    rows: SparseRows = reading.sparse_rows(torch.from_numpy(dense))
    np.testing.assert_array_equal(rows.dense(), dense)
    for chosen in ([5, 0, 2, 2, 3], [], [1]):
        np.testing.assert_array_equal(rows.take(chosen).dense(), dense[chosen])
    latents, values = rows.of_row(4)
    np.testing.assert_array_equal(values, dense[4][latents])
