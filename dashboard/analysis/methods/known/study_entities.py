"""The study of known and unknown entities as it is asked for: its options, the steps that ask the model, and what is kept of it.

Steps: (1) entities of some types; (2) labels known and unknown, by answers, by choices or by file; (3) on how many random
ordinary tokens each latent fires; (4) what fires at the last token of every name. Steps 2 to 4 ask the model, are kept on
disk as they come and found again by any study that shares them. What is seen in them is worked out by `study`.

Source: Ferrando et al. 2024, arXiv:2411.14257, sections 2 and 3. Differs from it as the modules of `known` say.
"""

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.analysis.entities.kinds import find_kinds
from dashboard.analysis.entities.tables import EntityTable, read_table
from dashboard.analysis.errors import BadAsk, UnknownSae
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known.entities import keep_tables, take
from dashboard.analysis.methods.known.plan import Plan, step_keys, steps_of
from dashboard.analysis.methods.known.results import (
    KIND,
    PREVIEW,
    SCHEMA,
    TOTAL,
    KeptColumn,
    KeptStudy,
    KnownUnknownStudy,
    StudyAsk,
    StudySettings,
    settings_of,
    type_ask,
)
from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
from dashboard.analysis.methods.known.study import load_study, preview_saes, residual_saes, summary, tables_of
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.record import key_of
from dashboard.analysis.studies.study import Made, Progress, Rows, Study
from dashboard.analysis.text.corpus import Corpus

_RULE = KnowledgeRule()


@dataclass(frozen=True)
class EntitiesAsk:
    """Which latents tell entities that the model knows from those it does not."""

    types: tuple[str, ...] = option(
        ("player", "movie", "city", "song", "country", "animal"),
        "Types of entities, separated by commas; `latents entities list` shows all.",
    )
    sae: tuple[str, ...] = option(
        (), "RELEASE/NAME, * and ? allowed; may be repeated. Default: those of the residual stream.", many=Many.REPEATED
    )
    labels: LabelWay = option(LabelWay.FILE, "What labels entities as known or unknown: file, answers or choices.", what="way of labelling")
    preview: bool = option(False, "A first look, under a minute on two cores: 60 entities of each type.")
    chat: bool = option(False, "Ask the questions as chat messages.")
    samples: int = option(_RULE.k, "By answers: samples of each question.", low=1, high=64)
    right: int = option(_RULE.r, "By answers: right samples for an attribute to count.", low=1)
    known_at: int = option(_RULE.known_at, "Attributes that must count for an entity to be known.", low=1)
    template: str = option("", "Template around names, with {type} and {name}; default: each type's own.")
    most: int | None = option(None, "Most entities of each type.", low=4)
    shuffles: int | None = option(None, "Shuffles of the labels.", low=1)
    seed: int = option(0, "Seed of all random choices.", low=0)

    @property
    def base(self) -> StudySettings:
        """Where what no option names comes from."""
        return settings_of(self.preview)

    @property
    def settings(self) -> StudySettings:
        """Everything that can be chosen but types and SAEs."""
        own = self.base
        return replace(
            own,
            way=self.labels,
            rule=KnowledgeRule(self.samples, self.right, self.known_at),
            chat=self.chat,
            template=self.template,
            most_entities=own.most_entities if self.most is None else self.most,
            n_shuffles=own.n_shuffles if self.shuffles is None else self.shuffles,
            seed=self.seed,
        )


@dataclass(frozen=True)
class OtherThresholds(EntitiesAsk):
    """With thresholds that no option names: the command line has no word for them, the record has."""

    other: StudySettings = field(default_factory=StudySettings)

    @property
    def base(self) -> StudySettings:
        """Where what no option names comes from."""
        return self.other


@dataclass(frozen=True)
class EntitiesCommand(EntitiesAsk):
    """With the studies of its result that the command makes at once."""

    causality: bool = option(False, "Also steer with the best latents.")
    amount: float | None = option(
        None, "With --causality: multiples of the mean residual norm that are added; default: tuned on validation."
    )
    uncertainty: bool = option(False, "Also look for latents that fire before wrong answers.")


def ask_of(types: Sequence[str], saes: Sequence[SaeId], own: StudySettings) -> EntitiesAsk:
    """The ask of some settings: what an option can say is said by it."""
    preview = (own.noise_documents, own.noise_tokens) == (PREVIEW.noise_documents, PREVIEW.noise_tokens)
    usual = settings_of(preview)
    most = None if own.most_entities == usual.most_entities else own.most_entities
    shuffles = None if own.n_shuffles == usual.n_shuffles else own.n_shuffles
    rule = (own.rule.k, own.rule.r, own.rule.known_at)
    said = (tuple(types), tuple(map(str, saes)), own.way, preview, own.chat, *rule, own.template, most, shuffles, own.seed)
    ask = EntitiesAsk(*said)
    return ask if ask.settings == own else OtherThresholds(*said, other=own)


@dataclass(frozen=True)
class Whole:
    """What an ask means here and now."""

    ask: StudyAsk
    tables: tuple[EntityTable, ...]
    corpus: Corpus


