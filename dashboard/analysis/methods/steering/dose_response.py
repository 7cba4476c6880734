"""What grows with the dose: edits at a grid of strengths, several texts at each, and four figures of every text.

Steps: (1) for each curve and factor, every amount is multiplied by the factor, and a text is written from each seed;
factor 0 is the plain model and is written once for all curves; (2) each text is read again by both models, which gives
the mean KL(edited || plain) per token and the perplexity under the plain model; once a point, the prompt alone gives
the log-probability of a word as the first new token; (3) a rule says whether the text does what is wanted; (4) means
over seeds with 95 % intervals. It does not judge meaning: a rule sees words, not sense, and a low perplexity may be a
loop, which the share of repeated 4-grams shows.

Source: interval of a mean by bootstrap, Efron 1987, "Better bootstrap confidence intervals" (BCa); interval of a share,
Wilson 1927. Differs from them: none, scipy's are used.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import regex

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, print_where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import Dose
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import SaeId
from dashboard.analysis.stats.estimates import Estimate, mean_estimate, share_estimate
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.stats.refusal import is_refusal
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.studies.blocks import in_blocks
from dashboard.analysis.tokens import Prompt

MAX_CURVES, MAX_FACTORS, MAX_SEEDS = 5, 21, 50
MAX_RULE = 200
"""Characters of a rule."""
_MAX_SEARCHED = 10_000
"""Characters of a text that a rule sees; 512 tokens are seldom more than 3,000."""
_SEARCH_S = 0.5
"""Seconds that a rule may take over one text."""


class RuleKind(StrEnum):
    """How a text is judged."""

    WORDS = "words"
    """It has one of some words, whole, in any case."""
    REGEX = "regex"
    """A regular expression is found in it."""
    REFUSAL = "refusal"
    """It declines to answer: see `refusal.py`."""


@dataclass(frozen=True)
class Rule:
    """Says of a text whether it matches."""

    kind: RuleKind
    text: str = ""
    """Words between commas, or the regular expression; nothing for a refusal."""

    def __post_init__(self) -> None:
        if self.kind is RuleKind.REFUSAL:
            if self.text:
                raise BadAsk("The rule for refusals has its own list of phrases; it takes no text.")
            return
        if len(self.text) > MAX_RULE:
            raise BadAsk(
                f"The rule has {len(self.text):,} characters; {MAX_RULE} are possible. Shorten it by {len(self.text) - MAX_RULE:,}."
            )
        if self.kind is RuleKind.WORDS and not self._words:
            raise BadAsk("The rule has 0 words. Give at least one, separated by commas.")
        if self.kind is RuleKind.REGEX and not self.text:
            raise BadAsk("The regular expression is empty and would match every text.")
        try:
            regex.compile(self._pattern)
        except regex.error as error:
            raise BadAsk(f"The regular expression {self.text!r} cannot be read: {error} (the first character is 0).") from error

    def matches(self, text: str) -> bool:
        """True if the text does what the rule says.

        Raises:
            BadAsk: if a regular expression takes too long.
        """
        if self.kind is RuleKind.REFUSAL:
            return is_refusal(text)
        # A short pattern can search a short text for years, and `re` would stop every thread meanwhile.
        try:
            return regex.search(self._pattern, text[:_MAX_SEARCHED], timeout=_SEARCH_S, concurrent=True) is not None
        except TimeoutError as error:
            raise BadAsk(
                f"The regular expression {self.text!r} searched a text of {len(text):,} characters for more than {_SEARCH_S:g} s. "
                "Remove nested repeats, such as (a+)+."
            ) from error

    @property
    def _words(self) -> list[str]:
        return [word.strip() for word in self.text.split(",") if word.strip()]

    @property
    def _pattern(self) -> str:
        if self.kind is RuleKind.REGEX:
            return self.text
        words = (r"\s+".join(regex.escape(part, special_only=True) for part in word.split()) for word in self._words)
        return rf"(?i)(?<!\w)(?:{'|'.join(words)})(?!\w)"


@dataclass(frozen=True)
class Curve:
    """Edits that are made stronger together."""

    label: str
    interventions: tuple[Intervention, ...]

    def __post_init__(self) -> None:
        if not self.interventions:
            raise BadAsk(f"The curve {self.label} has 0 edits; it needs at least 1.")
        for edit in self.interventions:
            if edit.op in (Op.ABLATE, Op.PROJECT_OUT):
                raise BadAsk(f"{edit.direction} cannot be swept with {edit.op.value}, which takes no amount. Use another operation.")
        if not any(edit.amount for edit in self.interventions):
            raise BadAsk(f"Every amount of the curve {self.label} is 0, so every multiple is 0 too. Give at least one edit an amount.")

    def at(self, factor: float) -> tuple[Intervention, ...]:
        """The edits with their amounts multiplied; none for 0, which is the plain model whatever the operation."""
        return tuple(replace(edit, amount=edit.amount * factor) for edit in self.interventions) if factor else ()


@dataclass(frozen=True)
class SweepAsk:
    """Curves over a grid of factors, with some texts at each point."""

    prompt: Prompt
    curves: tuple[Curve, ...]
    factors: tuple[float, ...]
    """Rising. Every amount is multiplied by it."""
    n_seeds: int
    """Texts at each point, from the sampling's seed and those after it."""
    sampling: Sampling
    word: str | None = None
    """Its probability as the first new token is wanted."""
    rule: Rule | None = None

    def __post_init__(self) -> None:
        _within("curves", len(self.curves), MAX_CURVES)
        _within("factors", len(self.factors), MAX_FACTORS)
        _within("seeds", self.n_seeds, MAX_SEEDS)
        labels = [curve.label for curve in self.curves]
        if len({*labels}) != len(labels):
            raise BadAsk(f"The curves need different labels; they are {', '.join(labels)}.")
        if not all(map(math.isfinite, self.factors)) or any(b <= a for a, b in itertools.pairwise(self.factors)):
            shown = ", ".join(f"{factor:g}" for factor in self.factors)
            raise BadAsk(f"The factors are {shown}; they must be finite, all different and ascending.")
        if self.sampling.temperature == 0 and self.n_seeds > 1:
            raise BadAsk(f"At temperature 0 all {self.n_seeds} seeds write the same text. Ask for 1 seed, or raise the temperature.")
        if self.word is not None and not self.word.strip():
            raise BadAsk("The word whose probability is wanted is empty: it has 0 letters.")
        if self.prompt.continuation:
            raise BadAsk(f"The prompt already has {len(self.prompt.continuation)} written tokens. Put them into its text.")
        for curve, factor in itertools.product(self.curves, self.factors):
            curve.at(factor)  # an amount that overflows is refused now

    @property
    def seeds(self) -> range:
        """Of the texts at each point."""
        return range(self.sampling.seed, self.sampling.seed + self.n_seeds)

    @property
    def n_texts(self) -> int:
        """How many texts will be written."""
        return len(_settings(self)) * self.n_seeds

    @property
    def saes(self) -> tuple[SaeId, ...]:
        """Whose latents are used."""
        return tuple(dict.fromkeys(edit.direction.sae for edit in self._edits if not isinstance(edit.direction, NamedVector)))

    def plain_data(self) -> dict[str, Any]:
        """The ask as JSON holds it."""
        vectors = [edit.direction for edit in self._edits if isinstance(edit.direction, NamedVector)]
        return {
            "prompt": self.prompt.text,
            "chat": self.prompt.chat,
            "curves": [
                {"label": curve.label, "edits": [{"edit": str(edit), "where": print_where(edit.where)} for edit in curve.interventions]}
                for curve in self.curves
            ],
            "vectors": {vector.name: {"site": str(vector.site), "values": list(vector.values)} for vector in vectors},
            "factors": list(self.factors),
            "n_seeds": self.n_seeds,
            "max_new_tokens": self.sampling.max_new_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "seed": self.sampling.seed,
            "word": self.word,
            "rule": None if self.rule is None else {"kind": self.rule.kind.value, "text": self.rule.text},
        }

    @property
    def _edits(self) -> list[Intervention]:
        return [edit for curve in self.curves for edit in curve.interventions]


