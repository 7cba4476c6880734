"""Trials of deactivation together: success rate, activation change and loss change, with their intervals.

Source: Laptev et al. 2025, arXiv:2502.03032, section 5. Differs from it: intervals are given, and the median beside the mean of
the loss change, which single tokens of a small loss can carry away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.analysis.methods.flow.deactivation import EXHAUSTIVE, Trial
from dashboard.analysis.methods.flow.samples import SHORT, SOURCES
from dashboard.analysis.names import Point
from dashboard.analysis.stats.estimates import Estimate, mean_estimate
from dashboard.analysis.stats.shares import Share

_MANY = 200
"""From here on means are normal enough, and a bootstrap takes long."""


@dataclass(frozen=True)
class Effect:
    """Trials of one kind together."""

    method: str
    layer: int | None
    """None for all."""
    changed: str
    """Sources that were rescaled: RES, RES & MLP ...; `all active` for those of which every active one was."""
    factor: float
    success: Share
    activation_change: Estimate
    loss_change: Estimate | None
    """None where no loss was measured. A small old loss makes single changes huge, and the mean follows them."""
    median_loss_change: float | None


ALL_ACTIVE = "all active"


def changed_name(points: Sequence[Point]) -> str:
    """RES & MLP."""
    return " & ".join(SHORT[point] for point in SOURCES if point in points)


def effect_key(method: str, changed: str, factor: float) -> str:
    """Stands for an effect of all layers; `trials_of` reads it."""
    return f"{method}|{changed}|{factor!r}"


def trials_of(trials: Sequence[Trial], key: str) -> list[Trial]:
    """The trials of an effect of all layers, by its key; none for a key that stands for nothing."""
    return [one for one in trials if key in (_key_of(one, ALL_ACTIVE) if _is_whole(one) else "", _key_of(one, changed_name(one.changed)))]


def _key_of(trial: Trial, changed: str) -> str:
    return effect_key(trial.method, changed, trial.factor)


def _is_whole(trial: Trial) -> bool:
    return trial.changed == trial.active or trial.method == EXHAUSTIVE


def effects(trials: Sequence[Trial], by_layer: bool = False, by_subset: bool = False) -> tuple[Effect, ...]:
    """Success, mean AC and mean relative loss change by method and factor, and by layer and by what was rescaled if wanted.

    Without `by_subset` only trials in which every active source was rescaled count, so that each target counts once; with it
    a subset's trials are those of targets for which all of it was active. The exhaustive search rescales one latent.
    """
    groups: dict[tuple[str, int | None, str, float], list[Trial]] = {}
    for trial in trials:
        if by_subset or _is_whole(trial):
            name = changed_name(trial.changed) if by_subset else ALL_ACTIVE
            groups.setdefault((trial.method, trial.layer if by_layer else None, name, trial.factor), []).append(trial)
    return tuple(_effect(key, group) for key, group in groups.items())


def _effect(key: tuple[str, int | None, str, float], group: Sequence[Trial]) -> Effect:
    losses = [change for trial in group if (change := trial.loss_change) is not None]
    success = Share(sum(trial.is_success for trial in group), len(group))
    change = _mean([trial.activation_change for trial in group])
    return Effect(*key, success, change, _mean(losses) if losses else None, float(np.median(losses)) if losses else None)


def _mean(values: Sequence[float]) -> Estimate:
    """A mean with its 95 % interval: by bootstrap where there are few values, by the normal approximation where there are many."""
    if len(values) <= _MANY:
        return mean_estimate(values)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, (mean - 1.96 * error, mean + 1.96 * error), len(values))


def table(found: Sequence[Effect]) -> list[dict[str, Any]]:
    """One row of plain data an effect."""

    def columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
        low, high = (None, None) if estimate is None or estimate.interval is None else estimate.interval
        return {name: None if estimate is None else estimate.mean, f"{name}_low": low, f"{name}_high": high}

    rows: list[dict[str, Any]] = []
    for effect in found:
        low, high = effect.success.interval or (None, None)
        row = {"method": effect.method, "layer": effect.layer, "changed": effect.changed, "factor": effect.factor, "n": effect.success.n}
        row |= {"success": effect.success.value, "success_low": low, "success_high": high}
        rows.append(row | columns("activation_change", effect.activation_change) | columns("loss_change", effect.loss_change))
        rows[-1]["median_loss_change"] = effect.median_loss_change
    return rows
