"""Text to train and to measure on: files, folders or Hugging Face data sets, as windows of token ids.

The last 5 % of each file's documents are held out of training and are what evaluation reads. Documents are joined with
BOS between them and cut into windows of equal length that begin with BOS (sae-lens' own batching); nothing is padded.
A corpus for an index takes all documents, each on its own.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from sae_lens.tokenization_and_batching import concat_and_batch_sequences

from dashboard.analysis.errors import BrokenText
from dashboard.analysis.text.corpus import LONGEST_PIECE, Corpus, join
from dashboard.analysis.tokens import whole_characters

HELD_OUT_SHARE = 0.05
_SUFFIXES = (".txt", ".md", ".jsonl")
_TURN = re.compile(r"^(User|Assistant): ", re.MULTILINE)


class Split(StrEnum):
    """Which documents of each file."""

    TRAIN = "train"
    HELD_OUT = "held_out"


def read_documents(sources: Sequence[str], split: Split) -> Iterator[str]:
    """Documents of one split, source by source, files in order of their names.

    A source is a FILE (.txt and .md are one document each, .jsonl one a line under "text"), a FOLDER of them, or
    `hf:DATASET` with a "text" column.

    Raises:
        BrokenText: if a source is not there or has no text.
    """
    for _, documents in _groups(sources):
        yield from _of_split(documents, split)


def token_windows(
    sources: Sequence[str], split: Split, tokenizer: Any, length: int, dialogues_as_chat: bool = False, with_bos: bool = True
) -> Int32[torch.Tensor, "windows length"]:
    """Every window of the split, in reading order. `dialogues_as_chat` puts "User: ... Assistant: ..." documents
    through the chat template; `with_bos` puts the BOS, if there is one, before each window and each document.

    Raises:
        BrokenText: if there is not one whole window.
    """
    bos = tokenizer.bos_token_id if with_bos else None

    def ids() -> Iterator[torch.Tensor]:
        for document in read_documents(sources, split):
            if tokens := _token_ids(document, tokenizer, dialogues_as_chat):
                yield torch.tensor(tokens)

    windows = [w.int() for w in concat_and_batch_sequences(ids(), length, begin_batch_token_id=bos, begin_sequence_token_id=bos)]
    if not windows:
        raise BrokenText(f"{', '.join(sources)}: the {split.value} documents have fewer than {length} tokens. Give more text.")
    return torch.stack(windows)


def corpus_of_text(sources: Sequence[str], tokenizer: Any, model_name: str, dialogues_as_chat: bool = False) -> Corpus:
    """Every document of both splits, in reading order; one that is longer than `LONGEST_PIECE` tokens in pieces of that length,
    counted from its own start. The kind of a document is the name of its file, its folder or its data set.

    Raises:
        BrokenText: if there is no token.
    """
    pieces: list[tuple[str, Int32[np.ndarray, " _"]]] = []
    for kind, documents in _groups(sources):
        for document in documents:
            ids = np.array(_token_ids(document, tokenizer, dialogues_as_chat), dtype=np.int32)
            pieces += [(kind, ids[start : start + LONGEST_PIECE]) for start in range(0, len(ids), LONGEST_PIECE)]
    if not pieces:
        raise BrokenText(f"{', '.join(sources)}: the documents have 0 tokens. Give text that is not empty.")
    return join(", ".join(map(_name, sources)), model_name, pieces)


def _groups(sources: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """The name and the documents of each thing that is split by itself."""
    for source in sources:
        if source.startswith("hf:"):
            yield _name(source), _hub_documents(source[3:])
            continue
        path = Path(source).expanduser()
        files = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES) if path.is_dir() else [path]
        files = [file for file in files if file.is_file()]
        if not files:
            raise BrokenText(f"{source} holds no text: 0 files that end in {', '.join(_SUFFIXES)}. Name a file, a folder or hf:DATASET.")
        # A folder of single-document files is split by file, like the lines of one .jsonl.
        singles = [p.read_text(encoding="utf-8", errors="replace") for p in files if p.suffix != ".jsonl" and p.stem != "README"]
        yield _name(source), singles
        for file in files:
            if file.suffix == ".jsonl":
                yield file.stem, _lines(file)


def _name(source: str) -> str:
    return source[3:] if source.startswith("hf:") else Path(source).expanduser().absolute().stem


def _token_ids(document: str, tokenizer: Any, dialogues_as_chat: bool) -> list[int]:
    messages = _messages(document) if dialogues_as_chat else None
    text = tokenizer.apply_chat_template(messages, tokenize=False) if messages else document
    return tokenizer(whole_characters(text), add_special_tokens=False, verbose=False)["input_ids"]


def _of_split(documents: Sequence[str], split: Split) -> Sequence[str]:
    if len(documents) < 2:
        return documents if split is Split.TRAIN else ()
    first_held_out = len(documents) - math.ceil(len(documents) * HELD_OUT_SHARE)
    return documents[:first_held_out] if split is Split.TRAIN else documents[first_held_out:]


def _lines(file: Path) -> list[str]:
    documents: list[str] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                documents.append(str(json.loads(line)["text"]))
            except (ValueError, KeyError, TypeError) as error:
                raise BrokenText(f'{file.name}, line {number} is not {{"text": ...}}: {error}. Correct or remove it.') from error
    return documents


def _hub_documents(dataset: str) -> Sequence[str]:
    from datasets import load_dataset

    try:
        return load_dataset(dataset, split="train")["text"]
    except Exception as error:  # the loader raises a dozen kinds; for the reader they are one
        raise BrokenText(f"hf:{dataset} cannot be read: {str(error).splitlines()[0]}. Check the name and the connection.") from error


def _messages(document: str) -> list[dict[str, str]] | None:
    turns = _TURN.split(document)
    if turns[0].strip() or len(turns) < 3:
        return None
    return [{"role": role.lower(), "content": said.strip()} for role, said in zip(turns[1::2], turns[2::2], strict=True)]
