"""Entities of a study and the answers about them as plain data of figures and tables. Pure functions."""

from collections.abc import Sequence
from typing import Any

from components.figures.known_data import EntityBar
from dashboard.analysis.methods.known.results import EntityActivations, GradedAnswer, KnownUnknownStudy, StudyEntity
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.ui.known.present import TONES
from dashboard.ui.views.known import ALL


def entity_bars(study: KnownUnknownStudy, found: EntityActivations, kind: str) -> list[EntityBar]:
    """One latent on the entities of a type, or of ALL."""
    return [
        EntityBar(entity_key(entity), entity.name, entity.kind, TONES[entity.label.knowledge], float(value))
        for entity, value in zip(study.entities, found.values, strict=True)
        if kind in (ALL, entity.kind)
    ]


def entity_key(entity: StudyEntity) -> str:
    """A name for one entity among those of all types."""
    return f"{entity.kind}/{entity.name}"


def strongest(study: KnownUnknownStudy, found: EntityActivations, kind: str, most: int) -> list[tuple[StudyEntity, float]]:
    """The entities on which the latent fires most, of each label the same number at most, strongest first."""
    rows = [
        (entity, float(value))
        for entity, value in zip(study.entities, found.values, strict=True)
        if kind in (ALL, entity.kind) and value > 0
    ]
    rows.sort(key=lambda row: (-row[1], row[0].name))
    chosen = [row for side in Knowledge for row in [one for one in rows if one[0].label.knowledge is side][:most]]
    return sorted(chosen, key=lambda row: (-row[1], row[0].name))


def entity_rows(study: KnownUnknownStudy, found: EntityActivations | None, kind: str) -> list[dict[str, Any]]:
    """Every entity with its label, split and the activation of the chosen latent."""
    rows: list[dict[str, Any]] = []
    for place, entity in enumerate(study.entities):
        if kind in (ALL, entity.kind):
            right = f"{entity.label.n_right} of {entity.label.n_asked}" if entity.label.n_asked else "not asked"
            row = {
                "type": entity.kind,
                "name": entity.name,
                "label": entity.label.knowledge.value,
                "by": entity.label.way.value,
                "file says": entity.familiarity or "nothing",
                "attributes known": right,
                "split": entity.split.value,
            }
            rows.append(row if found is None else row | {"activation": round(float(found.values[place]), 4)})
    return rows


def answer_rows(answers: Sequence[GradedAnswer]) -> list[dict[str, Any]]:
    """Every answer with its grade, which can be overruled; what is the same in all is left out."""
    rows: list[dict[str, Any]] = [
        {
            "type": one.kind,
            "name": one.name,
            "attribute": one.attribute,
            "sample": "greedy" if one.sample is None else str(one.sample),
            "answer": one.answer,
            "right": "; ".join(one.right),
            "grade": one.verdict.value,
            "matcher": one.graded.value,
            "choices": "; ".join(one.choices),
            "prompt": one.prompt,
        }
        for one in answers
    ]
    same = [name for name, plain in (("type", None), ("sample", "greedy"), ("choices", "")) if _is_same(rows, name, plain)]
    return [{name: value for name, value in row.items() if name not in same} for row in rows]


def _is_same(rows: Sequence[dict[str, Any]], name: str, plain: str | None) -> bool:
    found = {row[name] for row in rows}
    return found == {plain} if plain is not None else len(found) == 1
