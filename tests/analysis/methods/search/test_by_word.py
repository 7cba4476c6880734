"""Search by word: what it finds is what a plain look through every string finds, and like words find one another."""

import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.analysis.asks.capture import TraceAsk
from dashboard.analysis.asks.generation import ScoreAsk
from dashboard.analysis.asks.weights import VocabularyAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, NotMeasured
from dashboard.analysis.index.facts import N_TOP, IndexHead
from dashboard.analysis.index.file import SCHEMA, columns, index_file, write_index
from dashboard.analysis.methods.search.by_word import WordHit, WordSearch, find, search_words
from dashboard.analysis.methods.search.word_scores import MAX_QUERY, Documents, Found, Meant
from dashboard.analysis.methods.search.words import compared, read_words
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import Note
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.text.corpus import Corpus, join
from dashboard.analysis.tokens import Prompt
from tests.conftest import N_LATENTS

TEXTS = (
    "The quick brown fox jumps over the lazy dog, and the DOG sleeps.",
    "Months: January, February (March); snake_case names don't sleep in Paris.",
    "서울은 대한민국의 수도입니다. 부산은 바다가 아름다운 도시예요.",
    "dog",
)
LABELS = (
    "quick and lazy things",
    "Fires on months",
    "",
    "dog-sleeping",
    "Straße",
    "undogged",
    'fires on "Zürich", "a \\"dog\\"" (38 % of its tokens); promotes "Bern"',
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, tiny_release: Path, tiny_model, tiny_settings) -> LocalRunner:
    """A runner over a copy of the release, whose indexes may be written."""
    folder = tmp_path_factory.mktemp("words")
    release = shutil.copytree(tiny_release, folder / "tiny")
    changed = tiny_settings.model_copy(update={"sae_folders": (release,)})
    return LocalRunner(tiny_model, read_catalog(changed, assets=folder), tiny_settings.cache)


@pytest.fixture(scope="module")
def corpus(own: LocalRunner) -> Corpus:
    encode = own.model.tokenizer
    return join("small", str(own.model.id), [("text", encode(text, add_special_tokens=False)["input_ids"]) for text in TEXTS])


def write(spec: SaeSpec, corpus: Corpus, positions: list[list[int]], promoted: list[list[int]], labels: list[str]) -> None:
    """An index that holds these columns, and nothing in the others."""
    n = len(labels)
    rows = {name: [[]] * n if pa.types.is_list(SCHEMA.field(name).type) else [0] * n for name in SCHEMA.names}
    rows |= {"top_position": positions, "top_value": [[1.0] * len(row) for row in positions], "promoted": promoted, "label": labels}
    rows["promoted_logit"] = [[1.0] * len(row) for row in promoted]
    head = IndexHead(len(corpus), 0, "small", corpus.sha256, weights_sha256(spec), "float32", (str(spec.id),), "0")
    write_index(index_file(spec), pa.table({name: pa.array(rows[name], SCHEMA.field(name).type) for name in SCHEMA.names}), head)


@pytest.fixture(scope="module")
def indexed_saes(own: LocalRunner, corpus: Corpus) -> tuple[SaeSpec, ...]:
    generator = np.random.default_rng(0)
    specs = own.catalog.specs[:2]
    for spec in specs:
        counts = generator.integers(0, 4, N_LATENTS)
        positions = [generator.choice(len(corpus), count, replace=False).tolist() for count in counts]
        promoted = [generator.choice(len(own.model.tokenizer), 3, replace=False).tolist() for _ in range(N_LATENTS)]
        write(spec, corpus, positions, promoted, [LABELS[i] if i < len(LABELS) else "" for i in generator.permutation(N_LATENTS)])
    return specs


@pytest.fixture(scope="module")
def documents(own: LocalRunner, corpus: Corpus, indexed_saes: tuple[SaeSpec, ...]) -> Documents:
    return Documents(read_words(indexed_saes, own, lambda head: corpus))


