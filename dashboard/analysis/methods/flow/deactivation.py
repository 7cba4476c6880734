"""Does a latent need its predecessors? Rescale them at one token, run the rest of the layer, and read the latent again.

Steps: (1) draw tokens; at each, up to some targets: active residual latents with an active predecessor; (2) for each target
and each subset of its active sources (RES, MLP, ATT and their combinations) rescale all predecessors there by r, each at its
own site, at that token only, and read the target; (3) success: the target no longer fires; activation change
AC = 1 - z_new / z_old; relative loss change (L_new - L_old) / L_old. Baselines: other matchings (several matches a source,
random, by correlation), one active latent drawn at random from each source, and the exhaustive search, which removes every
active latent before the target one at a time and keeps the best.

Source: Laptev et al. 2025, arXiv:2502.03032, section 5 and appendix (35 texts, 5 tokens, 25 targets; r = 0, swept -2 to 3).
Differs from it: L is the mean loss of the tokens right after the edited one. Targets without an active predecessor count in
no share and no mean; those that the second reading no longer finds active (bfloat16, near a threshold) are counted apart.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dashboard.analysis.asks.chosen_tokens import MAX_VARIANTS, Rescale, RescaleAsk, Rescaled
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.samples import SOURCES, Predecessors, SampleAsk, Sampled, SampledRow, draw, read_rows
from dashboard.analysis.names import LatentId, Point
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.text.corpus import Corpus

RANDOM_ACTIVE, EXHAUSTIVE = "random active latent", "exhaustive search"
"""Baselines that need no matches."""
MAX_TARGETS = 100


@dataclass(frozen=True)
class DeactivationAsk:
    """What is to be rescaled, and how."""

    sample: SampleAsk = field(default_factory=lambda: SampleAsk(35, 5))
    max_targets: int = 25
    """Of each token and layer, drawn at random."""
    factors: tuple[float, ...] = (0.0,)
    """r: 0 removes, 1 changes nothing."""
    subsets: bool = True
    """True: every subset of the active sources; False: all of them together only."""
    random_active: bool = True
    """Also one active latent drawn from each source, as a baseline."""
    exhaustive: bool = False
    """Also every active latent before the target, one at a time; at the first factor."""
    n_after: int = 1
    """Tokens whose loss is measured."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_targets <= MAX_TARGETS:
            raise BadAsk(f"{self.max_targets} targets a token were asked for; 1 to {MAX_TARGETS} are possible.")
        if not self.factors or len({*self.factors}) != len(self.factors) or not all(map(math.isfinite, self.factors)):
            raise BadAsk(f"The factors are {', '.join(map(str, self.factors)) or 'none'}; give finite numbers, all different.")
        if self.sample.n_tokens is None:
            raise BadAsk("Deactivation needs a number of tokens per text; all of them would take hours.")

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**self.__dict__, "sample": self.sample.plain_data(), "factors": list(self.factors)}


@dataclass(frozen=True, slots=True)
class Trial:
    """One target, some predecessors rescaled."""

    method: str
    """Whose matches were used."""
    layer: int
    document: int
    position: int
    """Of the token in the document."""
    target: LatentId
    active: tuple[Point, ...]
    """Sources with an active predecessor."""
    changed: tuple[Point, ...]
    """Those that were rescaled."""
    latents: tuple[LatentId, ...]
    """What was rescaled."""
    factor: float
    z_old: float
    """Above 0."""
    z_new: float
    loss_old: float | None
    loss_new: float | None

    @property
    def is_success(self) -> bool:
        """The target no longer fires."""
        return self.z_new == 0

    @property
    def activation_change(self) -> float:
        """1 - z_new / z_old: 1 is gone, 0 unchanged, below 0 stronger."""
        return 1 - self.z_new / self.z_old

    @property
    def loss_change(self) -> float | None:
        """(L_new - L_old) / L_old; None without a loss."""
        if self.loss_old is None or self.loss_new is None or self.loss_old <= 0:
            return None
        return (self.loss_new - self.loss_old) / self.loss_old


@dataclass(frozen=True)
class Deactivation:
    """Results of a deactivation study so far."""

    done: int
    """Tokens, counted once a layer."""
    total: int
    trials: tuple[Trial, ...]
    n_without: Mapping[str, int]
    """By method, targets without an active predecessor: in no share and no mean."""
    n_lost: int
    """Targets that were not active any more when read again without any edit."""


@dataclass(frozen=True)
class _Planned:
    """A variant of one token, and the trial that it will be."""

    method: str
    target: LatentId
    active: tuple[Point, ...]
    changed: tuple[Point, ...]
    latents: tuple[LatentId, ...]
    factor: float


