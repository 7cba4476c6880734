"""What the chosen latents do to the model: answers, self-report and attention when they are added or taken out.

Steps: (0) how much is added is tuned on the validation split (`tuning`), unless it is given; (1) questions about known and
unknown entities of the test split; (2) their greedy answers as the model is, with the
known, the unknown and some random latents added from the name's last token to the end of the prompt, and with the unknown
direction taken out of the weights of a copy; (3) refusals and hallucinations of each type, with intervals; (4) Yes against
No to "Are you sure you know ...?"; (5) attention from the last token to the name, the known latent added where unknown
entities are asked about and the other way round, against random latents.

Source: Ferrando et al. 2024, arXiv:2411.14257, sections 4 to 6. Differs from it: random latents fire as often as the chosen
ones (there: mostly dead ones); new tokens are not edited; amounts are multiples of the mean residual norm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from dashboard.analysis.asks.edits import Where
from dashboard.analysis.asks.many_texts import AttentionAsk, ChoiceAsk, MarkedText, Part
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import DosesAsk
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.effects import (
    CAUSALITY,
    AmountTrial,
    AttentionTest,
    Causality,
    CausalitySettings,
    Condition,
    Generation,
    HeadChange,
    RatePoint,
    SelfReport,
)
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.overruling import keep_overrule, read_overrules
from dashboard.analysis.methods.known.results import TOTAL, KnownUnknownStudy, Overrule
from dashboard.analysis.methods.known.statistics.baselines import frequency_matched
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.trials import SIDES, Asked, Trial, added, answers, questions
from dashboard.analysis.methods.known.tuning import best_amount, tune, tuned
from dashboard.analysis.names import LatentId
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.parts import find_part, load_part
from dashboard.analysis.studies.record import RunRecord, key_of
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Progress

YES_NO = ("Yes", "No")
PARTS = "known-unknown-causality-steps"


def resolved(study: KnownUnknownStudy, settings: CausalitySettings) -> CausalitySettings:
    """The same with the latents that it means.

    Raises:
        BadAsk: if the study has no such latents, or has chosen none.
    """
    known, unknown = _latent(study, settings.known, Knowledge.KNOWN), _latent(study, settings.unknown, Knowledge.UNKNOWN)
    return replace(settings, known=str(known), unknown=str(unknown))


def try_out(
    bench: Bench, study: KnownUnknownStudy, taken: Sequence[Taken], own: CausalitySettings, record: RunRecord
) -> Iterator[Progress[Causality]]:
    """Try out the latents of a study. `own` are settings that are `resolved`; `taken` are the study's entities, in its order.

    Raises:
        BadAsk: if the study has no test entities.
    """
    store, runner, key = bench.store, bench.runner, key_of(record)
    latents = LatentId.parse(own.known), LatentId.parse(own.unknown)
    asked = tuple(questions(study, taken, own, Split.TEST, own.n_questions))
    if not asked:
        raise BadAsk("The study has 0 known and unknown entities in its test split, so there is nothing to ask. Take more entities.")
    step, random = Step(store.folder(PARTS, key)), _random(study, *latents, own)
    trials: tuple[AmountTrial, ...] = ()
    if own.amount is None:
        steps = Step(store.folder(PARTS, f"{key}-amounts"))
        validation = tuple(questions(study, taken, own, Split.VALIDATION, own.n_tuning))
        if not validation:
            raise BadAsk("The study has 0 entities in its validation split to tune the amount on. Take more entities, or give an amount.")
        words = f"Trying {len(own.amounts)} amounts on {len(validation)} questions of validation"
        with steps.held():
            for done in tune(runner, validation, latents, own, steps):
                yield Progress(int(0.3 * done * TOTAL), TOTAL, words)
        trials = tuned(validation, latents, own, steps)
    amount = best_amount(trials) if own.amount is None else own.amount
    with step.held():
        for done, words in _ask_model(runner, study, asked, latents, random, own, amount, step):
            share = 0.3 + 0.7 * done if trials else done
            yield Progress(min(int(share * TOTAL), TOTAL - 1), TOTAL, words)
    doses = _doses(runner, (*latents, *random), own, amount)
    found = _assembled(study, key, replace(own, amount=amount), record, latents, random, asked, step, doses, trials)
    yield Progress(TOTAL, TOTAL, "Done", found)


def load_causality(store: ResultStore, key: str) -> Causality:
    """What was found, with the current verdicts.

    Raises:
        UnknownResult: if there is none of that key.
        BadAsk: if it was made by another version.
    """
    found = load_part(store, CAUSALITY, key, Causality)
    overruled = read_overrules(store.folder(CAUSALITY, key)).verdicts
    generations = tuple(replace(one, verdict=overruled.get(one.place, one.graded)) for one in found.generations)
    return replace(found, generations=generations, rates=rates(generations))


def find_causality(store: ResultStore, study: str) -> Causality | None:
    """The newest of a study that can be read; None if there is none."""
    found = find_part(store, CAUSALITY, study, Causality)
    return None if found is None else load_causality(store, found.key)


def overrule_generation(store: ResultStore, key: str, generation: Generation, verdict: Verdict | None) -> Causality:
    """Overrule the matcher's verdict on one answer; None restores it."""
    keep_overrule(store.folder(CAUSALITY, load_causality(store, key).key), Overrule(*generation.place, verdict))
    return load_causality(store, key)