def inside(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def word_at(own: LocalRunner, corpus: Corpus, position: int) -> str:
    """The word around a token, from the characters of its whole document."""
    document = corpus.document_at(position)
    (row,) = own.ask(TraceAsk((tuple(corpus.document(document).tolist()),), ()))
    at = position - int(corpus.starts[document])
    start, end = len("".join(row.texts[:at])), len("".join(row.texts[: at + 1]))
    text = "".join(row.texts)
    if start == end:
        end = start + 1  # part of the character that comes next
    while start and inside(text[start]) and inside(text[start - 1]):
        start -= 1
    while end < len(text) and inside(text[end - 1]) and inside(text[end]):
        end += 1
    return text[start:end]


def strings(own: LocalRunner, corpus: Corpus, specs: tuple[SaeSpec, ...], notes: dict[LatentId, Note]) -> dict[LatentId, list[str]]:
    """Everything that is said of each latent."""
    said: dict[LatentId, list[str]] = {}
    decode = own.model.tokenizer.decode
    for spec in specs:
        for index, row in enumerate(columns(spec, "label", "top_position", "promoted").to_pylist()):
            tokens = [decode([token]) for token in (*corpus.ids[row["top_position"]].tolist(), *row["promoted"])]
            whole = [word_at(own, corpus, position) for position in row["top_position"]]
            latent = spec.latent(index)
            note = notes.get(latent, Note())
            # Of an automatic label, what stands in quotes.
            label = ["Zürich", 'a "dog"', "Bern"] if row["label"].startswith('fires on "') else [row["label"]]
            said[latent] = [*label, note.label, note.text, *(token for token in tokens if "\ufffd" not in token), *whole]
    return said


@pytest.fixture(scope="module")
def said(own: LocalRunner, corpus: Corpus, indexed_saes: tuple[SaeSpec, ...]) -> dict[LatentId, list[str]]:
    return strings(own, corpus, indexed_saes, {})


@pytest.mark.parametrize(
    "query",
    ["dog", "DOG ", "o", "january", "Month", "case", "snake_case", "서울", "부산은", "도시", "months", "straSSE", ",", "th", "xyzzy",
     "fires on", "e d", "zürich", "bern", "promotes", 'a "dog'],
)  # fmt: skip
def test_a_word_is_found_iff_a_plain_look_through_every_string_finds_it(
    own: LocalRunner, corpus: Corpus, indexed_saes: tuple[SaeSpec, ...], documents: Documents, query: str
) -> None:
    notes = {indexed_saes[0].latent(3): Note("the DOG's", "sits in\n Seoul"), indexed_saes[1].latent(5): Note(text="a months-old note")}
    answer = find(documents, query, notes, top=10_000)
    expected = {
        latent
        for latent, said in strings(own, corpus, indexed_saes, notes).items()
        if any(compared(query) in compared(one) for one in said)
    }
    assert {hit.latent for hit in answer.rows} == expected
    assert answer.n_found == len(expected) and answer.n_latents == 2 * N_LATENTS
    keys = [(not hit.whole, -hit.score) for hit in answer.rows]
    assert keys == sorted(keys), "whole words come first, then by score"


@given(query=st.text("adoghJ서_,( ", min_size=1, max_size=3).filter(lambda text: text.strip()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_short_string_is_found_iff_it_is_there(documents: Documents, said: dict[LatentId, list[str]], query: str) -> None:
    answer = find(documents, query, {}, top=10_000)
    assert {hit.latent for hit in answer.rows} == {
        latent for latent, texts in said.items() if any(compared(query) in compared(text) for text in texts)
    }


def test_it_says_where_it_was_found_and_by_which_words(documents: Documents, indexed_saes: tuple[SaeSpec, ...]) -> None:
    noted = indexed_saes[0].latent(7)
    first = find(documents, "Zebra", {noted: Note("Zebra crossing", "not a zebrafish")}).rows
    assert [(hit.latent, hit.label, hit.where, hit.whole) for hit in first] == [
        (noted, "Zebra crossing", (Found.OWN_LABEL, Found.NOTE), True)
    ]
    labelled = find(documents, "months", {}).rows
    assert any(hit.where[0] is Found.LABEL and hit.label == "Fires on months" for hit in labelled)
    by_example = find(documents, "january", {}).rows
    assert by_example and all(Found.EXAMPLES in hit.where and "january" in hit.matched for hit in by_example)


def test_a_note_shows_at_once_and_a_part_of_a_word_comes_after_the_whole(documents: Documents, indexed_saes: tuple[SaeSpec, ...]) -> None:
    part, whole = indexed_saes[0].latent(1), indexed_saes[1].latent(2)
    assert find(documents, "quince", {}).rows == ()
    found = find(documents, "quince", {part: Note("quinces"), whole: Note("", "a quince")}).rows
    assert [hit.latent for hit in found] == [whole, part]


def test_only_the_chosen_saes_are_searched(documents: Documents, indexed_saes: tuple[SaeSpec, ...]) -> None:
    everywhere = find(documents, "o", {}, top=10_000).rows
    one = find(documents, "o", {}, saes=[indexed_saes[1].id], top=10_000)
    assert one.rows == tuple(hit for hit in everywhere if hit.latent.sae == indexed_saes[1].id)
    assert one.n_latents == N_LATENTS
    assert find(documents, "o", {}, saes=[SaeId("gone", "x")]).rows == ()


@pytest.mark.parametrize(
    "query, said", [("", "is empty"), (" \n ", "is empty"), ("x" * (MAX_QUERY + 1), "201 characters; the limit is 200")]
)
def test_an_empty_or_endless_query_says_so(own: LocalRunner, documents: Documents, query: str, said: str) -> None:
    with pytest.raises(BadAsk, match=said):
        find(documents, query, {})
    with pytest.raises(BadAsk, match=said):
        documents.meant(own, query)


def test_by_meaning_forms_of_a_word_and_words_of_like_vectors_come_first(own: LocalRunner, corpus: Corpus, indexed_saes) -> None:
    words = read_words(indexed_saes[:1], own, lambda head: corpus)
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=words.vectors.shape).astype(np.float32)
    number = {term: i for i, term in enumerate(words.terms)}
    vectors[number["fox"]] = vectors[number["dog"]] + 0.1 * vectors[number["fox"]]
    empty = {name: np.full_like(getattr(words, name), -1) for name in ("tokens", "words", "near", "promoted")}
    for latent, term in ((4, "fox"), (9, "january"), (20, "dog"), (30, "sleeps"), (31, "sleep")):
        empty["words"][latent, :3] = number[term]
    plain = Documents(replace(words, vectors=vectors, labels=("",) * len(words), compared_labels=("",) * len(words), **empty))
    nothing = np.zeros(len(words.terms), dtype=np.float32)

    def found(query: str, like: str = "", listed: str = "", top: int = 2) -> list[WordHit]:
        vector, examples = np.zeros(vectors.shape[1], dtype=np.float32), nothing.copy()
        if like:
            vector = (vectors[number[like]] - vectors.mean(0)) / np.linalg.norm(vectors[number[like]] - vectors.mean(0))
        if listed:
            examples[number[listed]] = 1.0
        return list(find(plain, query, {}, Meant(vector, examples), top=top).rows)

    assert [hit.latent.index for hit in found("dog", like="dog")] == [20, 4], "a word, then one whose vector is like it"
    assert {hit.latent.index for hit in found("sleeping")} == {30, 31}, "forms of a word"
    assert found("sleeping", top=1)[0].matched[0].startswith("sleep")
    months = found("time", listed="january", top=1)[0]
    assert (months.latent.index, months.matched[0], months.where) == (9, "january", (Found.MEANING,)), "what the model lists"
    silent = plain.by_words("zzz")
    assert not silent.any(), "a word like no other says nothing"


def test_cosines_are_those_of_dense_arithmetic(documents: Documents) -> None:
    tfidf = documents._tfidf.toarray()
    lengths = np.linalg.norm(tfidf, axis=1)
    assert lengths[lengths > 0] == pytest.approx(1.0, abs=1e-5)
    vectors = tfidf @ (documents.words.vectors - documents.words.vectors.mean(0))
    query = documents.words.vectors[documents.words.terms.index("dog")] - documents.words.vectors.mean(0)
    query /= np.linalg.norm(query)
    expected = [row @ query / max(np.linalg.norm(row), 1e-6) for row in vectors]
    assert documents.by_vector(query) == pytest.approx(np.array(expected), abs=1e-4)


def test_what_a_query_means_is_what_the_model_says(own: LocalRunner, documents: Documents) -> None:
    meant = documents.meant(own, "the dog")
    known = own.ask(VocabularyAsk(tuple(own.model.tokenizer(" the dog", add_special_tokens=False)["input_ids"])))
    assert np.linalg.norm(meant.vector) == pytest.approx(1.0, abs=1e-5)
    assert meant.vector @ (known.vectors.mean(0) - documents.words.vectors.mean(0)) > 0

    def next_tokens(what: str) -> dict[str, float]:
        prompt = Prompt(f"A list of {what}:\n-", continuation=(own.model.bos_id,))
        return {token.text: token.logprob for token in own.ask(ScoreAsk(prompt, top=60)).tokens[0].plain_top}

    of_dogs, of_things = next_tokens("the dog"), next_tokens("things")
    rising = {compared(text) for text, logprob in of_dogs.items() if logprob > of_things.get(text, min(of_things.values()))}
    listed = {documents.words.terms[number] for number in np.flatnonzero(meant.examples)}
    assert {word for word in rising if word.isalnum() and word in documents.words.terms} <= listed
    answer = find(documents, "the dog", {}, meant)
    assert answer.examples and set(answer.examples) <= listed


def test_the_engine_answers_as_the_runner_and_notices_a_new_index(
    own: LocalRunner, corpus: Corpus, indexed_saes: tuple[SaeSpec, ...]
) -> None:
    engine = Engine(lambda: own)
    try:
        search = WordSearch(engine, own.catalog, lambda head: corpus)
        answer = search.search("dog", {}, meaning=True)
        assert answer == search_words(own, own.catalog, lambda head: corpus, "dog", {}, meaning=True)
        assert any("has no index" in notice for notice in answer.notices) and answer.n_latents == 2 * N_LATENTS
        assert search.documents() is search.documents()
        spec = own.catalog.specs[2]
        assert not search.search("heliotrope", {}).rows
        write(spec, corpus, [[]] * spec.n_latents, [[]] * spec.n_latents, ["heliotrope", *[""] * (spec.n_latents - 1)])
        assert [hit.latent for hit in search.search("heliotrope", {}).rows] == [spec.latent(0)]
    finally:
        engine.close()
        index_file(own.catalog.specs[2]).unlink(missing_ok=True)


def test_without_its_text_an_index_is_searched_by_label_and_promoted_tokens(own: LocalRunner, indexed_saes: tuple[SaeSpec, ...]) -> None:
    def gone(head: IndexHead) -> Corpus:
        raise NotMeasured(f"The text {head.corpus} is not here.")

    documents = Documents(read_words(indexed_saes, own, gone))
    assert find(documents, "months", {}).rows
    assert not any(Found.EXAMPLES in hit.where for hit in find(documents, "o", {}, top=10_000).rows)
    assert documents.notices == ("The text small is not here.",)


def test_nothing_to_search_finds_nothing(own: LocalRunner) -> None:
    documents = Documents(read_words((), own, lambda head: pytest.fail("no index, no corpus")))
    assert find(documents, "dog", {}).rows == find(documents, "dog", {}, documents.meant(own, "dog")).rows == ()


def test_a_vocabulary_is_the_models_own_embedding(own: LocalRunner) -> None:
    ids = tuple(own.model.tokenizer(" the dog", add_special_tokens=False)["input_ids"])
    known = own.ask(VocabularyAsk((*ids, own.model.bos_id)))
    assert "".join(known.texts[:-1]) == " the dog"
    assert known.special == (False,) * len(ids) + (True,)
    table = own.model.bare.get_input_embeddings().weight.detach().float().numpy()
    assert np.array_equal(known.vectors, table[[*ids, own.model.bos_id]])


def test_an_example_list_is_never_longer_than_the_index_says(documents: Documents) -> None:
    assert documents.words.tokens.shape == (2 * N_LATENTS, N_TOP) == documents.words.words.shape
