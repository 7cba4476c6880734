"""The corpus: positions, files, and a corpus of a user's own text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.analysis.errors import BrokenText
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.text.corpus import Corpus, join, read_corpus, spread, write_corpus
from dashboard.analysis.text.training_text import LONGEST_PIECE, corpus_of_text

Documents = list[tuple[str, list[int]]]
DOCUMENTS = st.lists(st.tuples(st.text(max_size=5), st.lists(st.integers(0, 2**31 - 1), max_size=9)), max_size=12)


def test_documents_lie_where_positions_say(tmp_path: Path) -> None:
    @given(DOCUMENTS)
    def holds(documents: Documents) -> None:
        corpus = join("made", "tests/tiny", documents)
        whole = [(kind, ids) for kind, ids in documents if ids]
        assert list(corpus.documents()) == whole and corpus.n_documents == len(whole)
        assert len(corpus) == sum(len(ids) for _, ids in whole)
        position = 0
        for index, (_, ids) in enumerate(whole):
            for place, token in enumerate(ids):
                assert corpus.document_at(position) == index
                assert corpus.ids[position] == corpus.document(index)[place] == token
                position += 1
        for outside in (-1, position):
            with pytest.raises(IndexError):
                corpus.document_at(outside)

    holds()


def test_a_part_of_a_corpus_has_whole_documents_of_every_kind_in_their_order() -> None:
    @given(st.integers(1, 400), st.integers(4, 40), st.integers(1, 5))
    def holds(n_tokens: int, n_of_kind: int, length: int) -> None:
        documents = [(kind, [100 * place + n for n in range(length)]) for kind in "abc" for place in range(n_of_kind)]
        corpus = join("made", "tests/tiny", documents)
        part = [*spread(corpus, n_tokens).documents()]
        rest = iter(documents)
        assert all(document in rest for document in part), "documents of the corpus, in its order"
        if n_tokens >= len(corpus):
            assert part == documents
        else:
            assert abs(len(part) * length - n_tokens) < 2 * length
            assert len({kind for kind, _ in part}) == min(3, len(part))

    holds()


def test_a_corpus_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "made.parquet"

    @given(DOCUMENTS)
    def holds(documents: Documents) -> None:
        corpus = join("made", "tests/tiny", documents)
        write_corpus(file, corpus)
        again = read_corpus(file)
        assert same(again, corpus) and again.sha256 == corpus.sha256
        assert (again.name, again.model, again.ids.dtype, again.starts.dtype) == ("made", "tests/tiny", np.int32, np.int64)

    holds()
    assert [path.name for path in tmp_path.iterdir()] == ["made.parquet"]


def test_the_hash_is_that_of_ids_and_where_documents_begin() -> None:
    hashes = {
        join("", "m", documents).sha256 for documents in ([("a", [1, 2, 3])], [("a", [1, 2]), ("a", [3])], [("a", [1, 3, 2])], [("a", [])])
    }
    assert len(hashes) == 4
    assert join("x", "m", [("a", [1, 2])]).sha256 == join("y", "m", [("b", [1, 2])]).sha256
    once = join("x", "m", [("a", [1, 2])])
    assert once.sha256 is once.sha256, "it is worked out once"


@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1PAR1"])
def test_a_broken_file_is_refused_with_the_cure(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.parquet"
    file.write_bytes(content)
    with pytest.raises(BrokenText, match="latents corpus write"):
        read_corpus(file)


def test_ones_own_text_keeps_every_document_and_every_token(tiny_model: LoadedModel, tmp_path: Path) -> None:
    texts = [f"the dog {i} sleeps over the fox. " * (i % 7 * 12 + 1) for i in range(40)]
    (tmp_path / "tales.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "note.md").write_text("brown fox")
    corpus = corpus_of_text([str(tmp_path)], tiny_model.tokenizer, "tests/tiny")
    ids = [tiny_model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ["brown fox", *texts]]
    assert any(len(one) > 2 * LONGEST_PIECE for one in ids)
    pieces = [one[start : start + LONGEST_PIECE] for one in ids for start in range(0, len(one), LONGEST_PIECE)]
    kinds = [tmp_path.name] + ["tales"] * (len(pieces) - 1)
    assert list(corpus.documents()) == list(zip(kinds, pieces, strict=True))
    assert (corpus.name, corpus.model) == (tmp_path.name, "tests/tiny")


def test_ones_own_dialogues_begin_with_their_own_bos_and_it_is_not_doubled(tiny_model: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "talk.txt"
    file.write_text("User: hi\nAssistant: hello")
    corpus = corpus_of_text([str(file)], tiny_model.tokenizer, "tests/tiny", dialogues_as_chat=True)
    ids = tuple(corpus.document(0).tolist())
    assert corpus.n_documents == 1 and ids[0] == tiny_model.bos_id and ids[1] != tiny_model.bos_id
    assert tiny_model.with_bos(ids) == ids
    plain = tuple(corpus_of_text([str(file)], tiny_model.tokenizer, "tests/tiny").document(0).tolist())
    assert tiny_model.bos_id not in plain and tiny_model.tokenizer.decode(plain) == file.read_text()


def test_text_without_a_token_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(BrokenText, match="0 tokens"):
        corpus_of_text([str(tmp_path)], tiny_model.tokenizer, "tests/tiny")


def same(one: Corpus, other: Corpus) -> bool:
    """True where all but the names are equal."""
    return bool((one.ids == other.ids).all() and (one.starts == other.starts).all() and one.kinds == other.kinds)