def rates(generations: Sequence[Generation]) -> tuple[RatePoint, ...]:
    """Refusals and hallucinations by type, side and condition, in the order in which they come."""
    cells: dict[tuple[str, Knowledge, Condition], list[Generation]] = {}
    for one in generations:
        cells.setdefault((one.kind, one.knowledge, one.condition), []).append(one)
    points: list[RatePoint] = []
    for (kind, knowledge, condition), found in cells.items():
        latents = dict.fromkeys(one.latent or "" for one in found) if condition is Condition.RANDOM else {}
        each = tuple((latent, *_tally([one for one in found if one.latent == latent])) for latent in latents)
        refused, wrong, n = _tally(found)
        points.append(RatePoint(kind, knowledge, condition, Share(refused, n), Share(wrong, n), each))
    return tuple(points)


def _tally(found: Sequence[Generation]) -> tuple[int, int, int]:
    verdicts = [one.verdict for one in found]
    return verdicts.count(Verdict.REFUSAL), verdicts.count(Verdict.ERROR), len(verdicts)


def _latent(study: KnownUnknownStudy, name: str, side: Knowledge) -> LatentId:
    if name:
        latent = LatentId.parse(name)
        study.columns.column(latent)
        return latent
    chosen = study.chosen(side)
    if not chosen:
        raise BadAsk(f"The study has chosen no {side} latent. Name one, or take types that have known and unknown entities.")
    return chosen[0].latent


def _random(study: KnownUnknownStudy, known: LatentId, unknown: LatentId, settings: CausalitySettings) -> tuple[LatentId, ...]:
    """Half of them beside the known latent, half beside the unknown one."""
    half = settings.n_random // 2
    found = [*_matched(study, unknown, settings.n_random - half, settings), *_matched(study, known, half, settings)]
    return tuple(dict.fromkeys(found))


def _matched(study: KnownUnknownStudy, latent: LatentId, n: int, settings: CausalitySettings) -> list[LatentId]:
    column = study.columns.column(latent)
    chosen = [one.column for one in (*study.known, *study.unknown)]
    return [study.columns.latent(int(one)) for one in frequency_matched(study.counts, column, chosen, n, settings.seed)]


def _trials(latents: tuple[LatentId, LatentId], random: Sequence[LatentId]) -> list[Trial]:
    known, unknown = latents
    added = [Trial(Condition.KNOWN, known), Trial(Condition.UNKNOWN, unknown), *(Trial(Condition.RANDOM, one) for one in random)]
    return [Trial(Condition.ORIGINAL), *added, Trial(Condition.WITHOUT, unknown)]


