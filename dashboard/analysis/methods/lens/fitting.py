"""Fitting a Jacobian lens, and checking it against the logit lens on text that it was not fitted on.

Steps: (1) documents of a corpus in a random order that is always the same; (2) for each of the first ones, the Jacobian of
the last block's output in each earlier one's, by TransformerLens; (3) the mean over documents is the lens; (4) on documents
from the order's other end, each layer's likeliest token and distribution are compared with the model's own, through both
lenses, and as nulls at another token of the same text and for one constant guess.

Source: Gurnee et al. 2026, "Verbalizable Representations Form a Global Workspace in Language Models"; agreement and KL by
layer as in Belrose et al. 2023, arXiv:2303.08112, section 4. Differs from them: the texts are short (`n_tokens`) and few,
because a CPU needs minutes for each.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from dashboard.analysis.asks.lens import JacobiansAsk, LensCheck, LensCheckAsk, LensKind
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BrokenText
from dashboard.analysis.lenses.file import Check, LayerCheck, Measured
from dashboard.analysis.stats.estimates import mean_estimate
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.text.corpus import Corpus

N_TOKENS = 63
"""Of each document: with a BOS the model reads 64."""


@dataclass(frozen=True, eq=False)
class Sum:
    """Jacobians that were added up."""

    matrices: np.ndarray
    documents: tuple[int, ...]
    """Places in the corpus of those that are in it."""

    @property
    def mean(self) -> np.ndarray:
        """The lens: [layer, d_model, d_model]."""
        return self.matrices / len(self.documents)


def order(corpus: Corpus) -> list[int]:
    """The documents of a corpus in a random order that is always the same: fits take from its beginning, checks from its end."""
    places = list(range(corpus.n_documents))
    random.Random(0).shuffle(places)
    return places


def fit(runner: Runner, corpus: Corpus, n_texts: int, n_tokens: int, kept: Step | None) -> Iterator[Sum]:
    """The sum after each document, kept as it grows: it resumes where it stopped, also when more texts are asked for.

    Raises:
        BrokenText: if the corpus has too few documents of that length.
        NotUsable: if no lens can be fitted on this model.
        RunMismatch: if another process makes the same at this moment.
    """
    places = order(corpus)
    with nullcontext() if kept is None else kept.held():
        found, tried = _kept(kept)
        if found is not None:
            yield found
        while found is None or len(found.documents) < n_texts:
            if tried >= len(places) // 2:
                used = len(found.documents) if found else 0
                raise BrokenText(f"{corpus.name} has {used} documents of {n_tokens} tokens that can be used; {n_texts} were asked for.")
            place = places[tried]
            tried += 1
            matrices = runner.ask(JacobiansAsk(tuple(corpus.document(place).tolist()), n_tokens)).matrices
            if matrices is None:
                continue
            before = found or Sum(np.zeros_like(matrices), ())
            found = Sum(before.matrices + matrices, (*before.documents, place))
            if kept is not None:
                kept.save_arrays(0, {"matrices": found.matrices, "documents": np.array(found.documents), "tried": np.array(tried)})
            yield found


def _kept(kept: Step | None) -> tuple[Sum | None, int]:
    if kept is None or not kept.has(0):
        return None, 0
    arrays = kept.arrays(0)
    return Sum(arrays["matrices"], tuple(arrays["documents"].tolist())), int(arrays["tried"])


def held_out(corpus: Corpus, n_texts: int, n_tokens: int) -> list[tuple[int, ...]]:
    """Rows of token ids from the end of the order, which no fit reaches."""
    long_enough = [place for place in reversed(order(corpus)[corpus.n_documents // 2 :]) if len(corpus.document(place)) >= n_tokens]
    return [tuple(corpus.document(place)[:n_tokens].tolist()) for place in long_enough[:n_texts]]


def check(runner: Runner, rows: Sequence[tuple[int, ...]]) -> Iterator[Check | int]:
    """Both lenses on held-out rows: the number of rows that are done after each, at last the comparison."""
    found: dict[LensKind, list[LensCheck]] = {kind: [] for kind in LensKind}
    for n_done, row in enumerate(rows, 1):
        for kind in LensKind:
            found[kind].append(runner.ask(LensCheckAsk(row, kind)))
        yield n_done
    yield compare(found[LensKind.LOGIT], found[LensKind.JACOBIAN])


def compare(logit: Sequence[LensCheck], jacobian: Sequence[LensCheck]) -> Check:
    """Texts that were read through both lenses, in figures. Every text weighs the same."""
    guesses: list[float] = []
    for place, text in enumerate(logit):
        others = Counter(token for i, other in enumerate(logit) if i != place for token in other.predicted.tolist())
        constant = others.most_common(1)[0][0] if others else -1
        guesses.append(float((text.predicted == constant).mean()))
    n_tokens = sum(len(text.predicted) for text in logit)
    return Check(len(logit), n_tokens, _measured(guesses), _by_layer(logit), _by_layer(jacobian))


def _by_layer(texts: Sequence[LensCheck]) -> tuple[LayerCheck, ...]:
    layers = range(len(texts[0].top))
    return tuple(
        LayerCheck(
            layer,
            _measured([float((text.top[layer] == text.predicted).mean()) for text in texts]),
            _measured([float(text.kl[layer].mean()) for text in texts]),
            _measured([float((text.top_elsewhere[layer] == text.predicted).mean()) for text in texts]),
            _measured([float(text.kl_elsewhere[layer].mean()) for text in texts]),
        )
        for layer in layers
    )


def _measured(values: Sequence[float]) -> Measured:
    found = mean_estimate(values)
    low, high = found.interval or (found.mean, found.mean)
    return Measured(found.mean, low, high)