def deactivate(
    runner: Runner, corpus: Corpus, layers: Sequence[Mapping[str, Predecessors]], ask: DeactivationAsk, keep: Blocks = UNKEPT
) -> Iterator[Deactivation]:
    """Trials of each layer; `layers` holds for each the predecessors by name of the matching, the one that counts first.

    Targets are drawn among latents with an active predecessor of that first one; other matchings are tried on the same.

    Raises:
        BadAsk: if there is no layer, or a layer's matchings are of several dictionaries.
    """
    for matchings in layers:
        if len({one.target for one in matchings.values()}) != 1:
            raise BadAsk(f"A layer has matches of {len({one.target for one in matchings.values()})} dictionaries; it needs one.")
    if not layers:
        raise BadAsk("0 layers were chosen. Choose at least one residual dictionary that has another before it.")
    work = _Work(runner, layers, ask, np.random.default_rng(ask.sample.seed))
    parts = [(row, position, place) for row in draw(corpus, ask.sample) for position in row.positions for place in range(len(layers))]
    trials: list[Trial] = []
    without: dict[str, int] = {}
    n_lost = 0
    for done, found in enumerate(keep.each("tokens", _TriedToken, parts, work.tried), 1):
        work.go_on_from(found)
        if not found.is_special:
            trials += found.trials
            n_lost += found.n_lost
            for method, n in found.n_without.items():
                without[method] = without.get(method, 0) + n
            yield Deactivation(done, len(parts), tuple(trials), dict(without), n_lost)
    yield Deactivation(len(parts), len(parts), tuple(trials), dict(without), n_lost)


@dataclass(frozen=True)
class _TriedToken:
    """One sampled token in one layer: a block."""

    is_special: bool
    """True for a token that has no turn."""
    trials: tuple[Trial, ...]
    n_without: dict[str, int]
    n_lost: int
    drawn: dict[str, Any]
    """State of the random generator behind it: what is drawn next follows from what was drawn before."""


class _Work:
    """Tries one token in one layer after another."""

    def __init__(
        self, runner: Runner, layers: Sequence[Mapping[str, Predecessors]], ask: DeactivationAsk, rng: np.random.Generator
    ) -> None:
        self._runner, self._layers, self._ask, self._rng = runner, layers, ask, rng
        self._saes = tuple(dict.fromkeys(sae for matchings in layers for one in matchings.values() for sae in one.saes))
        self._read: Sampled | None = None

    def tried(self, part: tuple[SampledRow, int, int]) -> _TriedToken:
        row, position, layer = part
        if self._read is None or self._read.rows != (row,):
            self._read = read_rows(self._runner, (row,), self._saes)
        matchings, without = self._layers[layer], dict[str, int]()
        (samples,) = np.nonzero(self._read.position == position)
        trials, n_lost = list[Trial](), 0
        if len(samples):
            active = _active(self._read, int(samples[0]), matchings)
            token = _Token(row, position, active, matchings, self._rng)
            trials, n_lost = _tried(self._runner, self._ask, token, token.plan(self._ask, without))
        return _TriedToken(not len(samples), tuple(trials), without, n_lost, dict(self._rng.bit_generator.state))

    def go_on_from(self, found: _TriedToken) -> None:
        """Draw as behind a token that was tried, now or before."""
        self._rng.bit_generator.state = found.drawn


def _active(part: Sampled, sample: int, matchings: Mapping[str, Predecessors]) -> dict[object, tuple[int, ...]]:
    """What fires at one token, by dictionary."""
    names = dict.fromkeys(sae for one in matchings.values() for sae in one.saes)
    return {sae: tuple(int(i) for i in part.of_sae[sae].latent[part.of_sae[sae].sample == sample]) for sae in names}


