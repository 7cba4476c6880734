"""The knowledge test: questions about every entity, put in blocks, graded, and turned into labels.

Steps: (1) of every entity each attribute with a right answer is asked, unless the name gives it away; (2) by answers: the
greedy one and k samples, each graded by the attribute's matcher; by choices: the right answer among others of its column,
by log-probability a token; (3) a person's judgement takes the place of a grade; (4) labels by the rule of the settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.many_texts import AnsweringAsk, ChoiceAsk, MarkedText
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.entities.kinds import Attribute
from dashboard.analysis.entities.tables import Familiarity
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.results import GradedAnswer, StudyAsk, StudySettings
from dashboard.analysis.methods.known.statistics.labels import (
    Chance,
    Label,
    LabelWay,
    chance,
    is_likeliest,
    label_by_answers,
    label_by_choices,
    label_by_file,
)
from dashboard.analysis.methods.known.statistics.labels import Knowledge as Knows
from dashboard.analysis.studies.blocks import Step, in_blocks

BLOCK = 128
"""Questions that are asked together, and lost together when a study is killed."""
Place = tuple[str, str, str, int | None]
"""Type, name, attribute and number of the sample: which answer."""


@dataclass(frozen=True)
class Question:
    """One attribute of one entity."""

    owner: int
    """Place of the entity in the study."""
    taken: Taken
    attribute: Attribute
    prompt: MarkedText
    right: tuple[str, ...]
    choices: tuple[str, ...]
    """By choices: the right one first; else empty."""


@dataclass(frozen=True)
class Questions:
    """Everything that is asked."""

    asked: tuple[Question, ...]
    """In the order in which they are put: short ones first."""
    given_away: Mapping[str, int]
    """By type: questions that the name answers, left out."""


def questions(taken: Sequence[Taken], settings: StudySettings) -> Questions:
    """What is asked of each entity: nothing, by file."""
    asked: list[Question] = []
    away: dict[str, int] = {}
    for owner, one in enumerate(taken if settings.way is not LabelWay.FILE else ()):
        for attribute in one.kind.attributes:
            right = one.right(attribute)
            if not right:
                continue
            if one.is_given_away(attribute):
                away[one.kind.name] = away.get(one.kind.name, 0) + 1
                continue
            choices: tuple[str, ...] = ()
            if settings.way is LabelWay.CHOICES:
                choices = (right[0], *one.table.distractors(attribute.name, one.entity, settings.n_choices - 1))
                if len(choices) < 2:
                    continue
            asked.append(Question(owner, one, attribute, prompt_of(one, attribute, settings.chat, bool(choices)), right, choices))
    asked.sort(key=lambda question: len(question.prompt.text))
    return Questions(tuple(asked), away)


def prompt_of(taken: Taken, attribute: Attribute, chat: bool, choosing: bool = False) -> MarkedText:
    """A question as the model is given it, the name marked."""
    if not chat:
        cloze = taken.kind.cloze_text(attribute, taken.entity.name)
        return MarkedText(cloze.text, (cloze.start, cloze.end))
    question = taken.kind.question_text(attribute, taken.entity.name)
    stem = taken.kind.fill(attribute.stem, taken.entity.name).text if choosing else ""
    return MarkedText(question.text, (question.start, question.end), chat=True, prefill=stem)


def step_data(ask: StudyAsk) -> Any:
    """What the answers depend on, beside the model."""
    chosen = ask.settings
    own = [chosen.rule.k, chosen.new_tokens] if chosen.way is LabelWay.ANSWERS else [chosen.n_choices]
    types = [[one.name, one.table_sha256, one.kind_sha256] for one in ask.types]
    return [types, chosen.way.value, own, chosen.chat, chosen.most_entities, chosen.seed]


def put(runner: Runner, asked: Questions, settings: StudySettings, step: Step) -> Iterator[float]:
    """Ask what has not been asked; yields the share that is done."""
    blocks = in_blocks(asked.asked, BLOCK)
    for number, block in enumerate(blocks):
        if step.has(number):
            continue
        gather = _answers if settings.way is LabelWay.ANSWERS else _choices
        rows: list[Any] = []
        for share in gather(runner, block, settings, rows):
            yield (number + share) / len(blocks)
        step.save_rows(number, rows)


def _answers(runner: Runner, block: Sequence[Question], settings: StudySettings, rows: list[Any]) -> Iterator[float]:
    """Every answer as [sample, text, verdict], question by question."""
    k = settings.rule.k
    sampling = Sampling(settings.new_tokens, 1.0, seed=settings.seed)
    ask = AnsweringAsk(tuple(question.prompt for question in block), sampling, greedy=True, n_samples=k, stop_at_line=True)
    rows.extend([] for _ in block)
    for n, answer in enumerate(runner.stream(ask), 1):
        question = block[answer.prompt]
        verdict = question.taken.grade(question.attribute, answer.text)
        rows[answer.prompt].append([answer.sample, answer.text, verdict.value])
        yield n / (len(block) * (k + 1))
    for row in rows:
        row.sort(key=lambda one: -1 if one[0] is None else one[0])


def _choices(runner: Runner, block: Sequence[Question], settings: StudySettings, rows: list[Any]) -> Iterator[float]:
    """The likeliest choice as [None, text, verdict, log-probabilities a token], question by question."""
    ask = ChoiceAsk(tuple(question.prompt for question in block), tuple(question.choices for question in block))
    rows.extend([] for _ in block)
    for n, scores in enumerate(runner.stream(ask), 1):
        verdict = Verdict.CORRECT if is_likeliest(scores.means, 0) else Verdict.ERROR
        shown = block[scores.prompt].choices[0 if verdict is Verdict.CORRECT else scores.best()]
        rows[scores.prompt].append([None, shown, verdict.value, list(scores.means)])
        yield n / len(block)


def graded(asked: Questions, step: Step, overruled: Mapping[Place, Verdict], kind: str | None = None) -> Iterator[tuple[int, GradedAnswer]]:
    """Every answer with the place of its entity, question by question; of one type, or of all."""
    for number, block in enumerate(in_blocks(asked.asked, BLOCK)):
        for question, answers in zip(block, step.rows(number), strict=True):
            one = question.taken
            if kind not in (None, one.kind.name):
                continue
            prompt = " ".join(part for part in (question.prompt.text, question.prompt.prefill) if part)
            for sample, text, verdict, *_ in answers:
                place = (one.kind.name, one.entity.name, question.attribute.name, sample)
                judged = overruled.get(place, Verdict(verdict))
                yield (
                    question.owner,
                    GradedAnswer(*place[:3], prompt, question.right, sample, text, judged, Verdict(verdict), question.choices),
                )


def labels(taken: Sequence[Taken], asked: Questions, step: Step | None, overruled: Mapping[Place, Verdict], ask: StudyAsk) -> list[Label]:
    """What each entity was found to be."""
    settings = ask.settings
    words = [one.entity.familiarity or "" for one in taken]
    if step is None:
        return [label_by_file(word) for word in words]
    right: list[dict[str, int]] = [{} for _ in taken]
    for owner, answer in graded(asked, step, overruled):
        counts = right[owner]
        counts.setdefault(answer.attribute, 0)
        # The greedy answer is shown and does not count.
        if answer.verdict is Verdict.CORRECT and (answer.sample is not None or settings.way is LabelWay.CHOICES):
            counts[answer.attribute] += 1
    found: list[Label] = []
    for word, counts in zip(words, right, strict=True):
        if settings.invented_unknown and word == Familiarity.INVENTED:
            found.append(Label(Knows.UNKNOWN, 0, 0, LabelWay.FILE))
        elif settings.way is LabelWay.ANSWERS:
            found.append(label_by_answers(counts, settings.rule))
        else:
            found.append(label_by_choices({name: bool(n) for name, n in counts.items()}, settings.own_rule))
    return found


def guessing(asked: Questions, settings: StudySettings, kind: str) -> Chance | None:
    """By choices: what guessing would give, mean over the entities of a type that are asked anything."""
    if settings.way is not LabelWay.CHOICES:
        return None
    n_choices: dict[int, list[int]] = {}
    for question in asked.asked:
        if question.taken.kind.name == kind:
            n_choices.setdefault(question.owner, []).append(len(question.choices))
    if not n_choices:
        return None
    chances = [chance(each, settings.own_rule) for each in n_choices.values()]
    return Chance(float(np.mean([one.known for one in chances])), float(np.mean([one.unknown for one in chances])))