def _within(what: str, n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise BadAsk(f"{n} {what} were asked for; 1 to {most} are possible.")


@dataclass(frozen=True)
class SeedText:
    """One text and its figures."""

    seed: int
    text: str
    kl: float
    """Mean over its tokens of KL(edited || plain), nats."""
    perplexity: float | None
    """Under the plain model."""
    repeated: float | None
    """Share of repeated 4-grams; None below 4 tokens."""
    matched: bool | None
    """What the rule says; None without a rule."""


@dataclass(frozen=True)
class Point:
    """One curve at one factor."""

    curve: str
    factor: float
    texts: tuple[SeedText, ...]
    """In the order of their seeds."""
    doses: tuple[Dose, ...]
    """One an intervention; none for factor 0."""
    word_logprob: float | None
    """Log-probability of the word as the first new token under the edited model, nats. No seed changes it."""
    kl: Estimate
    perplexity: Estimate | None
    repeated: Estimate | None
    """Over the texts of 4 tokens or more."""
    matched: Estimate | None
    """Share of texts that match."""


@dataclass(frozen=True)
class SweepProgress:
    """Results of a sweep so far."""

    done: int
    """Texts written and read."""
    total: int
    points: tuple[Point, ...]
    """Those whose texts are all there, by curve as asked, then factor. A point does not change once it is here."""


@dataclass(frozen=True)
class _Setting:
    """One model that writes: `curve` is its place in the ask, None for the plain one."""

    curve: int | None
    factor: float
    interventions: tuple[Intervention, ...]


@dataclass(frozen=True)
class _Measured:
    """One text with what belongs to its point."""

    text: SeedText
    doses: tuple[Dose, ...]
    word_logprob: float | None
    """With the last text of a point; None with the others."""


def sweep(runner: Runner, ask: SweepAsk, n_rows_at_once: int = 16, keep: Blocks = UNKEPT) -> Iterator[SweepProgress]:
    """Write and measure every text, `n_rows_at_once` together; partial results come after each such chunk, which is a block.

    Raises:
        BadAsk: if the rule cannot be applied to a text.
    """
    if n_rows_at_once < 1:
        raise BadAsk(f"{n_rows_at_once} texts at once were asked for; at least 1 is needed.")
    rows = [(setting, seed) for setting in _settings(ask) for seed in ask.seeds]
    found: dict[_Setting, list[SeedText]] = {}
    points: dict[tuple[int, float], Point] = {}
    chunks = in_blocks(rows, n_rows_at_once)
    done = 0
    for chunk, measured in zip(chunks, keep.each("texts", tuple[_Measured, ...], chunks, partial(_measured, runner, ask)), strict=True):
        for (setting, _), one in zip(chunk, measured, strict=True):
            texts = found.setdefault(setting, [])
            texts.append(one.text)
            if len(texts) == ask.n_seeds:
                for curve in range(len(ask.curves)) if setting.curve is None else (setting.curve,):
                    label = ask.curves[curve].label
                    points[curve, setting.factor] = _point(label, setting.factor, texts, one.doses, one.word_logprob)
        done += len(chunk)
        yield SweepProgress(done, len(rows), tuple(points[place] for place in sorted(points)))


def table(points: Iterable[Point]) -> list[dict[str, Any]]:
    """One row of plain data a point. All rows have the same columns; what is not known is None."""
    points = tuple(points)
    n_edits = max((len(point.doses) for point in points), default=0)
    rows: list[dict[str, Any]] = []
    for point in points:
        row: dict[str, Any] = {"curve": point.curve, "factor": point.factor, "n_seeds": len(point.texts)}
        for i in range(n_edits):
            row[f"share_of_norm_{i + 1}"] = point.doses[i].share_of_norm if i < len(point.doses) else None
        row |= _columns("kl", point.kl) | {"word_logprob": point.word_logprob} | _columns("matched", point.matched)
        rows.append(row | _columns("perplexity", point.perplexity) | _columns("repeated_4grams", point.repeated))
    return rows


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    low, high = (None, None) if estimate is None or estimate.interval is None else estimate.interval
    return {name: None if estimate is None else estimate.mean, f"{name}_low": low, f"{name}_high": high}


def _settings(ask: SweepAsk) -> list[_Setting]:
    """Every model that writes, the factors in turn: all curves grow together."""
    settings: list[_Setting] = []
    for factor in ask.factors:
        if factor == 0:
            settings.append(_Setting(None, 0.0, ()))
        else:
            settings += [_Setting(place, factor, curve.at(factor)) for place, curve in enumerate(ask.curves)]
    return settings


def _measured(runner: Runner, ask: SweepAsk, rows: Sequence[tuple[_Setting, int]]) -> tuple[_Measured, ...]:
    variants = tuple(Variant(str(place), setting.interventions, seed) for place, (setting, seed) in enumerate(rows))
    ids: dict[str, list[int]] = {variant.label: [] for variant in variants}
    parts: dict[str, list[str]] = {variant.label: [] for variant in variants}
    for delta in runner.stream(GenerationAsk(ask.prompt, variants, ask.sampling)):
        ids[delta.variant].append(delta.token_id)
        parts[delta.variant].append(delta.text)
    found: list[_Measured] = []
    for variant, (setting, seed) in zip(variants, rows, strict=True):
        new, text = tuple(ids[variant.label]), "".join(parts[variant.label])
        score = runner.ask(ScoreAsk(replace(ask.prompt, continuation=new), variant.interventions, top=0))
        kl = sum(token.kl for token in score.tokens) / len(score.tokens)
        matched = None if ask.rule is None else ask.rule.matches(text)
        word = _word_logprob(runner, ask, setting) if seed == ask.seeds[-1] else None
        found.append(_Measured(SeedText(seed, text, kl, score.perplexity, repeated_ngrams(new), matched), score.doses, word))
    return tuple(found)


def _word_logprob(runner: Runner, ask: SweepAsk, setting: _Setting) -> float | None:
    if ask.word is None:
        return None
    return runner.ask(ScoreAsk(ask.prompt, setting.interventions, top=0, words=(ask.word,))).words[0][0]


def _point(curve: str, factor: float, texts: Sequence[SeedText], doses: tuple[Dose, ...], word: float | None) -> Point:
    perplexities = [text.perplexity for text in texts if text.perplexity is not None]
    repeated = [text.repeated for text in texts if text.repeated is not None]
    matched = [text.matched for text in texts if text.matched is not None]
    return Point(
        curve,
        factor,
        tuple(texts),
        doses,
        word,
        kl=mean_estimate([text.kl for text in texts]),
        perplexity=mean_estimate(perplexities) if perplexities else None,
        repeated=mean_estimate(repeated) if repeated else None,
        matched=share_estimate(matched) if matched else None,
    )
