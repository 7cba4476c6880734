"""Steering along a flow: does editing many layers do more than one, and what does it cost?

Steps: (1) unsteered texts say what text costs at this temperature; (2) for each setting of `schedule.py` and strength
some texts are written; (3) behaviour and coherence of each by `text_proxies.py`, and by a judge if there is one, always kept
apart; (4) total = B C for an activation, (1 - B) C for a deactivation, from the means over texts. A total that is a product
hides which of the two it is that moves: look at both.

Source: Laptev et al. 2025, arXiv:2502.03032, section 6. Differs from it: the judge is a proxy unless one is given, and the
number of texts, which the paper does not give, is the asker's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.schedule import Goal, Setting
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.stats.estimates import Estimate, mean_estimate
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.stats.text_proxies import Classifier, Fluency, Lexicon, read_back
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.tokens import Prompt

MAX_STRENGTHS, MAX_SETTINGS, MAX_TEXTS = 21, 64, 50
_MIN_PLAIN = 8
"""Unsteered texts that coherence is measured against, at least."""
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Behaviour:
    """What behaviour is measured by; at least one."""

    theme: str
    lexicon: Lexicon | None = None
    classifier: Classifier | None = None
    held_out: tuple[LatentId, ...] = ()
    """Latents of the theme that are not steered, at layers that are not steered, for the read-back."""
    reference: tuple[str, ...] = ()
    """Texts on the theme: what scores 1 in the read-back."""

    def __post_init__(self) -> None:
        if not (self.lexicon or self.classifier or self.held_out):
            raise BadAsk("Behaviour is measured by 0 proxies. Give words, texts of the theme and others, or held-out latents.")
        if self.held_out and not self.reference:
            raise BadAsk(f"{len(self.held_out)} held-out latents have 0 reference texts, so the score 1 is not defined. Give some.")


@dataclass(frozen=True)
class FlowSteeringAsk:
    """A study: settings at a grid of strengths."""

    prompt: Prompt
    settings: tuple[Setting, ...]
    strengths: tuple[float, ...]
    """s of an activation, r of a deactivation."""
    n_texts: int
    """At each point, from the sampling's seed and those after it."""
    sampling: Sampling
    behaviour: Behaviour

    def __post_init__(self) -> None:
        _within("settings", len(self.settings), MAX_SETTINGS)
        _within("strengths", len(self.strengths), MAX_STRENGTHS)
        _within("texts a point", self.n_texts, MAX_TEXTS)
        if len({setting.schedule.goal for setting in self.settings}) > 1:
            raise BadAsk("Settings that activate and settings that deactivate are 2 studies: their strengths mean different things.")
        if self.sampling.temperature == 0 and self.n_texts > 1:
            raise BadAsk(f"At temperature 0 all {self.n_texts} texts are the same. Ask for 1, or raise the temperature.")
        steered = {one for setting in self.settings for one in setting.latents}
        names, sites = {one.latent for one in steered}, {one.latent.sae: one.layer for one in steered}
        for latent in self.behaviour.held_out:
            if latent in names or latent.sae in sites:
                raise BadAsk(f"{latent} is to read the text back, but it or its layer is steered. Hold out latents of another layer.")

    @property
    def goal(self) -> Goal:
        """Of all settings."""
        return self.settings[0].schedule.goal

    @property
    def saes(self) -> tuple[SaeId, ...]:
        """Whose latents are used."""
        steered = [one.latent.sae for setting in self.settings for one in setting.latents]
        return tuple(dict.fromkeys([*steered, *(latent.sae for latent in self.behaviour.held_out)]))

    @property
    def n_total(self) -> int:
        """Texts that will be written."""
        points = [setting.edits(strength) for setting in self.settings for strength in self.strengths]
        return len(self.plain_seeds) + sum(bool(edits) for edits in points) * self.n_texts

    @property
    def seeds(self) -> range:
        """Of the texts at each point."""
        return range(self.sampling.seed, self.sampling.seed + self.n_texts)

    @property
    def plain_seeds(self) -> range:
        """Of the unsteered texts: those of a point, and more if these are few."""
        n = 1 if self.sampling.temperature == 0 else max(_MIN_PLAIN, self.n_texts)
        return range(self.sampling.seed, self.sampling.seed + n)

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        behaviour = self.behaviour
        return {
            "prompt": self.prompt.text,
            "chat": self.prompt.chat,
            "goal": self.goal.value,
            "settings": [
                {
                    "label": setting.label,
                    "latents": [[str(one.latent), one.layer] for one in setting.latents],
                    "layer": setting.layer,
                    "recipe": {**setting.schedule.__dict__},
                }
                for setting in self.settings
            ],
            "strengths": list(self.strengths),
            "n_texts": self.n_texts,
            "sampling": {**self.sampling.__dict__},
            "theme": behaviour.theme,
            "words": list(behaviour.lexicon.words) if behaviour.lexicon else [],
            "theme_texts": list(behaviour.classifier.theme) if behaviour.classifier else [],
            "other_texts": list(behaviour.classifier.other) if behaviour.classifier else [],
            "held_out": [str(latent) for latent in behaviour.held_out],
            "reference": list(behaviour.reference),
        }