def whole(bench: Bench, ask: EntitiesAsk) -> Whole:
    """Read the tables of the types and find the SAEs.

    Raises:
        AnalysisError: if there is no such type or SAE, or a file cannot be read.
    """
    kinds, corpus = find_kinds(bench.settings), bench.corpus()
    tables = tuple(read_table(kinds.get(name)) for name in ask.types)
    saes = saes_of(bench.catalog, ask)
    return Whole(StudyAsk(tuple(type_ask(table) for table in tables), saes, ask.settings, corpus.sha256), tables, corpus)


def saes_of(catalog: Catalog, ask: EntitiesAsk) -> tuple[SaeId, ...]:
    """The SAEs whose names match a pattern, in the order of the catalogue; without patterns those of a preview or a whole study.

    Raises:
        UnknownSae: if a pattern matches none.
        BadAsk: if there are none.
    """
    if not ask.sae:
        return (preview_saes if ask.preview else residual_saes)(catalog)
    known = [spec.id for spec in catalog.specs]
    names = [str(sae) for sae in known]
    for pattern in ask.sae:
        if not fnmatch.filter(names, pattern):
            raise UnknownSae(pattern, names[:3])
    return tuple(sae for sae, name in zip(known, names, strict=True) if any(fnmatch.fnmatch(name, pattern) for pattern in ask.sae))


def _asked(bench: Bench, ask: EntitiesAsk) -> dict[str, Any]:
    return whole(bench, ask).ask.plain_data()


def _saes(bench: Bench, ask: EntitiesAsk) -> tuple[SaeId, ...]:
    return saes_of(bench.catalog, ask)


def _steps(bench: Bench, ask: EntitiesAsk) -> Iterator[Progress[KeptStudy]]:
    given, record = whole(bench, ask), STUDY.record(bench, ask)
    key = key_of(record)
    if bench.folder is not None and bench.folder.parent.name != key:
        raise BadAsk(f"The files of {', '.join(ask.types)} have changed since the study was asked for. Run it again.")
    keep_tables(bench.store.folder(KIND, key) / "types", given.tables)
    plan = Plan.of(given.ask, take(given.tables, given.ask.settings), reading.columns_of(bench.catalog, given.ask.saes))
    keys = step_keys(bench.runner.describe(), record, given.ask, plan)
    for share, words in _ask_model(bench, plan, steps_of(bench.store, keys), given.corpus):
        yield Progress(min(int(share * TOTAL), TOTAL - 1), TOTAL, words)
    columns = zip(plan.columns.saes, plan.columns.sites, plan.columns.widths, strict=True)
    kept = KeptStudy(keys, tuple(KeptColumn(*column) for column in columns), len(plan.taken))
    yield Progress(TOTAL - 1, TOTAL, "Scoring and shuffling labels", kept)


def _ask_model(bench: Bench, plan: Plan, steps: dict[str, Step], corpus: Corpus) -> Iterator[tuple[float, str]]:
    """The three steps that ask the model: share of all their work, and a few words."""
    own, runner = plan.ask.settings, bench.runner
    noise = reading.plan_noise(corpus, own)
    n_asked, n_texts, n_noise = len(plan.asked.asked), len(plan.reading.texts), sum(map(len, noise.positions))
    # Work in tokens that the model reads; a written token costs about as much as five.
    answering = own.rule.k + 1 if own.way is LabelWay.ANSWERS else own.n_choices
    costs = {
        "knowledge": n_asked * answering * (100 if own.way is LabelWay.ANSWERS else 10),
        "noise": sum(map(len, noise.rows)),
        "reading": n_texts * 12,
    }
    work: dict[str, tuple[str, Callable[[Step], Iterator[float]]]] = {
        "knowledge": (f"Asking {n_asked:,} questions", lambda step: knowledge.put(runner, plan.asked, own, step)),
        "noise": (f"Reading {n_noise:,} random tokens", lambda step: reading.read_noise(runner, noise, plan.columns, step)),
        "reading": (f"Reading {n_texts:,} names at {len(plan.columns.saes)} SAEs", lambda step: reading.read(runner, plan.reading, step)),
    }
    total, done = sum(costs[name] for name in steps) or 1, 0
    for name, (words, start) in work.items():
        if name not in steps:
            continue
        yield done / total, words
        with steps[name].held():
            for share in start(steps[name]):
                yield (done + share * costs[name]) / total, words
        done += costs[name]


def _title(ask: EntitiesAsk) -> str:
    types = ", ".join(ask.types) if len(ask.types) < 3 else f"{len(ask.types)} types"
    return f"{types}, labels by {ask.labels}" + (", preview" if ask.preview else "")


def study_of(made: Made[EntitiesAsk, KeptStudy]) -> KnownUnknownStudy:
    """The results of a stored study, by the current grades."""
    return load_study(made.store, made.key)


def _tables(made: Made[EntitiesAsk, KeptStudy]) -> dict[str, Rows]:
    return {name: list(rows) for name, rows in tables_of(made.store, study_of(made)).items()}


STUDY = Study(
    kind=KIND,
    about="Which latents tell entities that the model knows from those it does not? If interrupted, run it again to resume.",
    ask=EntitiesAsk,
    result=KeptStudy,
    unit="thousandths",
    steps=_steps,
    title=_title,
    command=("study", "entities"),
    asked=_asked,
    saes=_saes,
    schema=SCHEMA,
    tables=_tables,
    notes=lambda made: study_of(made).notes,
    answer=lambda made: summary(made.store, study_of(made)),
    look=study_of,
    example=EntitiesAsk(preview=True),
)