def _ask_model(
    runner: Runner,
    study: KnownUnknownStudy,
    asked: Sequence[Asked],
    latents: tuple[LatentId, LatentId],
    random: Sequence[LatentId],
    settings: CausalitySettings,
    amount: float,
    step: Step,
) -> Iterator[tuple[float, str]]:
    """Answers, trial by trial; then self-reports; then attention."""
    trials = _trials(latents, random)
    for number, trial in enumerate(trials):
        if not step.has(number):
            texts = [""] * len(asked)
            for n, (place, text) in enumerate(answers(runner, asked, trial, settings, amount), 1):
                texts[place] = text
                yield 0.9 * (number + n / len(asked)) / len(trials), f"Answering {len(asked)} questions: {trial.condition}"
            step.save_rows(number, texts)
    if not step.has(len(trials)):
        yield 0.9, "Asking whether the model is sure"
        step.save_rows(len(trials), _self_reports(runner, asked, trials, settings, amount))
    for place, side in enumerate(SIDES):
        if not step.has(len(trials) + 1 + place):
            yield 0.92 + 0.04 * place, f"Reading attention with the {side} latent"
            matched = _matched(study, latents[place], settings.n_random, settings)
            site = study.columns.sites[study.columns.saes.index(latents[place].sae)]
            found = _attention(runner, asked, side, latents[place], site.layer + 1, matched, settings)
            step.save_rows(len(trials) + 1 + place, [to_plain(found)] if found else [])


def _self_reports(runner: Runner, asked: Sequence[Asked], trials: Sequence[Trial], settings: CausalitySettings, amount: float) -> list[Any]:
    """Log-odds of Yes for each entity: as the model is, and with the known, the unknown and the first random latent."""
    prompts = []
    for one in asked:
        filled = one.taken.kind.self_report_text(one.taken.entity.name)
        prefill = "Answer:" if settings.chat else " Answer:"
        prompts.append(MarkedText(filled.text, (filled.start, filled.end), settings.chat, prefill))
    rows: list[Any] = []
    for trial in trials[:4]:
        edits = () if trial.latent is None else (added(trial.latent, amount, Part.MARKED_LAST),)
        odds = [0.0] * len(prompts)
        for scores in runner.stream(ChoiceAsk(tuple(prompts), (YES_NO,) * len(prompts), edits)):
            odds[scores.prompt] = scores.logprobs[0] - scores.logprobs[1]
        rows.append([trial.condition.value, odds])
    return rows


def _attention(
    runner: Runner,
    asked: Sequence[Asked],
    side: Knowledge,
    latent: LatentId,
    first: int,
    random: Sequence[LatentId],
    settings: CausalitySettings,
) -> AttentionTest | None:
    """Of the heads from layer `first` on; None if there is no prompt to read, or no such layer."""
    texts: list[MarkedText] = []
    for one in asked:
        attribute = next((attribute for attribute in (one.attribute, *one.taken.kind.attributes) if attribute.recall), None)
        if one.knowledge is not side and attribute is not None:
            filled = one.taken.kind.recall_text(attribute, one.taken.entity.name)
            assert filled is not None
            texts.append(MarkedText(filled.text, (filled.start, filled.end)))
    if not texts:
        return None

    def weights(latents: Sequence[LatentId]) -> np.ndarray:
        edits = tuple(added(one, settings.attention_amount, Part.MARKED_LAST) for one in latents)
        chunks = list(runner.stream(AttentionAsk(tuple(texts), edits)))
        order = np.argsort(np.concatenate([chunk.texts for chunk in chunks]))
        return np.concatenate([chunk.weights for chunk in chunks])[order].astype(np.float64)

    original = weights(())[:, first:]
    if not original.shape[1]:
        return None
    difference = weights((latent,))[:, first:] - original
    others = [weights((one,))[:, first:] - original for one in random]
    alternative = "greater" if side is Knowledge.KNOWN else "less"
    p = tuple(_welch_p(difference.ravel(), one.ravel(), alternative) for one in others)
    n = len(texts)
    before, change = original.mean(axis=0), difference.mean(axis=0)
    sd = difference.std(axis=0, ddof=1) if n > 1 else None
    heads: list[HeadChange] = []
    for layer in range(change.shape[0]):
        for head in range(change.shape[1]):
            at = before[layer, head], before[layer, head] + change[layer, head], change[layer, head]
            spread = None if sd is None else float(sd[layer, head])
            heads.append(HeadChange(first + layer, head, float(at[0]), float(at[1]), float(at[2]), spread, n))
    pooled = tuple(float(one.mean()) for one in others)
    return AttentionTest(side, latent, tuple(random), n, float(difference.mean()), pooled, p, tuple(heads))


