"""Questions about the entities of one split, and the changes to the model under which they are answered."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dashboard.analysis.asks.edits import Op, Unit
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.many_texts import AnsweringAsk, MarkedText, Part, PartEdit
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.entities.kinds import Attribute
from dashboard.analysis.methods.known.effects import CausalitySettings, Condition
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId

SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)


@dataclass(frozen=True)
class Asked:
    """One question about one entity."""

    taken: Taken
    knowledge: Knowledge
    attribute: Attribute
    prompt: MarkedText
    right: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One change to the model."""

    condition: Condition
    latent: LatentId | None = None
    """None for the model as it is."""


def questions(
    study: KnownUnknownStudy, taken: Sequence[Taken], settings: CausalitySettings, split: Split, n_questions: int
) -> Iterator[Asked]:
    """One question an entity, up to `n_questions` of each type and side. Attributes take turns; one without a right answer,
    or whose answer the name gives away, is passed over. `taken` are the study's entities, in its order."""
    pairs = list(zip(study.entities, taken, strict=True))
    for kind in study.roster.kinds:
        for side in SIDES:
            rows = [one for entity, one in pairs if (entity.kind, entity.label.knowledge, entity.split) == (kind, side, split)]
            rows.sort(key=lambda one: hashlib.sha256(f"{settings.seed}\0{one.entity.name}".encode()).digest())
            for place, one in enumerate(rows[:n_questions]):
                # Without a right answer every reply but a refusal would be graded wrong; of an invented entity that is so.
                answerable = [attribute for attribute in one.kind.attributes if one.right(attribute)] or one.kind.attributes
                usable = [attribute for attribute in answerable if not one.is_given_away(attribute)] or answerable
                attribute = usable[place % len(usable)]
                filled = (one.kind.plain_text if settings.chat else one.kind.cloze_text)(attribute, one.entity.name)
                prompt = MarkedText(filled.text, (filled.start, filled.end), chat=settings.chat)
                yield Asked(one, side, attribute, prompt, one.right(attribute))


def added(latent: LatentId, amount: float, part: Part) -> PartEdit:
    """A latent's direction added, in multiples of the mean residual norm."""
    return PartEdit(latent, Op.ADD, amount, Unit.NORM, part)


def answers(runner: Runner, asked: Sequence[Asked], trial: Trial, settings: CausalitySettings, amount: float) -> Iterator[tuple[int, str]]:
    """Greedy answers under one change, each with the place of its question, as they end."""
    is_without = trial.condition is Condition.WITHOUT
    edits = () if trial.latent is None or is_without else (added(trial.latent, amount, settings.part),)
    without = trial.latent if is_without else None
    ask = AnsweringAsk(tuple(one.prompt for one in asked), Sampling(settings.new_tokens), edits=edits, without=without)
    for answer in runner.stream(ask):
        yield answer.prompt, answer.text