@dataclass(frozen=True, eq=False)
class _Token:
    """One sampled token in one layer."""

    row: SampledRow
    position: int
    active: Mapping[Any, tuple[int, ...]]
    matchings: Mapping[str, Predecessors]
    rng: np.random.Generator

    def plan(self, ask: DeactivationAsk, without: dict[str, int]) -> list[_Planned]:
        """Every variant of every target that is drawn."""
        first = next(iter(self.matchings.values()))
        targets = [LatentId(first.target, i) for i in self.active[first.target]]
        by_target = {target: self.predecessors(first, target) for target in targets}
        able = [target for target in targets if by_target[target]]
        name = next(iter(self.matchings))
        without[name] = without.get(name, 0) + len(targets) - len(able)
        chosen = [able[i] for i in sorted(self.rng.permutation(len(able))[: ask.max_targets])]
        planned: list[_Planned] = []
        for target in chosen:
            for method, matching in self.matchings.items():
                found = self.predecessors(matching, target)
                if not found:
                    without[method] = without.get(method, 0) + 1
                planned += self._variants(method, target, found, ask)
            if ask.random_active:
                planned += self._variants(RANDOM_ACTIVE, target, self._drawn(first, by_target[target]), ask)
        return planned

    def predecessors(self, matching: Predecessors, target: LatentId) -> dict[Point, tuple[LatentId, ...]]:
        """The active predecessors of a target, by source; sources without one are left out."""
        found: dict[Point, tuple[LatentId, ...]] = {}
        for point in SOURCES:
            active = tuple(one for one in matching.of(point, target.index) if one.index in self.active[one.sae])
            if active:
                found[point] = active
        return found

    def candidates(self) -> tuple[LatentId, ...]:
        """Every active latent of the sources."""
        first = next(iter(self.matchings.values()))
        return tuple(LatentId(table.among, i) for table in first.tables.values() for i in self.active[table.among])

    def _drawn(self, matching: Predecessors, found: Mapping[Point, Sequence[LatentId]]) -> dict[Point, tuple[LatentId, ...]]:
        """As many active latents of the same sources, drawn among those that are not predecessors."""
        drawn: dict[Point, tuple[LatentId, ...]] = {}
        for point, own in found.items():
            among = matching.tables[point].among
            others = [i for i in self.active[among] if LatentId(among, i) not in own]
            if others:
                drawn[point] = tuple(LatentId(among, others[i]) for i in self.rng.permutation(len(others))[: len(own)])
        return drawn

    @staticmethod
    def _variants(method: str, target: LatentId, found: Mapping[Point, tuple[LatentId, ...]], ask: DeactivationAsk) -> list[_Planned]:
        active = tuple(found)
        sizes = range(1, len(active) + 1) if ask.subsets else range(len(active), len(active) + 1)
        chosen = [subset for size in sizes if size for subset in itertools.combinations(active, size)]
        return [
            _Planned(method, target, active, subset, tuple(latent for point in subset for latent in found[point]), factor)
            for subset in chosen
            for factor in ask.factors
        ]


def _tried(runner: Runner, ask: DeactivationAsk, token: _Token, planned: Sequence[_Planned]) -> tuple[list[Trial], int]:
    """The trials of one token, and how many targets were not active when read again."""
    if not planned:
        return [], 0
    targets = tuple(dict.fromkeys(plan.target for plan in planned))
    if ask.exhaustive:
        planned = [*planned, *_best_of_all(runner, ask, token, planned, targets)]
    # Variants that several targets share are run once.
    read = _read(runner, token, dict.fromkeys(Rescale(plan.latents, plan.factor) for plan in planned), targets, ask.n_after)
    trials = [_trial(token, plan, read) for plan in planned if read.old(plan.target) > 0]
    return trials, sum(read.old(target) == 0 for target in targets)


def _best_of_all(
    runner: Runner, ask: DeactivationAsk, token: _Token, planned: Sequence[_Planned], targets: tuple[LatentId, ...]
) -> list[_Planned]:
    """For each target of the matching that counts, the one active latent whose rescaling takes most of it away; ties go to the first."""
    name, first = next(iter(token.matchings.items()))
    factor, candidates = ask.factors[0], token.candidates()
    read = _read(runner, token, dict.fromkeys(Rescale((latent,), factor) for latent in candidates), targets, 0)
    found: list[_Planned] = []
    for plan in {plan.target: plan for plan in planned if plan.method == name}.values():
        values = {latent: read.new(Rescale((latent,), factor), plan.target)[0] for latent in candidates}
        best = min(candidates, key=values.__getitem__)
        source = next(point for point, table in first.tables.items() if table.among == best.sae)
        found.append(_Planned(EXHAUSTIVE, plan.target, plan.active, (source,), (best,), factor))
    return found


def _read(runner: Runner, token: _Token, variants: Mapping[Rescale, None], targets: tuple[LatentId, ...], n_after: int) -> "_Readings":
    whole = tuple(variants)
    answers = [
        runner.ask(RescaleAsk(token.row.ids, token.position, whole[start : start + MAX_VARIANTS], targets, n_after))
        for start in range(0, len(whole), MAX_VARIANTS)
    ]
    return _Readings(answers, {target: place for place, target in enumerate(targets)}, {one: place for place, one in enumerate(whole)})


@dataclass(frozen=True, eq=False)
class _Readings:
    answers: Sequence[Rescaled]
    target: Mapping[LatentId, int]
    number: Mapping[Rescale, int]

    def old(self, target: LatentId) -> float:
        return float(self.answers[0].plain[self.target[target]])

    def new(self, variant: Rescale, target: LatentId) -> tuple[float, float | None]:
        """Activation of the target, and the loss."""
        chunk, place = divmod(self.number[variant], MAX_VARIANTS)
        answer = self.answers[chunk]
        return float(answer.values[place, self.target[target]]), None if answer.losses is None else float(answer.losses[place])


def _trial(token: _Token, plan: _Planned, read: _Readings) -> Trial:
    layer = next(iter(token.matchings.values())).layer
    z_new, loss = read.new(Rescale(plan.latents, plan.factor), plan.target)
    return Trial(
        plan.method,
        layer,
        token.row.document,
        token.position,
        plan.target,
        plan.active,
        plan.changed,
        plan.latents,
        plan.factor,
        read.old(plan.target),
        z_new,
        read.answers[0].plain_loss,
        loss,
    )
