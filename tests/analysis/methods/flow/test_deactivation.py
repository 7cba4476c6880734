"""Laws of deactivation: the card's numbers by hand-made answers, and by the tiny model that each trial is what it says."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from dashboard.analysis.asks.chosen_tokens import Activity, ActivityAsk, Rescale, RescaleAsk, Rescaled, SampledActivity
from dashboard.analysis.asks.matching import MatchTable
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.deactivation import EXHAUSTIVE, RANDOM_ACTIVE, Deactivation, DeactivationAsk, deactivate
from dashboard.analysis.methods.flow.deactivation_effects import ALL_ACTIVE, changed_name, effect_key, effects, table, trials_of
from dashboard.analysis.methods.flow.samples import SOURCES, Predecessors, SampleAsk
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.text.corpus import Corpus, join
from dashboard.analysis.tokens import Prompt
from tests.only_asked import OnlyAsked

RES, MLP, TARGET = SaeId("hand", "res"), SaeId("hand", "mlp"), SaeId("hand", "target")
TINY_TARGET, TINY_RES = SaeId("tiny", "2.resid_post"), SaeId("tiny", "1.resid_post")


def matches(target: SaeId, among: SaeId, index: np.ndarray) -> MatchTable:
    return MatchTable(target, among, np.arange(len(index), dtype=np.int32), index.astype(np.int32), np.ones(index.shape))


class CardRunner(OnlyAsked):
    """One token, three targets: the first two have an active predecessor, the third none. z = 4, 2, 1; without them 0, 1."""

    def ask(self, ask):
        return self._rescaled(ask) if isinstance(ask, RescaleAsk) else self._activity(ask)

    def _activity(self, ask: ActivityAsk) -> SampledActivity:
        fires: Mapping[SaeId, list[int]] = {TARGET: [0, 1, 2], RES: [0, 1]}

        def of(sae: SaeId) -> Activity:
            latents = np.array(fires[sae], dtype=np.int32)
            return Activity(sae, 1, 3, np.zeros(len(latents), dtype=np.int32), latents, np.ones(len(latents), dtype=np.float32))

        return SampledActivity(np.array([False]), {sae: of(sae) for sae in ask.saes})

    def _rescaled(self, ask: RescaleAsk) -> Rescaled:
        old, new = np.array([4.0, 2.0, 1.0]), np.array([0.0, 1.0, 1.0])
        values = [[new[t.index] if t.index in {p.index for p in v.latents} else old[t.index] for t in ask.targets] for v in ask.variants]
        plain = np.array([old[t.index] for t in ask.targets], dtype=np.float32)
        losses = np.array([2.0 + 0.5 * len(variant.latents) for variant in ask.variants], dtype=np.float32)
        return Rescaled(plain, np.array(values, dtype=np.float32), 2.0, losses, 1)


def of_card(**options) -> Deactivation:
    layer = {"cosine": Predecessors(TARGET, 1, {Point.RESID_POST: matches(TARGET, RES, np.arange(3)[:, None])})}
    ask = DeactivationAsk(SampleAsk(1, 1), random_active=False, **options)
    return list(deactivate(CardRunner(), join("c", "m", [("a", [1, 2])]), [layer], ask))[-1]


def test_the_cards_two_targets_give_ac_1_and_a_half_and_success_1_of_2_and_a_third_without_predecessor_changes_neither() -> None:
    found = of_card()
    assert [trial.activation_change for trial in found.trials] == [1.0, 0.5] and found.n_without == {"cosine": 1}
    (effect,) = effects(found.trials)
    assert (effect.success.k, effect.success.n, effect.activation_change.mean) == (1, 2, 0.75)
    assert effect.loss_change is not None and effect.loss_change.mean == pytest.approx(0.25)
    (row,) = table([effect])
    assert row["success"] == 0.5 and row["n"] == 2 and row["changed"] == ALL_ACTIVE and row["success_low"] < 0.5 < row["success_high"]


def test_the_exhaustive_search_keeps_the_removal_that_takes_most_away() -> None:
    best = [trial for trial in of_card(exhaustive=True).trials if trial.method == EXHAUSTIVE]
    assert [trial.latents for trial in best] == [(LatentId(RES, 0),), (LatentId(RES, 1),)]
    assert [trial.activation_change for trial in best] == [1.0, 0.5]


def corpus(runner: LocalRunner) -> Corpus:
    texts = ("The quick brown fox jumps over the lazy dog", "and the dog sleeps. done. The fox jumps.", "lazy quick brown")
    return join("c", "m", [("ab"[i % 2], list(runner.tokens(Prompt(text)).ids[1:])) for i, text in enumerate(texts)])


def tiny_layer(runner: LocalRunner, top: int = 1) -> dict[str, Predecessors]:
    """True matches by cosine, and others by chance."""
    rows, before = (runner.sae(sae).W_dec.detach().numpy() for sae in (TINY_TARGET, TINY_RES))
    cosines = rows @ before.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(before, axis=1)
    nearest = np.argsort(-cosines, axis=1)[:, :top]
    other = np.random.default_rng(0).integers(0, 64, (64, 2))
    mlp = SaeId("tiny", "1.mlp_out")
    by_chance = {Point.RESID_POST: matches(TINY_TARGET, TINY_RES, other), Point.MLP_OUT: matches(TINY_TARGET, mlp, other[:, ::-1])}
    close = {Point.RESID_POST: matches(TINY_TARGET, TINY_RES, nearest), Point.MLP_OUT: matches(TINY_TARGET, mlp, nearest)}
    return {"cosine": Predecessors(TINY_TARGET, 2, close), "chance": Predecessors(TINY_TARGET, 2, by_chance)}


def tried(runner: LocalRunner, **options) -> Deactivation:
    ask = DeactivationAsk(SampleAsk(3, 3), max_targets=6, n_after=2, **options)
    return list(deactivate(runner, corpus(runner), [tiny_layer(runner)], ask))[-1]


def test_every_trial_is_what_the_runner_gives_for_that_rescaling_alone(runner: LocalRunner) -> None:
    documents, found = corpus(runner), tried(runner, factors=(0.0, -1.0), exhaustive=True)
    assert {trial.method for trial in found.trials} == {"cosine", "chance", RANDOM_ACTIVE, EXHAUSTIVE}
    for trial in found.trials[:: max(1, len(found.trials) // 40)]:
        row = tuple(int(i) for i in documents.document(trial.document))
        alone = runner.ask(RescaleAsk(row, trial.position, (Rescale(trial.latents, trial.factor),), (trial.target,), 2))
        assert trial.z_old == pytest.approx(float(alone.plain[0]), abs=1e-5) and trial.z_old > 0
        assert trial.z_new == pytest.approx(float(alone.values[0, 0]), abs=2e-5)
        assert (trial.loss_new is None) == (alone.losses is None)
        if alone.losses is not None:
            assert trial.loss_new == pytest.approx(float(alone.losses[0]), abs=2e-5)


def test_what_is_rescaled_are_the_active_predecessors_of_the_subset_and_every_subset_is_tried(runner: LocalRunner) -> None:
    documents, layer, found = corpus(runner), tiny_layer(runner), tried(runner)
    for key, group in itertools.groupby(found.trials, key=lambda t: (t.document, t.position, t.method, t.target)):
        trials = list(group)
        row = tuple(int(i) for i in documents.document(key[0]))
        saes = (TINY_RES, SaeId("tiny", "1.mlp_out"))
        seen = runner.ask(ActivityAsk((row,), ((key[1],),), saes)).of_sae
        active = {LatentId(sae, int(i)) for sae in saes for i in seen[sae].latent}
        sizes = range(1, len(trials[0].active) + 1)
        assert [t.changed for t in trials] == [c for size in sizes for c in itertools.combinations(trials[0].active, size)]
        for trial in trials:
            if trial.method != RANDOM_ACTIVE:
                expected = {one for point in trial.changed for one in layer[trial.method].of(point, trial.target.index)} & active
                assert {*trial.latents} == expected
            else:
                own = {one for point in SOURCES for one in layer["cosine"].of(point, trial.target.index)}
                assert {*trial.latents} <= active - own and len(trial.latents) == len(trial.changed)


def test_a_factor_of_1_changes_nothing_at_all(runner: LocalRunner) -> None:
    found = tried(runner, factors=(1.0,))
    assert found.trials and all(trial.z_new == trial.z_old and trial.loss_new == trial.loss_old for trial in found.trials)
    for effect in effects(found.trials, by_subset=True):
        assert effect.success.k == 0 and effect.activation_change.mean == 0
        assert effect.loss_change is None or effect.loss_change.mean == 0


def test_no_single_removal_beats_the_exhaustive_search(runner: LocalRunner) -> None:
    found = tried(runner, exhaustive=True)
    best = {(t.document, t.position, t.target): t.z_new for t in found.trials if t.method == EXHAUSTIVE}
    singles = [t for t in found.trials if t.method != EXHAUSTIVE and len(t.latents) == 1]
    assert singles and best
    for trial in singles:
        assert best[trial.document, trial.position, trial.target] <= trial.z_new + 1e-6


def test_effects_count_each_target_once_and_subsets_those_for_which_all_of_it_was_active(runner: LocalRunner) -> None:
    found = tried(runner)
    whole = {effect.method: effect for effect in effects(found.trials)}
    targets = {(t.document, t.position, t.target) for t in found.trials if t.method == "cosine"}
    assert whole["cosine"].success.n == len(targets)
    for name, effect in whole.items():
        behind = trials_of(found.trials, effect_key(name, ALL_ACTIVE, effect.factor))
        assert len(behind) == effect.success.n and all(t.changed == t.active or name == EXHAUSTIVE for t in behind)
    assert trials_of(found.trials, "a key of nothing") == []
    for effect in effects(found.trials, by_subset=True):
        trials = [t for t in found.trials if t.method == effect.method and changed_name(t.changed) == effect.changed]
        assert trials_of(found.trials, effect_key(effect.method, effect.changed, effect.factor)) == trials
        assert effect.success.n == len(trials) and effect.success.k == sum(t.z_new == 0 for t in trials)
        assert effect.activation_change.mean == pytest.approx(np.mean([1 - t.z_new / t.z_old for t in trials]))
    assert {effect.layer for effect in effects(found.trials, by_layer=True)} == {2}


def test_progress_rises_to_the_end_and_keeps_what_there_was(runner: LocalRunner) -> None:
    ask = DeactivationAsk(SampleAsk(2, 2), max_targets=2, n_after=0)
    steps = list(deactivate(runner, corpus(runner), [tiny_layer(runner)], ask))
    assert [step.done for step in steps] == sorted(step.done for step in steps) and steps[-1].done == steps[-1].total == 4
    for one, other in itertools.pairwise(steps):
        assert other.trials[: len(one.trials)] == one.trials
    assert all(trial.loss_change is None for trial in steps[-1].trials)


def test_what_makes_no_sense_is_refused(runner: LocalRunner) -> None:
    with pytest.raises(BadAsk, match="0 targets"):
        DeactivationAsk(max_targets=0)
    with pytest.raises(BadAsk, match="all different"):
        DeactivationAsk(factors=(0.0, 0.0))
    with pytest.raises(BadAsk, match="number of tokens"):
        DeactivationAsk(SampleAsk(1, None))
    with pytest.raises(BadAsk, match="0 layers"):
        list(deactivate(runner, corpus(runner), [], DeactivationAsk()))
