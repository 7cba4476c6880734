"""Texts that the model writes, and texts that it is asked to judge, with edits and without."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from dashboard.analysis.asks.generation import GenerationAsk, ScoreAsk, TextScore
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.errors import PromptTooLong
from dashboard.analysis.model.costs import generation_bytes
from dashboard.analysis.model.generation import Step
from dashboard.analysis.model.scoring import score_text


def generate(at: Workspace, ask: GenerationAsk) -> Iterator[Step]:
    """A prompt continued in several rows, each with its own edits and random generator: a token for each row a turn.

    Asks of one lane share their passes of the model. The dictionaries that the edits read are held on the shelf until the
    generation has ended or is closed.

    Raises:
        PromptTooLong, UnknownSae, UnknownLatent, NotMeasured, ShelfTooSmall: before anything is read.
    """
    tokens = at.tokens(ask.prompt)
    if len(tokens) + ask.sampling.max_new_tokens > at.model.max_tokens:
        raise PromptTooLong(len(tokens) + ask.sampling.max_new_tokens, at.model.max_tokens)
    seed = ask.sampling.seed
    with ExitStack() as held:
        edits = [held.enter_context(at.placing.placed(variant.interventions)) for variant in ask.variants]
        rows = [
            (variant.label, placed, seed if variant.seed is None else variant.seed)
            for variant, placed in zip(ask.variants, edits, strict=True)
        ]
        yield from at.decoder.write(tokens, rows, ask.sampling)


def generation_cost(at: Workspace, ask: GenerationAsk) -> int:
    """Bytes; see `generation_bytes`."""
    return generation_bytes(at.model, len(at.tokens(ask.prompt)), ask.sampling.max_new_tokens, len(ask.variants))


def score(at: Workspace, ask: ScoreAsk) -> TextScore:
    """A written text read with and without edits, the two compared token by token."""
    tokens = at.tokens(ask.prompt)
    before = at.tokens(replace(ask.prompt, continuation=())).text
    gap = "" if before[-1:].isspace() or not before else " "
    firsts = [at.model.tokenizer(gap + word.strip(), add_special_tokens=False)["input_ids"][0] for word in ask.words]
    with at.placing.placed(ask.interventions) as edits:
        scored, words = score_text(at.model, tokens, edits, ask.top, firsts)
        return TextScore(scored, at.placing.doses(edits), words)


def score_cost(at: Workspace, ask: ScoreAsk) -> int:
    """Bytes; see `generation_bytes`."""
    return generation_bytes(at.model, len(at.tokens(ask.prompt)), 0, 2, len(ask.prompt.continuation) + 1)
