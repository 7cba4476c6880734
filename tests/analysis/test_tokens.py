"""Every character belongs to a token, whatever the text."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.errors import EmptyPrompt, PromptTooLong
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.tokens import Prompt, TokenSpan, shown_texts, tile

TRICKY = [
    "a",
    " leading",
    "한국어",
    "👩‍👩‍👧",
    "\n\n x\t",
    "\x00\x1b[31m",
    "שלום world",
    "<script>alert(1)</script>",
    "e\u0301",
    " ",
    "\ud83d",
]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30), st.integers(0, 4))
def test_ranges_cover_the_text_without_gaps_and_texts_join_to_it(steps: list[tuple[int, int]], rest: int) -> None:
    offsets, at = [], 0
    for gap, width in steps:
        offsets.append((at + gap, at + gap + width))
        at += gap + width
    text = "".join(chr(0x61 + i % 26) for i in range(at + rest))
    ranges = tile(offsets, len(text))
    if offsets:
        assert "".join(shown_texts(text, ranges)) == text
        assert ranges[0][0] == 0
        assert ranges[-1][1] == len(text)
        assert all(start <= before_end for (_, before_end), (start, _) in pairwise(ranges))


def test_a_character_over_three_tokens_stands_in_the_first() -> None:
    assert shown_texts("한a", tile([(0, 1), (0, 1), (0, 1), (1, 2)], 2)) == ("한", "", "", "a")


@pytest.mark.parametrize("text", TRICKY)
def test_tokens_of_tricky_text_join_to_the_text(tiny_model: LoadedModel, text: str) -> None:
    tokens = tokenise(tiny_model, Prompt(text))
    ordinary = "".join(t for t, special in zip(tokens.texts, tokens.special, strict=True) if not special)
    assert ordinary == tokens.text
    assert tokens.special[0] and tokens.ids[0] == tiny_model.bos_id
    assert len(tokens.ids) == len(tokens.texts) == len(tokens.char_ranges) == len(tokens.special)


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=60))
def test_tokens_of_any_text_join_to_the_text(tiny_model: LoadedModel, text: str) -> None:
    tokens = tokenise(tiny_model, Prompt(text))
    assert "".join(tokens.texts[1:]) == tokens.text


def test_a_chat_is_the_template_and_has_one_bos(tiny_model: LoadedModel) -> None:
    tokens = tokenise(tiny_model, Prompt("Hi", chat=True))
    rendered = tiny_model.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)["input_ids"]
    assert list(tokens.ids) == rendered
    assert tokens.texts[0] == "<|start|>" and tokens.texts[1] != "<|start|>"
    assert [i for i, special in enumerate(tokens.special) if not special] == list(tokens.ordinary)


def test_no_text_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(EmptyPrompt, match="0 tokens"):
        tokenise(tiny_model, Prompt(""))


def test_too_much_text_is_refused_with_both_numbers_and_a_cure(tiny_model: LoadedModel) -> None:
    with pytest.raises(PromptTooLong) as refused:
        tokenise(tiny_model, Prompt("xy " * 50_000))
    assert refused.value.limit == tiny_model.max_tokens == 256
    assert f"{refused.value.n_tokens:,}" in str(refused.value) and "LATENTS_MAX_TOKENS" in str(refused.value)


def test_a_span_is_half_open() -> None:
    assert [i for i in range(6) if i in TokenSpan(2, 4)] == [2, 3]
