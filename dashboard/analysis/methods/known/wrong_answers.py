"""Latents that fire more before wrong answers than before right ones: at the last token before the answer.

Steps: (1) greedy answers to questions about entities with right answers, graded; refusals are left out; (2) what fires at
the last token of each prompt, in a chat the last of the template before the answer; (3) Welch's t of every latent by type on
train, the best by the smallest over the types; (4) threshold on validation, AUROC, precision, recall and F1 on test, beside
a logistic regression on the residual. An entity's questions are all in one split.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 7. Differs from it: as `methods.uncertainty` and `methods.detection` say.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.many_texts import AnsweringAsk, MarkedText, ReadingAsk, Spot
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import PromotedAsk
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.entities.kinds import Attribute
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.asking import prompt_of
from dashboard.analysis.methods.known.effects import (
    UNCERTAINTY,
    AnswerTally,
    Uncertainty,
    UncertaintyLatent,
    UncertaintySettings,
)
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.entity_reading import ReadingPlan, plan_reading, read, read_blocks
from dashboard.analysis.methods.known.results import TOTAL, KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.detection import Answers, linear_detector
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.latent_choice import best_columns
from dashboard.analysis.methods.known.statistics.right_or_wrong import Detector, Moments, Welch, detector, uncertainty_scores, welch
from dashboard.analysis.names import Site
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import Step, in_blocks
from dashboard.analysis.studies.parts import find_part, load_part
from dashboard.analysis.studies.record import RunRecord, key_of
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Progress

PARTS = "known-unknown-uncertainty-steps"
BLOCK = 128
N_PROMOTED = 10


@dataclass(frozen=True)
class _Asked:
    taken: Taken
    split: Split
    attribute: Attribute
    prompt: MarkedText

    @property
    def names(self) -> tuple[str, str, str]:
        """Of type, entity and attribute."""
        return self.taken.kind.name, self.taken.entity.name, self.attribute.name


@dataclass(frozen=True, eq=False)
class _Told:
    """Answers that were not refusals, with their questions."""

    asked: tuple[_Asked, ...]
    wrong: np.ndarray

    def rows(self, split: Split, kind: str | None = None) -> np.ndarray:
        """Places of a split's answers, of one type or of all."""
        return np.array(
            [i for i, one in enumerate(self.asked) if one.split is split and kind in (None, one.taken.kind.name)], dtype=np.int64
        )


def compare(
    bench: Bench, study: KnownUnknownStudy, taken: Sequence[Taken], settings: UncertaintySettings, record: RunRecord
) -> Iterator[Progress[Uncertainty]]:
    """Look for uncertainty latents among the SAEs of a study. `taken` are its entities, in its order.

    Raises:
        BadAsk: if no entity has a right answer, or no type has 2 right and 2 wrong answers on train.
    """
    store, runner, key = bench.store, bench.runner, key_of(record)
    asked = tuple(_questions(study, taken, settings))
    if not asked:
        raise BadAsk("0 entities of the study have right answers in their file, so no answer can be graded. Add some.")
    answers, codes = (Step(store.folder(PARTS, f"{key}-{name}")) for name in ("answers", "reading"))
    with answers.held():
        for done in _put(runner, asked, settings, answers):
            yield Progress(int(done * 0.8 * TOTAL), TOTAL, f"Answering {len(asked)} questions")
    verdicts = [Verdict(verdict) for number in range(answers.n_blocks) for _, verdict in answers.rows(number)]
    kept = [i for i, verdict in enumerate(verdicts) if verdict is not Verdict.REFUSAL]
    told = _Told(tuple(asked[i] for i in kept), np.array([verdicts[i] is Verdict.ERROR for i in kept], dtype=bool))
    plan = plan_reading([one.prompt for one in told.asked], study.columns, study.ask.settings, Spot.LAST)
    with codes.held():
        for done in read(runner, plan, codes):
            yield Progress(int((0.8 + done * 0.15) * TOTAL), TOTAL, f"Reading {len(told.asked)} prompts")
    yield Progress(int(0.95 * TOTAL), TOTAL, "Comparing right and wrong answers")
    tallies = tuple(_tally(kind, asked, verdicts) for kind in study.roster.kinds)
    yield Progress(TOTAL, TOTAL, "Done", _found(runner, study, key, settings, record, told, plan, codes, tallies))