def _within(what: str, n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise BadAsk(f"{n} {what} were asked for; 1 to {most} are possible.")


BEHAVIOURS = ("lexicon", "classifier", "read-back", "judge")
"""What behaviour may be measured by."""


@dataclass(frozen=True)
class ScoredText:
    """A written text and its scores, each 0 to 1."""

    seed: int
    text: str
    behaviour: Mapping[str, float]
    """By BEHAVIOURS; only those that were asked for."""
    coherence: float
    """The proxy."""
    judged_coherence: float | None
    nll: float
    """Loss per token under the unsteered model, nats."""
    repeated: float | None


@dataclass(frozen=True)
class SteeredPoint:
    """One setting at one strength."""

    setting: Setting
    strength: float
    texts: tuple[ScoredText, ...]
    behaviour: Mapping[str, Estimate]
    coherence: Estimate
    judged_coherence: Estimate | None

    def total(self, by: str) -> float:
        """B C, for a deactivation (1 - B) C, from the means over texts; a judge's behaviour goes with its own coherence."""
        mean = self.behaviour[by].mean
        coherence = self.judged_coherence if by == "judge" and self.judged_coherence is not None else self.coherence
        return (1 - mean if self.setting.schedule.goal is Goal.DEACTIVATE else mean) * coherence.mean


@dataclass(frozen=True)
class FlowSteering:
    """Results of a study so far."""

    done: int
    """Texts written and scored."""
    total: int
    fluency: Fluency
    plain: tuple[ScoredText, ...]
    points: tuple[SteeredPoint, ...]


JudgeOf = Callable[[str, str, str], tuple[float, float]]
"""(theme, prompt, text) -> behaviour and coherence, each 0 to 1."""


def flow_steering(runner: Runner, ask: FlowSteeringAsk, judge: JudgeOf | None = None, keep: Blocks = UNKEPT) -> Iterator[FlowSteering]:
    """Write and score every text; partial results come after each point. The unsteered texts come first."""
    study = _Study(runner, ask, judge)
    (written,) = keep.each("unsteered", _Drafts, [ask.plain_seeds], lambda seeds: study.drafts((), seeds))
    study.fluency = Fluency.of([draft.nll for draft in written])
    (plain,) = keep.each("unsteered-scores", tuple[ScoredText, ...], [written], study.scored)
    done, total = len(plain), ask.n_total
    points: list[SteeredPoint] = []
    yield FlowSteering(done, total, study.fluency, plain, ())
    places = [(setting, strength) for setting in ask.settings for strength in ask.strengths]
    steered = [place for place in places if place[0].edits(place[1])]
    scored = keep.each("points", tuple[ScoredText, ...], steered, study.at)
    for setting, strength in places:
        texts = plain[: ask.n_texts]
        if setting.edits(strength):
            texts = next(scored)
            done += len(texts)
        points.append(_point(setting, strength, texts))
        yield FlowSteering(done, total, study.fluency, plain, tuple(points))
    for _ in scored:
        raise AssertionError("a point was steered that was not asked for")


@dataclass(frozen=True)
class _Draft:
    """A text that is written and not yet scored."""

    seed: int
    text: str
    ids: tuple[int, ...]
    nll: float


_Drafts = tuple[_Draft, ...]


@dataclass
class _Study:
    runner: Runner
    ask: FlowSteeringAsk
    judge: JudgeOf | None
    fluency: Fluency | None = None
    """Known once the unsteered texts are written."""
    _full: float | None = None

    def at(self, place: tuple[Setting, float]) -> tuple[ScoredText, ...]:
        """The texts of a setting at a strength."""
        setting, strength = place
        return self.scored(self.drafts(setting.edits(strength), self.ask.seeds))

    def drafts(self, edits: tuple[Intervention, ...], seeds: Sequence[int]) -> _Drafts:
        """Texts that are written with some edits."""
        answer: list[tuple[int, str, tuple[int, ...]]] = []
        for start in range(0, len(seeds), _ROWS_AT_ONCE):
            variants = tuple(Variant(str(seed), edits, seed) for seed in seeds[start : start + _ROWS_AT_ONCE])
            ids: dict[str, list[int]] = {variant.label: [] for variant in variants}
            parts: dict[str, list[str]] = {variant.label: [] for variant in variants}
            for delta in self.runner.stream(GenerationAsk(self.ask.prompt, variants, self.ask.sampling)):
                ids[delta.variant].append(delta.token_id)
                parts[delta.variant].append(delta.text)
            answer += [(int(label), "".join(parts[label]), tuple(ids[label])) for label in ids]
        return tuple(_Draft(seed, text, ids_, self.loss(ids_)) for seed, text, ids_ in answer)

    def loss(self, ids: tuple[int, ...]) -> float:
        """Per token under the unsteered model."""
        score = self.runner.ask(ScoreAsk(replace(self.ask.prompt, continuation=ids), top=0))
        return -sum(token.plain_logprob for token in score.tokens) / len(score.tokens)

    def scored(self, drafts: _Drafts) -> tuple[ScoredText, ...]:
        """How much of the theme they have, and how coherent they are."""
        return tuple(map(self._scored, drafts))

    def _scored(self, draft: _Draft) -> ScoredText:
        wanted, text, found = self.ask.behaviour, draft.text, dict[str, float]()
        if wanted.lexicon:
            found["lexicon"] = wanted.lexicon.score(text)
        if wanted.classifier:
            found["classifier"] = wanted.classifier.score(text)
        if wanted.held_out:
            found["read-back"] = read_back(self._activity(text), self._full_activity())
        judged = None
        if self.judge:
            found["judge"], judged = self.judge(wanted.theme, self.ask.prompt.text, text)
        assert self.fluency is not None
        repeated = repeated_ngrams(draft.ids)
        return ScoredText(draft.seed, text, found, self.fluency.coherence(draft.nll, repeated), judged, draft.nll, repeated)

    def _activity(self, text: str) -> float:
        """Mean activation of the held-out latents over the ordinary tokens of a text that is read by itself, unsteered."""
        if not text.strip():
            return 0.0
        held_out = self.ask.behaviour.held_out
        capture = self.runner.ask(CaptureAsk(Prompt(text), tuple(dict.fromkeys(latent.sae for latent in held_out))))
        ordinary = list(capture.tokens.ordinary)
        return float(np.mean([capture.activations[latent.sae].of_latent(latent.index)[ordinary].mean() for latent in held_out]))

    def _full_activity(self) -> float:
        if self._full is None:
            reference = self.ask.behaviour.reference
            self._full = float(np.percentile([self._activity(text) for text in reference], 95))
            if self._full <= 0:
                raise BadAsk(f"The held-out latents fire on 0 of the {len(reference)} reference texts. Choose latents that do.")
        return self._full


def _point(setting: Setting, strength: float, texts: tuple[ScoredText, ...]) -> SteeredPoint:
    behaviour = {name: mean_estimate([text.behaviour[name] for text in texts]) for name in texts[0].behaviour}
    judged = [text.judged_coherence for text in texts if text.judged_coherence is not None]
    coherence = mean_estimate([text.coherence for text in texts])
    return SteeredPoint(setting, strength, texts, behaviour, coherence, mean_estimate(judged) if judged else None)


def best_layers(points: Sequence[SteeredPoint], by: str) -> dict[tuple[str, float], SteeredPoint]:
    """By label and strength the point with the largest total: of single layers the best one. It is chosen on the texts that it is
    drawn from, so it flatters single layers."""
    best: dict[tuple[str, float], SteeredPoint] = {}
    for point in points:
        key = point.setting.label, point.strength
        if key not in best or point.total(by) > best[key].total(by):
            best[key] = point
    return best


def table(points: Sequence[SteeredPoint]) -> list[dict[str, Any]]:
    """One row of plain data a point and measure of behaviour."""

    def ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
        low, high = (None, None) if estimate is None or estimate.interval is None else estimate.interval
        return {name: None if estimate is None else estimate.mean, f"{name}_low": low, f"{name}_high": high}

    return [
        {
            "setting": point.setting.label,
            "layer": point.setting.layer,
            "strength": point.strength,
            "measured_by": by,
            "n": len(point.texts),
            **ends("behaviour", estimate),
            **ends("coherence", point.judged_coherence if by == "judge" else point.coherence),
            "total": point.total(by),
        }
        for point in points
        for by, estimate in point.behaviour.items()
    ]
