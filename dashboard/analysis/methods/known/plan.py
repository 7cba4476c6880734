"""What a study asks of the model, and where what was asked is kept: the plan of an ask, and a study as the store holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known.entities import Taken, kept_tables, take
from dashboard.analysis.methods.known.results import KIND, KeptStudy, StudyAsk, read_ask
from dashboard.analysis.methods.known.statistics.entity_counts import Columns
from dashboard.analysis.methods.known.statistics.labels import LabelWay
from dashboard.analysis.plain import from_plain
from dashboard.analysis.studies.blocks import Step, step_key
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.studies.store import ResultStore

STEPS = "known-unknown-steps"
"""Where steps are kept, beside the studies."""


@dataclass(frozen=True)
class Plan:
    """What is asked of the model, worked out from the ask and its tables."""

    ask: StudyAsk
    taken: tuple[Taken, ...]
    asked: knowledge.Questions
    reading: reading.ReadingPlan

    @classmethod
    def of(cls, ask: StudyAsk, taken: tuple[Taken, ...], columns: Columns) -> "Plan":
        """Of entities and SAEs."""
        texts = reading.plan_reading([one.text for one in taken], columns, ask.settings)
        return cls(ask, taken, knowledge.questions(taken, ask.settings), texts)

    @property
    def columns(self) -> Columns:
        """Of its SAEs."""
        return self.reading.columns


@dataclass(frozen=True, eq=False)
class Kept:
    """A study as the store holds it."""

    store: ResultStore
    key: str
    record: RunRecord
    result: KeptStudy

    @classmethod
    def read(cls, store: ResultStore, key: str) -> "Kept":
        """Of a key.

        Raises:
            UnknownResult: if there is none of that key.
            BadAsk: if it was made by another version.
        """
        record, result = store.load(KIND, key)
        try:
            return cls(store, key, record, from_plain(KeptStudy, result))
        except (TypeError, ValueError, KeyError) as error:
            raise BadAsk(f"Study {key} was kept by another version of this project: {error}. Run it again.") from error

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.store.folder(KIND, self.key)

    @property
    def plan(self) -> Plan:
        """What was asked of the model."""
        return kept_plan(self.folder, read_ask(self.record.ask), self.columns)

    @property
    def columns(self) -> Columns:
        """Of its SAEs as they were."""
        rows = self.result.columns
        return Columns(tuple(row.sae for row in rows), tuple(row.site for row in rows), tuple(row.n_latents for row in rows))

    def step(self, name: str) -> Step | None:
        """Where a step is kept; None if the study has none of that name."""
        return steps_of(self.store, self.result.steps).get(name)


@lru_cache(maxsize=4)
def kept_plan(folder: Path, ask: StudyAsk, columns: Columns) -> Plan:
    return Plan.of(ask, take(kept_tables(folder / "types", ask), ask.settings), columns)


def steps_of(store: ResultStore, keys: Mapping[str, str]) -> dict[str, Step]:
    return {name: Step(store.folder(STEPS, f"{name}-{key}")) for name, key in keys.items()}


def step_keys(card: ModelCard, record: RunRecord, ask: StudyAsk, plan: Plan) -> dict[str, str]:
    """Names of the steps that a study needs."""
    own = ask.settings
    texts = [[text.text, text.marked] for text in plan.reading.texts]
    saes = [str(sae) for sae in ask.saes]  # in order: it is that of the columns
    keys = {
        "noise": step_key("noise", card, record.saes, [saes, ask.corpus_sha256, own.noise_documents, own.noise_tokens, own.seed]),
        "reading": step_key("reading", card, record.saes, [saes, texts, own.n_baseline, own.seed]),
    }
    if own.way is not LabelWay.FILE:
        keys["knowledge"] = step_key("knowledge", card, {}, knowledge.step_data(ask))
    return keys
