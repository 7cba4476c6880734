"""Causality and uncertainty of a study as plain data of figures and tables. Pure functions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.figures.known_data import DetectorScore, OutcomeValues, RateBar, Tone
from dashboard.analysis.asks.many_texts import Part
from dashboard.analysis.methods.known.effects import (
    AttentionTest,
    Causality,
    CausalitySettings,
    Condition,
    Generation,
    RatePoint,
    Uncertainty,
)
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.right_or_wrong import Detector
from dashboard.analysis.plain import from_plain
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.record import RunRecord
from dashboard.ui.parts.figures import moment, share_of_n, tiny

REFUSED, HALLUCINATED = "refused", "neither refused nor right"
WELCH, LINEAR = "Welch t, train", "logistic regression on the residual"
PARTS = {
    Part.MARKED_LAST_ON: "last token of the name to the end",
    Part.MARKED_LAST: "last token of the name",
    Part.MARKED: "the name",
    Part.MARKED_ON: "the name to the end",
    Part.PROMPT: "the whole prompt",
    Part.GENERATED: "the new tokens",
    Part.EVERYWHERE: "all tokens, new ones too",
}
"""Which tokens a latent is added to."""
CONDITIONS = {
    Condition.ORIGINAL: "original",
    Condition.KNOWN: "+ known",
    Condition.UNKNOWN: "+ unknown",
    Condition.RANDOM: "+ random",
    Condition.WITHOUT: "unknown taken out",
}
"""Names in figures and tables."""
_FEW = 5
"""Right or wrong answers below which an AUROC says nothing: of 4 against 4 one order in 70 is perfect by chance."""
_TONES = {
    Condition.ORIGINAL: Tone.PLAIN,
    Condition.KNOWN: Tone.KNOWN,
    Condition.UNKNOWN: Tone.UNKNOWN,
    Condition.RANDOM: Tone.RANDOM,
    Condition.WITHOUT: Tone.WITHOUT,
}


def asked(record: RunRecord) -> CausalitySettings:
    """What was asked for; `Causality.settings` has the amount that was tuned in the place of none."""
    return from_plain(CausalitySettings, {name: value for name, value in record.ask.items() if name != "study"})


def causality_name(record: RunRecord) -> str:
    """One of several causalities of a study, in a line."""
    own = asked(record)
    added = "+ a tuned amount" if own.amount is None else f"+{own.amount:g} × norm"
    said = f"{own.known} and {own.unknown}, {added} to {PARTS[own.part]}"
    return f"{said} · {own.n_questions} questions each, {own.n_random} random latents · {moment(record.created)}"


def uncertainty_name(record: RunRecord) -> str:
    """One of several comparisons of right and wrong answers, in a line."""
    own = record.ask
    return f"{own['n_questions']} questions of each type, {own['new_tokens']} new tokens · {moment(record.created)}"


def made_with(found: Causality) -> str:
    """What the names of the conditions stand for."""
    own = found.settings
    return (
        f"known: {found.known}; unknown: {found.unknown}. + adds {own.amount:g} times the mean residual norm of the latent's direction "
        f"to {PARTS[own.part]}; random: {len(found.random)} latents as frequent as these; taken out: the unknown latent's direction is "
        "removed from every matrix that writes to the residual stream, in a copy of the model."
    )


def rates(found: Causality, knowledge: Knowledge, what: str) -> list[RateBar]:
    """REFUSED or HALLUCINATED on the known or the unknown entities, by type and condition."""
    own = [point for point in found.rates if point.knowledge is knowledge]
    return [_rate(point, what) for condition in Condition for point in own if point.condition is condition]


def self_reports(found: Causality, knowledge: Knowledge) -> list[RateBar]:
    """How much the model leans to "Yes, I know it", by type and condition, with one standard deviation."""
    bars: list[RateBar] = []
    for condition in Condition:
        for one in found.self_reports:
            if (one.condition, one.knowledge) == (condition, knowledge):
                spread = (None, None) if one.sd is None else (one.mean - one.sd, one.mean + one.sd)
                said = f"mean of {one.n}, bars one sd"
                bars.append(RateBar(one.kind, CONDITIONS[condition], _TONES[condition], one.mean, *spread, said))
    return bars


def head_bars(test: AttentionTest, most: int = 12) -> list[RateBar]:
    """The heads whose attention to the name changes most, with one standard deviation over prompts."""
    heads = sorted(test.heads, key=lambda head: -abs(head.difference))[:most]
    tone = Tone.KNOWN if test.side is Knowledge.KNOWN else Tone.UNKNOWN
    return [
        RateBar(
            f"L{head.layer} H{head.head}",
            f"+ {test.latent}",
            tone,
            head.difference,
            None if head.sd is None else head.difference - head.sd,
            None if head.sd is None else head.difference + head.sd,
            f"{head.original:.3f} to {head.steered:.3f}, mean of {head.n} prompts",
        )
        for head in heads
    ]


def attention_sentence(test: AttentionTest) -> str:
    """What the test against random latents says."""
    way = "rises" if test.side is Knowledge.KNOWN else "falls"
    random = f"{np.mean(test.random_pooled):+.4f}" if test.random_pooled else "not known"
    return (
        f"Adding the {test.side.value} latent {test.latent} changes attention from the last token to the name by {test.pooled:+.4f} "
        f"(mean over {len(test.heads)} heads and {test.n_prompts} prompts; random latents {random}). It {way} more than under "
        f"{test.n_significant.k} of {test.n_significant.n} random latents (one-sided Welch t, p below 5 %)."
    )


def generation_rows(generations: Sequence[Generation], knowledge: Knowledge, conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """The answers to each question side by side, one column a condition; of random latents the first."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in generations:
        if one.knowledge is not knowledge or one.condition not in conditions:
            continue
        row = rows.setdefault((one.kind, one.name, one.attribute), {"question": one.prompt})
        row.setdefault(CONDITIONS[one.condition], f"[{one.verdict.value}] {one.text.strip()}")
        row["right"] = "; ".join(one.right) or "not known"
    # What is right stands last, whatever conditions came after the first.
    return [{**{name: said for name, said in row.items() if name != "right"}, "right": row["right"]} for row in rows.values()]