def load_uncertainty(store: ResultStore, key: str) -> Uncertainty:
    """What was found.

    Raises:
        UnknownResult: if there is none of that key.
        BadAsk: if it was made by another version.
    """
    return load_part(store, UNCERTAINTY, key, Uncertainty)


def find_uncertainty(store: ResultStore, study: str) -> Uncertainty | None:
    """The newest of a study that can be read; None if there is none."""
    return find_part(store, UNCERTAINTY, study, Uncertainty)


def _questions(study: KnownUnknownStudy, taken: Sequence[Taken], settings: UncertaintySettings) -> Iterator[_Asked]:
    """All that can be graded of each entity, entity after entity, up to the number asked for of each type."""
    pairs = list(zip(study.entities, taken, strict=True))
    for kind in study.roster.kinds:
        own = [(entity, one) for entity, one in pairs if entity.kind == kind]
        own.sort(key=lambda pair: hashlib.sha256(f"{settings.seed}\0{pair[1].entity.name}".encode()).digest())
        found: list[_Asked] = []
        for entity, one in own:
            for attribute in one.kind.attributes if len(found) < settings.n_questions else ():
                if one.right(attribute) and not one.is_given_away(attribute):
                    found.append(_Asked(one, entity.split, attribute, prompt_of(one, attribute, settings.chat)))
        yield from found


def _put(runner: Runner, asked: Sequence[_Asked], settings: UncertaintySettings, step: Step) -> Iterator[float]:
    blocks = in_blocks(asked, BLOCK)
    for number, block in enumerate(blocks):
        if step.has(number):
            continue
        rows: list[Any] = [None] * len(block)
        ask = AnsweringAsk(tuple(one.prompt for one in block), Sampling(settings.new_tokens), stop_at_line=not settings.chat)
        for n, answer in enumerate(runner.stream(ask), 1):
            one = block[answer.prompt]
            rows[answer.prompt] = [answer.text, one.taken.grade(one.attribute, answer.text).value]
            yield (number + n / len(block)) / len(blocks)
        step.save_rows(number, rows)


def _tally(kind: str, asked: Sequence[_Asked], verdicts: Sequence[Verdict]) -> AnswerTally:
    own = [verdict for one, verdict in zip(asked, verdicts, strict=True) if one.taken.kind.name == kind]
    return AnswerTally(kind, own.count(Verdict.CORRECT), own.count(Verdict.ERROR), own.count(Verdict.REFUSAL))


def _found(
    runner: Runner,
    study: KnownUnknownStudy,
    key: str,
    settings: UncertaintySettings,
    record: Any,
    told: _Told,
    plan: ReadingPlan,
    step: Step,
    tallies: tuple[AnswerTally, ...],
) -> Uncertainty:
    tested = _welch(study, told, plan, step)
    notes = [
        f"{one.kind}: {one.n_right} right, {one.n_wrong} wrong and {one.n_refused} refused answers; it takes no part."
        for one in tallies
        if one.kind not in tested
    ]
    if not tested:
        wrong = {kind: told.wrong[told.rows(Split.TRAIN, kind)] for kind in study.roster.kinds}
        there = "; ".join(f"{kind} {int((~own).sum())} right and {int(own.sum())} wrong" for kind, own in wrong.items())
        raise BadAsk(
            "No latent can be compared: a type needs 2 right and 2 wrong answers to questions of the train split. "
            f"There are, refusals left out: {there}. Ask more questions, or choose types that the model knows better."
        )
    scores = uncertainty_scores(tested)
    columns = [int(column) for column in best_columns(np.where(np.isfinite(scores), scores, -np.inf), settings.n_chosen)]
    values = _values(told, plan, step, columns)
    latents: list[UncertaintyLatent] = []
    for rank, column in enumerate(columns):
        latent = study.columns.latent(column)
        t = tuple((kind, float(one.t[column])) for kind, one in tested.items())
        n = tuple((kind, one.n_right, one.n_wrong) for kind, one in tested.items())
        figures = _judged(told, values[rank], settings.seed)
        latents.append(UncertaintyLatent(latent, _site(study, column), rank, float(scores[column]), t, n, figures))
    if latents[0].figures is None:
        notes.append("The validation or the test split lacks right or wrong answers, so no threshold could be set or judged.")
    linear = _linear(runner, told, latents[0].site, settings.seed)
    test = tuple(
        (
            told.asked[i].taken.kind.name,
            told.asked[i].taken.entity.name,
            told.asked[i].attribute.name,
            bool(told.wrong[i]),
            float(values[0, i]),
        )
        for i in told.rows(Split.TEST)
    )
    promoted = runner.ask(PromotedAsk(latents[0].latent, N_PROMOTED))
    return Uncertainty(study.key, key, settings, record, tallies, tuple(latents), linear, test, promoted, tuple(notes))