def _welch_p(one: np.ndarray, other: np.ndarray, alternative: str) -> float:
    p: Any = ttest_ind(one, other, equal_var=False, alternative=alternative)[1]
    # Both without any change: nothing to tell apart.
    return 1.0 if np.isnan(p) else float(p)


def _doses(runner: Runner, latents: Sequence[LatentId], settings: CausalitySettings, amount: float) -> tuple[tuple[str, float], ...]:
    found = runner.ask(DosesAsk(tuple(added(one, amount, settings.part).at(Where.PROMPT) for one in latents)))
    return tuple((str(latent), dose.share_of_norm) for latent, dose in zip(latents, found, strict=True))


def _assembled(
    study: KnownUnknownStudy,
    key: str,
    settings: CausalitySettings,
    record: RunRecord,
    latents: tuple[LatentId, LatentId],
    random: Sequence[LatentId],
    asked: Sequence[Asked],
    step: Step,
    doses: tuple[tuple[str, float], ...],
    tuning: tuple[AmountTrial, ...],
) -> Causality:
    generations: list[Generation] = []
    trials = _trials(latents, random)
    for number, trial in enumerate(trials):
        for one, text in zip(asked, step.rows(number), strict=True):
            verdict = one.taken.grade(one.attribute, text)
            latent = None if trial.latent is None else str(trial.latent)
            kind, name = one.taken.kind.name, one.taken.entity.name
            where = (trial.condition, latent, kind, name, one.knowledge, one.attribute.name)
            generations.append(Generation(*where, one.prompt.text, one.right, text, verdict, verdict))
    reports: list[SelfReport] = []
    for condition, odds in step.rows(len(trials)):
        for kind in study.roster.kinds:
            for side in SIDES:
                values = [value for one, value in zip(asked, odds, strict=True) if (one.taken.kind.name, one.knowledge) == (kind, side)]
                if values:
                    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
                    reports.append(SelfReport(kind, side, Condition(condition), len(values), float(np.mean(values)), sd))
    attention = tuple(from_plain(AttentionTest, row) for place in range(2) for row in step.rows(len(trials) + 1 + place))
    made = (rates(generations), tuple(generations), tuple(reports), attention, tuning, _notes(generations, settings, tuning))
    return Causality(study.key, key, settings, record, *latents, tuple(random), doses, *made)


def _notes(generations: Sequence[Generation], settings: CausalitySettings, tuning: Sequence[AmountTrial]) -> tuple[str, ...]:
    notes = [_tuning_note(settings, tuning)] if tuning else []
    original = [one for one in generations if one.condition is Condition.ORIGINAL]
    refused = sum(one.verdict is Verdict.REFUSAL for one in original)
    notes.append(f"As it is, the model refuses {refused} of {len(original)} questions; refusals are told by wording, so read some of them.")
    if not settings.chat:
        notes.append("Questions are a text to go on with, not a chat message: a model seldom declines to continue a text.")
    notes.append(
        "The test of attention pools heads and prompts as if they were independent, as the paper does; the heads of one prompt are not."
    )
    return tuple(notes)


def _tuning_note(settings: CausalitySettings, tuning: Sequence[AmountTrial]) -> str:
    said: list[str] = []
    for amount in settings.amounts:
        known, unknown = (
            next(one for one in tuning if (one.amount, one.condition) == (amount, side)) for side in (Condition.KNOWN, Condition.UNKNOWN)
        )
        said.append(f"{amount:g}: {known.refused} and {unknown.refused} refused, {known.readable} and {unknown.readable} readable")
    plain = next(one for one in tuning if one.condition is Condition.ORIGINAL)
    return (
        f"{settings.amount:g} x the residual norm is added, tuned on validation, where the model as it is refuses {plain.refused}; "
        f"with the known and the unknown latent at {'; '.join(said)}."
    )