def tally_rows(found: Uncertainty) -> list[dict[str, Any]]:
    """Greedy answers by type."""
    return [{"type": one.kind, "right": one.n_right, "wrong": one.n_wrong, "refused, left out": one.n_refused} for one in found.tallies]


def outcomes(found: Uncertainty) -> list[OutcomeValues]:
    """Activations of the best latent before the test split's answers, by type."""
    kinds = dict.fromkeys(row[0] for row in found.test)
    return [
        OutcomeValues(kind, tone, tuple(row[4] for row in found.test if row[0] == kind and row[3] is is_wrong))
        for kind in kinds
        for tone, is_wrong in ((Tone.RIGHT, False), (Tone.WRONG, True))
    ]


def detectors(found: Uncertainty) -> list[DetectorScore]:
    """AUROC on test of every chosen latent and of the linear baseline."""
    scores: list[DetectorScore] = []
    for one in found.latents:
        if (figures := one.figures) is not None:
            note = f"F1 {figures.test.f1:.2f}, saying always wrong {figures.always.f1:.2f}"
            auroc = figures.auroc
            scores.append(DetectorScore(str(one.latent), str(one.latent), auroc.value, auroc.n_right, auroc.n_wrong, note))
    if found.linear is not None:
        auroc, note = found.linear.auroc, f"F1 {found.linear.test.f1:.2f}"
        scores.append(DetectorScore(LINEAR, "", auroc.value, auroc.n_right, auroc.n_wrong, note))
    return scores


def uncertainty_rows(found: Uncertainty) -> list[dict[str, Any]]:
    """Every chosen latent and the linear baseline with its figures on test."""
    rows: list[dict[str, Any]] = []
    for one in found.latents:
        rows.append({"": str(one.latent), WELCH: f"{one.score:.2f}", **_figures(one.figures)})
    if found.linear is not None:
        rows.append({"": LINEAR, WELCH: "", **_figures(found.linear)})
    return rows


def uncertainty_sentence(found: Uncertainty) -> str:
    """What the best latent is worth; empty where nothing can be said."""
    best = next((one for one in found.latents if one.figures is not None), None)
    if best is None or best.figures is None:
        return ""
    auroc = best.figures.auroc
    against = "" if found.linear is None else f"; a logistic regression on the residual has {found.linear.auroc.value:.2f}"
    few = " These are too few for a conclusion; ask more questions." if min(auroc.n_right, auroc.n_wrong) < _FEW else ""
    return (
        f"{best.latent} separates wrong from right answers with AUROC {auroc.value:.2f} on {auroc.n_right} right and "
        f"{auroc.n_wrong} wrong test answers (0.5 is chance){against}.{few}"
    )


def rate_rows(found: Causality) -> list[dict[str, Any]]:
    """Every rate with its counts and interval."""
    return [
        {
            "type": point.kind,
            "entities": point.knowledge.value,
            "condition": CONDITIONS[point.condition],
            REFUSED: _with_interval(point.refused),
            HALLUCINATED: _with_interval(point.hallucinated),
            "answers": point.refused.n,
        }
        for point in found.rates
    ]


def test_rows(test: AttentionTest) -> list[dict[str, Any]]:
    """Against every random latent."""
    return [
        {"random latent": place + 1, "its mean change": round(pooled, 5), "p": tiny(p)}
        for place, (pooled, p) in enumerate(zip(test.random_pooled, test.p, strict=True))
    ]


def _figures(found: Detector | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "AUROC": f"{found.auroc.value:.3f}",
        "threshold": f"{found.threshold:.4f}",
        "precision": share_of_n(found.test.precision),
        "recall": share_of_n(found.test.recall),
        "F1": f"{found.test.f1:.3f}",
        "F1, always wrong": f"{found.always.f1:.3f}",
    }


def _rate(point: RatePoint, what: str) -> RateBar:
    share, each = (point.refused, point.refused_each) if what == REFUSED else (point.hallucinated, point.hallucinated_each)
    tone, name = _TONES[point.condition], CONDITIONS[point.condition]
    if point.condition is Condition.RANDOM and each:
        mean, sd = float(np.mean(each)), float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
        said = f"mean of {len(each)} latents, bars one sd over them, {share} in all"
        return RateBar(point.kind, name, tone, mean, max(0.0, mean - sd), min(1.0, mean + sd), said)
    low, high = share.interval or (None, None)
    return RateBar(point.kind, name, tone, share.value, low, high, f"{share.k} of {share.n}")


def _with_interval(share: Share) -> str:
    """As "80 [63, 91] % of 30"."""
    if share.value is None or share.interval is None:
        return "not known"
    low, high = share.interval
    return f"{100 * share.value:.0f} [{100 * low:.0f}, {100 * high:.0f}] % of {share.n}"