def _site(study: KnownUnknownStudy, column: int) -> Site:
    return study.columns.sites[study.columns.saes.index(study.columns.latent(column).sae)]


def _welch(study: KnownUnknownStudy, told: _Told, plan: ReadingPlan, step: Step) -> dict[str, Welch]:
    """Right against wrong on train, for each type that has 2 of each."""
    n = study.columns.n
    train = np.zeros(len(told.asked), dtype=bool)
    train[told.rows(Split.TRAIN)] = True
    kinds = np.array([one.taken.kind.name for one in told.asked])
    moments: dict[tuple[str, bool], Moments] = {}
    for block in read_blocks(plan, step):
        lengths = np.diff(block.fires.start)
        row = np.repeat(np.arange(len(lengths)), lengths)
        for kind in study.roster.kinds:
            for wrong in (False, True):
                chosen = train[block.texts] & (kinds[block.texts] == kind) & (told.wrong[block.texts] == wrong)
                entries = chosen[row]
                part = Moments.of_sparse(int(chosen.sum()), block.fires.column[entries], block.value[entries], n)
                moments[kind, wrong] = moments.get((kind, wrong), Moments.none(n)) + part
    pairs = {kind: (moments[kind, False], moments[kind, True]) for kind in study.roster.kinds}
    return {kind: welch(right, wrong) for kind, (right, wrong) in pairs.items() if min(right.n, wrong.n) >= 2}


def _values(told: _Told, plan: ReadingPlan, step: Step, columns: Sequence[int]) -> np.ndarray:
    """Activations of some latents before each answer: latents by answers."""
    values = np.zeros((len(columns), len(told.asked)), dtype=np.float32)
    for block in read_blocks(plan, step):
        lengths = np.diff(block.fires.start)
        row = np.repeat(np.arange(len(lengths)), lengths)
        for place, column in enumerate(columns):
            entries = np.flatnonzero(block.fires.column == column)
            values[place, block.texts[row[entries]]] = block.value[entries]
    return values


def _judged(told: _Told, values: np.ndarray, seed: int) -> Detector | None:
    validation, test = told.rows(Split.VALIDATION), told.rows(Split.TEST)
    try:
        return detector((values[validation], told.wrong[validation]), (values[test], told.wrong[test]), seed)
    except BadAsk:
        return None


def _linear(runner: Runner, told: _Told, site: Site, seed: int) -> Detector | None:
    """On the residual before each answer, at the site of the best latent."""
    rows: dict[int, np.ndarray] = {}
    for chunk in runner.stream(ReadingAsk(tuple(one.prompt for one in told.asked), at=Spot.LAST, rows=(site,))):
        rows |= {int(place): row for place, row in zip(chunk.texts, chunk.rows[site], strict=True)}
    parts = [
        Answers(np.array([rows[int(i)] for i in places]), told.wrong[places])
        for places in map(told.rows, (Split.TRAIN, Split.VALIDATION, Split.TEST))
    ]
    try:
        return linear_detector(parts[0], parts[1], parts[2], seed).figures
    except BadAsk:
        return None
