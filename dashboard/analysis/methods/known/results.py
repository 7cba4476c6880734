"""What a study of known and unknown entities is asked, and what comes of it. Frozen; every share has its counts beside it."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.entities.kinds import EntityKind
from dashboard.analysis.entities.tables import EntityTable
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.baselines import N_BASELINE, Comparison
from dashboard.analysis.methods.known.statistics.entity_counts import SHARES, Columns, Counts, Roster, Split
from dashboard.analysis.methods.known.statistics.labels import CHOICE_RULE, Chance, Knowledge, KnowledgeRule, Label, LabelWay, Tally
from dashboard.analysis.methods.known.statistics.latent_choice import MOST_NOISE, TOP_RINGED, Chosen, CurvePoint, NoiseRates
from dashboard.analysis.methods.known.statistics.permutation import N_SHUFFLES, MaxNull
from dashboard.analysis.methods.known.statistics.separation import Separation, separation
from dashboard.analysis.methods.known.statistics.significance import Significance
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.studies.record import RunRecord

KIND = "known-unknown"
"""Of the result in the store."""
SCHEMA = 2
"""Of the ask: raised when the same ask gives other numbers."""
MOST_TYPES = 40


@dataclass(frozen=True)
class StudySettings:
    """Everything that can be chosen about a study but its types and SAEs."""

    way: LabelWay = LabelWay.FILE
    """Where the labels known and unknown come from."""
    rule: KnowledgeRule = field(default_factory=KnowledgeRule)
    """Of labels by answers; labels by choices take its `known_at` alone."""
    invented_unknown: bool = True
    """By answers and choices: entities that the file says are invented are unknown for certain, though nothing can be asked of them."""
    chat: bool = False
    """True: questions are put as a chat message; else as a question and the beginning of its answer."""
    new_tokens: int = 32
    """Longest answer."""
    n_choices: int = 4
    """By choices: the right answer among so many."""
    template: str = ""
    """Text in which names are read, with {type} and {name}; empty takes each type's own."""
    most_entities: int | None = None
    """Of each type; None takes all. Fewer are drawn evenly over what the file says of how well known they are."""
    shares: tuple[float, float, float] = SHARES
    """Of train, validation and test."""
    seed: int = 0
    noise_documents: int = 1000
    """Documents of the corpus from which random tokens are drawn."""
    noise_tokens: int = 2
    """Random tokens of each."""
    most_noise: float = MOST_NOISE
    """Latents that fire on a larger share of random tokens are not chosen."""
    n_chosen: int = TOP_RINGED
    """Latents chosen on each side."""
    n_baseline: int = N_BASELINE
    """Latents and directions that the best one is held against, of each sort."""
    n_shuffles: int = N_SHUFFLES

    def __post_init__(self) -> None:
        least = {"new_tokens": 1, "n_choices": 2, "noise_documents": 1, "noise_tokens": 1, "n_chosen": 1, "n_baseline": 2, "n_shuffles": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise BadAsk(f"{name.replace('_', ' ')} is {getattr(self, name)}; at least {low} is needed.")
        if self.most_entities is not None and self.most_entities < 4:
            raise BadAsk(f"{self.most_entities} entities of each type were asked for; at least 4 are needed.")
        if min(self.shares) < 0 or not math.isclose(sum(self.shares), 1):
            raise BadAsk(f"The shares of train, validation and test are {self.shares}; they must be 0 or more and sum to 1.")
        if self.template and "{name}" not in self.template:
            raise BadAsk(f"The template {self.template!r} has no {{name}}. Write for example: The {{type}} '{{name}}'")

    @property
    def own_rule(self) -> KnowledgeRule:
        """The rule of the way that was chosen."""
        return self.rule if self.way is LabelWay.ANSWERS else KnowledgeRule(CHOICE_RULE.k, CHOICE_RULE.r, self.rule.known_at)


PREVIEW = StudySettings(most_entities=60, noise_documents=60, noise_tokens=16, n_shuffles=200)
"""Settings of a first look: labels by file, few entities; with a few SAEs a minute on two cores."""


def settings_of(preview: bool, **chosen: Any) -> StudySettings:
    """Settings of a first look or of a whole study, with the changes that were chosen."""
    return replace(PREVIEW if preview else StudySettings(), **chosen)


@dataclass(frozen=True)
class TypeAsk:
    """A type of entities as its two files were."""

    name: str
    table_sha256: str
    kind_sha256: str


@dataclass(frozen=True)
class StudyAsk:
    """A study, fully described: what its record holds."""

    types: tuple[TypeAsk, ...]
    saes: tuple[SaeId, ...]
    settings: StudySettings = StudySettings()
    corpus_sha256: str = ""
    """Of the text whose random tokens are read."""

    def __post_init__(self) -> None:
        names = [one.name for one in self.types]
        if not 1 <= len(names) <= MOST_TYPES or len({*names}) != len(names):
            raise BadAsk(f"A study takes 1 to {MOST_TYPES} different types of entities; {len(names)} were given: {', '.join(names)}.")
        if not self.saes or len({*self.saes}) != len(self.saes):
            raise BadAsk(f"A study takes at least 1 SAE, each once; {len(self.saes)} were given.")

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it; `read_ask` reads it."""
        return {
            "schema": SCHEMA,
            "types": [asdict(one) for one in self.types],
            "saes": [str(sae) for sae in self.saes],
            "settings": {**asdict(self.settings), "way": self.settings.way.value, "shares": list(self.settings.shares)},
            "corpus_sha256": self.corpus_sha256,
        }


def read_ask(data: Mapping[str, Any]) -> StudyAsk:
    """The ask whose `plain_data` this is.

    Raises:
        BadAsk: if it is of another schema or form.
    """
    try:
        if data["schema"] != SCHEMA:
            raise BadAsk(f"This study is of schema {data['schema']}; this version reads {SCHEMA}. Run it again.")
        given = dict(data["settings"])
        given |= {"way": LabelWay(given["way"]), "rule": KnowledgeRule(**given["rule"]), "shares": tuple(given["shares"])}
        known = {one.name for one in fields(StudySettings)}
        types = tuple(TypeAsk(**one) for one in data["types"])
        saes = tuple(SaeId.parse(name) for name in data["saes"])
        settings = StudySettings(**{name: value for name, value in given.items() if name in known})
        return StudyAsk(types, saes, settings, data["corpus_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadAsk(f"This is not the ask of a study: {error}. Run it again.") from error


def type_ask(table: EntityTable) -> TypeAsk:
    """The current state of a type."""
    return TypeAsk(table.kind.name, table.sha256, kind_sha256(table.kind))


def kind_sha256(kind: EntityKind) -> str:
    """Of everything that the type's file says and a study uses."""
    said = {**asdict(kind), "file": "", "title": "", "query": ""}
    return hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()


@dataclass(frozen=True)
class StudyEntity:
    """An entity of a study, where it stands and what it was found to be."""

    kind: str
    name: str
    familiarity: str | None
    """What the file says; None if nothing."""
    label: Label
    split: Split
    text: str
    """What was read."""
    start: int
    end: int
    """Half-open range of characters of the name in `text`."""


@dataclass(frozen=True)
class GradedAnswer:
    """One answer of the knowledge test."""

    kind: str
    name: str
    attribute: str
    prompt: str
    """What the model was given, without a chat template."""
    right: tuple[str, ...]
    """Right answers, any of which will do."""
    sample: int | None
    """Number of the sample; None for the greedy answer, or for the likeliest choice."""
    answer: str
    verdict: Verdict
    """After overruling."""
    graded: Verdict
    """By the matcher."""
    choices: tuple[str, ...] = ()
    """By choices: what there was to choose from, the right one first."""

    @property
    def is_overruled(self) -> bool:
        """True where a person overruled the matcher."""
        return self.verdict is not self.graded


@dataclass(frozen=True)
class Overrule:
    """A person's judgement of one answer."""

    kind: str
    name: str
    attribute: str
    sample: int | None
    verdict: Verdict | None
    """None takes an earlier judgement back."""

    @property
    def place(self) -> tuple[str, str, str, int | None]:
        """Which answer it is about."""
        return (self.kind, self.name, self.attribute, self.sample)


@dataclass(frozen=True)
class SplitSize:
    """Known and unknown entities of one type in one split."""

    split: Split
    n_known: int
    n_unknown: int
    smallest: float | None
    """The least separation that so many show 4 times in 5 at 5 %, for one latent named beforehand; None: not even 1 does."""


@dataclass(frozen=True)
class TypeSummary:
    """What became of one type."""

    kind: str
    title: str
    word: str
    tally: Tally
    splits: tuple[SplitSize, ...]
    """Train, validation, test."""
    n_questions: int
    """Questions that were put; 0 by file."""
    n_given_away: int
    """Questions left out because the name answers them."""
    chance: Chance | None
    """By choices: what guessing gives, mean over the entities that were asked."""

    def size(self, split: Split) -> SplitSize:
        """Of one split."""
        return next(one for one in self.splits if one.split is split)


class Baseline(StrEnum):
    """What a chosen latent is held against."""

    FREQUENCY = "frequency-matched latents"
    NOTHING = "latents of separation 0"
    DIRECTIONS = "random directions"


@dataclass(frozen=True)
class BaselineComparison:
    """The smallest separation over the types, on test, of a chosen latent and of its baselines."""

    latent: LatentId
    side: Knowledge
    baseline: Baseline
    names: tuple[str, ...]
    """Of the baselines: latents, or numbers of directions."""
    comparison: Comparison


@dataclass(frozen=True)
class NormPoint:
    """Norm of the residual stream at the last token of names."""

    site: Site
    kind: str
    knowledge: Knowledge
    n: int
    mean: float
    sd: float | None
    """With n - 1; None below 2 entities."""


@dataclass(frozen=True, eq=False)
class KnownUnknownStudy:
    """A study that is done. Figures for show are those of the test split; latents were chosen on train."""

    key: str
    """In the store."""
    ask: StudyAsk
    record: RunRecord
    types: tuple[TypeSummary, ...]
    entities: tuple[StudyEntity, ...]
    """In the order of `roster`."""
    roster: Roster
    counts: Counts
    noise: NoiseRates
    known: tuple[Chosen, ...]
    """First the best; empty if no type has both sides."""
    unknown: tuple[Chosen, ...]
    curves: tuple[CurvePoint, ...]
    """Both sides; `kind` None are the MaxMin's."""
    significance: Significance
    """On test."""
    nulls: tuple[MaxNull, ...]
    """On test, among latents that the noise filter keeps."""
    baselines: tuple[BaselineComparison, ...]
    norms: tuple[NormPoint, ...]
    notes: tuple[str, ...]
    """What a reader must know before believing a figure, a sentence each."""
    n_overruled: int
    folder: Path
    """Where it is kept."""
    reading: Path
    """Where its activations are kept."""

    @property
    def columns(self) -> Columns:
        """Which latent stands in which column."""
        return self.counts.columns

    def separation(self, split: Split | None = Split.TEST) -> Separation:
        """Frequencies of a split; None takes all entities together."""
        return separation(self.counts, split)

    def chosen(self, side: Knowledge) -> tuple[Chosen, ...]:
        """The latents that were chosen on one side."""
        return self.known if side is Knowledge.KNOWN else self.unknown


@dataclass(frozen=True, eq=False)
class EntityActivations:
    """One latent on every entity of a study."""

    latent: LatentId
    values: Float32[np.ndarray, " entities"]
    """Activation at the name's last token, 0 where it is silent; in the order of the study's entities."""


@dataclass(frozen=True)
class KeptColumn:
    """An SAE of a study as it was."""

    sae: SaeId
    site: Site
    n_latents: int


@dataclass(frozen=True)
class KeptStudy:
    """What the store keeps of a study. All its numbers are worked out from the steps, which lie beside it."""

    steps: Mapping[str, str]
    """Key of each by its name: knowledge (not by file), noise, reading."""
    columns: tuple[KeptColumn, ...]
    n_entities: int


TOTAL = 1000
"""Of the progress of a study and its parts."""
