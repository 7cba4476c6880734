"""Documents, their split, and windows of tokens."""

import json
from pathlib import Path

import pytest
import torch

from dashboard.analysis.errors import BrokenText
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.text.training_text import Split, read_documents, token_windows


def jsonl(file: Path, documents: list[str]) -> str:
    file.write_text("".join(json.dumps({"text": document}, ensure_ascii=False) + "\n" for document in documents))
    return str(file)


def test_the_last_twentieth_of_each_file_is_held_out(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [f"a{i}" for i in range(40)])
    jsonl(tmp_path / "b.jsonl", [f"b{i}" for i in range(21)])
    held = list(read_documents([str(tmp_path)], Split.HELD_OUT))
    assert held == ["a38", "a39", "b19", "b20"]
    training = list(read_documents([str(tmp_path)], Split.TRAIN))
    assert len(training) == 61 - 4 and not set(training) & set(held)


def test_single_files_of_a_folder_are_documents_and_a_readme_is_none(tmp_path: Path) -> None:
    for name in ("c.txt", "a.md", "b.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "README.md").write_text("about")
    assert list(read_documents([str(tmp_path)], Split.TRAIN)) == ["a.md", "b.txt"]
    assert list(read_documents([str(tmp_path)], Split.HELD_OUT)) == ["c.txt"]


@pytest.mark.parametrize("line", ["not json", '{"other": 1}', "[1]"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(f'{{"text": "good"}}\n{line}\n')
    with pytest.raises(BrokenText, match=r"bad\.jsonl, line 2"):
        list(read_documents([str(file)], Split.TRAIN))


def test_windows_begin_with_bos_lose_no_token_and_are_never_padded(tiny_model: LoadedModel, tmp_path: Path) -> None:
    documents = [f"the dog {i} sleeps over the fox" for i in range(40)]
    source = jsonl(tmp_path / "a.jsonl", documents)
    windows = token_windows([source], Split.TRAIN, tiny_model.tokenizer, 16)
    bos = tiny_model.bos_id
    assert (windows[:, 0] == bos).all() and windows.shape[1] == 16
    stream = [t for window in windows for t in window.tolist() if t != bos]
    expected = [t for d in documents[:38] for t in tiny_model.tokenizer(d, add_special_tokens=False)["input_ids"]]
    assert stream == expected[: len(stream)] and len(expected) - len(stream) < 16


def test_dialogues_go_through_the_chat_template_and_prose_does_not(tiny_model: LoadedModel, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", ["User: hi\nAssistant: hello\nUser: bye"] * 20 + ["User: only prose", "A User: b"])
    decoded = tiny_model.tokenizer.decode(token_windows([source], Split.TRAIN, tiny_model.tokenizer, 8, True).flatten())
    assert "<|start|>user\nhi<|end|>" in decoded.replace("<|start|><|start|>", "<|start|>") or "user\nhi<|end|>" in decoded
    plain = tiny_model.tokenizer.decode(token_windows([source], Split.TRAIN, tiny_model.tokenizer, 8).flatten())
    assert "User: hi" in plain and "<|end|>" not in plain


def test_too_little_text_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", ["one", "two"])
    with pytest.raises(BrokenText, match="fewer than 512 tokens"):
        token_windows([source], Split.TRAIN, tiny_model.tokenizer, 512)


def test_windows_are_whole_numbers(tiny_model: LoadedModel, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", ["the dog sleeps over the fox"] * 20)
    assert token_windows([source], Split.TRAIN, tiny_model.tokenizer, 8).dtype is torch.int32
