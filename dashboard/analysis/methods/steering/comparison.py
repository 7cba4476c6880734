"""Steer and compare: a prompt continued with and without edits, and the measure of what changed.

Steps: (1) plain and steered text are written as two rows of one batch from the same seed; (2) each text is read again by
both models, which gives, at every new token, KL(steered || plain) of the next-token distributions and the difference of
the token's log-probabilities, both after the same tokens; (3) the steered text's perplexity under the plain model and
the share of repeated 4-grams say what fluency was paid. It does not judge whether the text means what was wanted.

Source: additive steering as in Templeton et al. 2024, "Scaling Monosemanticity", section "Influence on behavior";
clamping with the error term kept as there. Sums of decoder rows: card A3's GPT-2 experiment.
"""

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.analysis.asks.edits import Intervention, NamedVector, parse_where, print_amount, print_where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, ScoredToken, TextScore, TokenDelta, Variant
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.tokens import Prompt

PLAIN, STEERED = "plain", "steered"
MAX_SUBSET = 4
"""Edits of which every subset is tried: 16 texts."""


@dataclass(frozen=True)
class SteeringAsk:
    """One comparison."""

    prompt: Prompt
    interventions: tuple[Intervention, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def generation(self) -> GenerationAsk:
        """Both texts, as rows of one batch."""
        return GenerationAsk(self.prompt, (Variant(PLAIN), Variant(STEERED, self.interventions)), self.sampling)

    def score(self, written: "Written") -> ScoreAsk:
        """A text as both models see it."""
        return ScoreAsk(Prompt(self.prompt.text, self.prompt.chat, written.ids), self.interventions)

    @property
    def saes(self) -> tuple[SaeId, ...]:
        """Whose latents are used."""
        return tuple(dict.fromkeys(edit.direction.sae for edit in self.interventions if not isinstance(edit.direction, NamedVector)))

    def plain_data(self) -> dict[str, Any]:
        """The ask as JSON holds it."""
        return {
            "prompt": self.prompt.text,
            "chat": self.prompt.chat,
            "edits": [{"edit": str(edit), "where": print_where(edit.where)} for edit in self.interventions],
            "vectors": {
                edit.direction.name: {"site": str(edit.direction.site), "values": edit.direction.values}
                for edit in self.interventions
                if isinstance(edit.direction, NamedVector)
            },
            "max_new_tokens": self.sampling.max_new_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "seed": self.sampling.seed,
        }


@dataclass(frozen=True)
class Written:
    """A text that a row has written, or the part of it that is there."""

    ids: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    """What each token adds."""
    logprobs: tuple[float, ...] = ()
    """Of each token under the row's own model, nats."""
    ended: bool = False
    """True once the row has its last token."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.texts)

    def add(self, delta: TokenDelta) -> "Written":
        """The text with one more token."""
        return Written((*self.ids, delta.token_id), (*self.texts, delta.text), (*self.logprobs, delta.logprob), delta.last)


@dataclass(frozen=True)
class Comparison:
    """Two texts, and both of them as the two models see them."""

    plain: Written
    steered: Written
    plain_score: TextScore
    steered_score: TextScore


def collect(deltas: Iterable[TokenDelta]) -> dict[str, Written]:
    """The texts of a generation by label."""
    texts: dict[str, Written] = {}
    for delta in deltas:
        texts[delta.variant] = texts.get(delta.variant, Written()).add(delta)
    return texts


def compare(runner: Runner, ask: SteeringAsk) -> Comparison:
    """Write both texts and measure what changed."""
    texts = collect(runner.stream(ask.generation))
    plain, steered = texts[PLAIN], texts[STEERED]
    return Comparison(plain, steered, runner.ask(ask.score(plain)), runner.ask(ask.score(steered)))


def first_difference(plain: Sequence[int], steered: Sequence[int]) -> int | None:
    """Index of the first new token in which two texts differ, or in which only one goes on; None if they are equal."""
    for place, (one, other) in enumerate(itertools.zip_longest(plain, steered)):
        if one != other:
            return place
    return None


def subsets(interventions: Sequence[Intervention]) -> dict[str, tuple[Intervention, ...]]:
    """Every subset of up to MAX_SUBSET edits, by a label of their numbers from 1: `plain`, `1`, `2`, `1+2` ...

    Raises:
        BadAsk: if there are more, or none.
    """
    if not 1 <= len(interventions) <= MAX_SUBSET:
        raise BadAsk(f"Every subset is written for 1 to {MAX_SUBSET} edits; there are {len(interventions)}. Remove some.")
    chosen = [c for size in range(len(interventions) + 1) for c in itertools.combinations(range(len(interventions)), size)]
    return {"+".join(str(i + 1) for i in c) or PLAIN: tuple(interventions[i] for i in c) for c in chosen}


def subset_table(runner: Runner, ask: SteeringAsk) -> list[dict[str, Any]]:
    """What each subset of the edits makes of the prompt, written together: one row a subset, plain first."""
    by_label = subsets(ask.interventions)
    variants = tuple(Variant(label, edits) for label, edits in by_label.items())
    texts = collect(runner.stream(GenerationAsk(ask.prompt, variants, ask.sampling)))
    rows: list[dict[str, Any]] = []
    for label, edits in by_label.items():
        score = runner.ask(SteeringAsk(ask.prompt, edits, ask.sampling).score(texts[label]))
        rows.append(
            {
                "edits": label,
                "text": texts[label].text,
                "kl": _mean([token.kl for token in score.tokens]),
                "perplexity": score.perplexity,
                "repeated 4-grams": repeated_ngrams(texts[label].ids),
            }
        )
    return rows


def report(ask: SteeringAsk, found: Comparison, record: RunRecord) -> dict[str, Any]:
    """The `latents steer` answer as plain data. `kl` belongs to the steered text's tokens."""
    doses = found.steered_score.doses
    return {
        "plain": _text(found.plain, found.plain_score),
        "steered": _text(found.steered, found.steered_score),
        "kl": [token.kl for token in found.steered_score.tokens],
        "logprob_differences": [token.logprob - token.plain_logprob for token in found.steered_score.tokens],
        "first_difference": first_difference(found.plain.ids, found.steered.ids),
        "interventions": [
            {
                "edit": str(edit),
                "direction": str(edit.direction),
                "op": edit.op.value,
                "amount": edit.amount,
                "unit": edit.unit.value,
                "where": print_where(edit.where),
                "raw_amount": dose.amount if edit.op.takes_unit else None,
                "share_of_norm": dose.share_of_norm if edit.op.takes_unit else None,
            }
            for edit, dose in zip(ask.interventions, doses, strict=True)
        ],
        "record": record.__dict__,
    }


def command(ask: SteeringAsk, dtype: str) -> str:
    """The `latents steer` command that makes the comparison again."""
    prompt = shlex.quote(ask.prompt.text)
    # A prompt that begins with a dash goes last, behind --: it would be read as an option.
    first, last = ([], ["--", prompt]) if ask.prompt.text.startswith("-") else ([prompt], [])
    words = ["latents", "steer", *first]
    words += [f"--set {shlex.quote(str(edit))}" for edit in ask.interventions]
    if ask.interventions:
        words.append(f"--where {print_where(ask.interventions[0].where)}")
    words.append(f"--max-new-tokens {ask.sampling.max_new_tokens} --temperature {print_amount(ask.sampling.temperature)}")
    words.append(f"--top-p {print_amount(ask.sampling.top_p)} --seed {ask.sampling.seed} --dtype {dtype}")
    return " ".join([*words, *(["--chat"] if ask.prompt.chat else []), *last])


def ask_of(data: Mapping[str, Any]) -> SteeringAsk:
    """The ask that `SteeringAsk.plain_data` wrote down."""
    vectors = {name: NamedVector(name, Site.parse(v["site"]), tuple(v["values"])) for name, v in data["vectors"].items()}
    edits = tuple(Intervention.parse(entry["edit"], parse_where(entry["where"]), vectors) for entry in data["edits"])
    sampling = Sampling(data["max_new_tokens"], data["temperature"], data["top_p"], data["seed"])
    return SteeringAsk(Prompt(data["prompt"], data["chat"]), edits, sampling)


def neuronpedia(ask: SteeringAsk, found: Comparison, model: str) -> dict[str, Any]:
    """Request and response in the form of Neuronpedia's steering API.

    Its strength is our raw amount (the factor of a `scale`). What its form cannot say (other operations, parts of the text) stands in
    fields of ours: `op`, `where`, and `chat` for a prompt that goes through the chat template.
    """
    features = [
        {
            "modelId": model,
            "layer": edit.direction.name if isinstance(edit.direction, NamedVector) else edit.direction.sae.name,
            "index": -1 if isinstance(edit.direction, NamedVector) else edit.direction.index,
            "strength": dose.amount if edit.op.takes_unit else edit.amount,
            "op": edit.op.value,
            "where": print_where(edit.where),
        }
        for edit, dose in zip(ask.interventions, found.steered_score.doses, strict=True)
    ]
    request = {
        "prompt": ask.prompt.text,
        "chat": ask.prompt.chat,
        "modelId": model,
        "features": features,
        "temperature": ask.sampling.temperature,
        "n_tokens": ask.sampling.max_new_tokens,
        "freq_penalty": 0,
        "seed": ask.sampling.seed,
        "strength_multiplier": 1,
        "steer_method": "SIMPLE_ADDITIVE",
    }
    response = {
        "STEERED": ask.prompt.text + found.steered.text,
        "DEFAULT": ask.prompt.text + found.plain.text,
        "steeredLogProbs": _logprobs(found.steered, [(token.logprob, token) for token in found.steered_score.tokens], edited=True),
        "defaultLogProbs": _logprobs(found.plain, [(token.plain_logprob, token) for token in found.plain_score.tokens], edited=False),
    }
    return {"request": request, "response": response}


def _logprobs(written: Written, scored: Sequence[tuple[float, ScoredToken]], *, edited: bool) -> list[dict[str, Any]]:
    return [
        {
            "token": text,
            "logprob": logprob,
            "topLogprobs": [{"token": near.text, "logprob": near.logprob} for near in (token.top if edited else token.plain_top)],
        }
        for text, (logprob, token) in zip(written.texts, scored, strict=True)
    ]


def _text(written: Written, score: TextScore) -> dict[str, Any]:
    return {
        "text": written.text,
        "ids": list(written.ids),
        "logprobs": list(written.logprobs),
        "perplexity": score.perplexity,
        "repeated_4grams": repeated_ngrams(written.ids),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
