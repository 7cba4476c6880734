"""A study as a folder of tables: enough to redraw every figure and to count everything again.

Every table is a Parquet file; all but the counts are CSV files too. `record.json` says what the study was made with.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from dashboard.analysis.methods.known.effects import Causality, Uncertainty
from dashboard.analysis.methods.known.results import GradedAnswer, KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.entity_counts import LABELS, SPLITS
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.plain import to_plain
from dashboard.analysis.stats.shares import Share

Row = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """What belongs to a study and is kept beside it."""

    answers: Iterable[GradedAnswer]
    activations: np.ndarray
    """Of the chosen latents, known then unknown, on every entity: latents by entities."""
    causality: Causality | None = None
    uncertainty: Uncertainty | None = None


def tables_of(study: KnownUnknownStudy, parts: Parts) -> dict[str, Iterable[Row]]:
    """Every table but the counts, by name."""
    return {
        "entities": _entities(study),
        "types": _types(study),
        "answers": _answers(parts.answers),
        "chosen": _chosen(study),
        "curves": _curves(study),
        "nulls": _nulls(study),
        "baselines": _baselines(study),
        "norms": [_named(one) for one in study.norms],
        "activations": _activations(study, parts.activations),
        **(causality_tables(parts.causality) if parts.causality else {}),
        **(uncertainty_tables(parts.uncertainty) if parts.uncertainty else {}),
    }


def write_bundle(study: KnownUnknownStudy, folder: Path, parts: Parts) -> tuple[Path, ...]:
    """Write the tables; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, rows in tables_of(study, parts).items():
        table = pa.Table.from_pylist(list(rows))
        if table.num_columns:
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
            pacsv.write_csv(_flat(table), folder / f"{name}.csv")
            written += [folder / f"{name}.parquet", folder / f"{name}.csv"]
    pq.write_table(_counts(study), folder / "counts.parquet", compression="zstd")
    records = {"study": study, "causality": parts.causality, "uncertainty": parts.uncertainty}
    content = {
        "key": study.key,
        **{name: None if part is None else asdict(part.record) for name, part in records.items()},
        "notes": list(study.notes),
        "labels": [label.value for label in LABELS],
        "splits": [split.value for split in SPLITS],
        "n_random_tokens": study.noise.n,
        "n_overruled": study.n_overruled,
    }
    (folder / "record.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    return (*written, folder / "counts.parquet", folder / "record.json")


def summarised(study: KnownUnknownStudy, causality: Causality | None, uncertainty: Uncertainty | None) -> Row:
    """The figures that a reader wants first."""
    tested = study.significance

    def latents(side: Knowledge) -> list[Row]:
        q = tested.q_known if side is Knowledge.KNOWN else tested.q_unknown
        return [
            {
                "latent": str(one.latent),
                "train": one.train,
                "test": one.test,
                "q": float(q[one.column]),
                "random_tokens": str(one.noise),
                "pairs": [{"type": pair.kind, "known": str(pair.known), "unknown": str(pair.unknown)} for pair in one.pairs],
            }
            for one in study.chosen(side)
        ]

    best = uncertainty.latents[:1] if uncertainty else ()
    return {
        "key": study.key,
        "types": list(_types(study)),
        "kinds": list(study.separation().kinds),
        "known": latents(Knowledge.KNOWN),
        "unknown": latents(Knowledge.UNKNOWN),
        "max_min": [
            {"sae": str(one.sae), "side": one.side.value, "train": one.chosen_by[0], "test": one.shown[0]}
            for one in study.curves
            if one.kind is None
        ],
        "nulls": [{name: value for name, value in row.items() if name != "null"} for row in _nulls(study)],
        "rates": [
            {
                "type": one.kind,
                "label": one.knowledge.value,
                "condition": one.condition.value,
                "refused": str(one.refused),
                "hallucinated": str(one.hallucinated),
            }
            for one in (causality.rates if causality else ())
        ],
        "attention": [
            {"side": one.side.value, "pooled": one.pooled, "significant": str(one.n_significant)}
            for one in (causality.attention if causality else ())
        ],
        "uncertainty": [
            {"latent": str(one.latent), "score": one.score, "auroc": one.figures.auroc.value if one.figures else None} for one in best
        ],
        "notes": [*study.notes, *(causality.notes if causality else ()), *(uncertainty.notes if uncertainty else ())],
        "n_random_tokens": study.noise.n,
        "record": asdict(study.record),
    }


def share_row(name: str, share: Share) -> Row:
    """A share with its counts and its 95 % interval."""
    low, high = share.interval or (None, None)
    return {f"{name}_k": share.k, f"{name}_n": share.n, name: share.value, f"{name}_low": low, f"{name}_high": high}


def _entities(study: KnownUnknownStudy) -> Iterator[Row]:
    for one in study.entities:
        label = one.label
        yield {
            "type": one.kind,
            "name": one.name,
            "familiarity": one.familiarity,
            "label": label.knowledge.value,
            "label_by": label.way.value,
            "n_right": label.n_right,
            "n_asked": label.n_asked,
            "split": one.split.value,
            "text": one.text,
            "start": one.start,
            "end": one.end,
        }


def _types(study: KnownUnknownStudy) -> Iterator[Row]:
    for one in study.types:
        row: Row = {
            "type": one.kind,
            "title": one.title,
            "n_known": one.tally.n_known,
            "n_unknown": one.tally.n_unknown,
            "n_aside": one.tally.n_aside,
            "n_questions": one.n_questions,
            "n_given_away": one.n_given_away,
            "chance_known": one.chance and one.chance.known,
            "chance_unknown": one.chance and one.chance.unknown,
        }
        for size in one.splits:
            row |= {f"{size.split}_known": size.n_known, f"{size.split}_unknown": size.n_unknown, f"{size.split}_smallest": size.smallest}
        yield row


def _answers(answers: Iterable[GradedAnswer]) -> Iterator[Row]:
    for one in answers:
        yield {
            "type": one.kind,
            "name": one.name,
            "attribute": one.attribute,
            "prompt": one.prompt,
            "right": list(one.right),
            "choices": list(one.choices),
            "sample": one.sample,
            "answer": one.answer,
            "verdict": one.verdict.value,
            "graded": one.graded.value,
            "overruled": one.is_overruled,
        }


def _chosen(study: KnownUnknownStudy) -> Iterator[Row]:
    kinds = study.significance.kinds
    for one in (*study.known, *study.unknown):
        q = study.significance.q_known if one in study.known else study.significance.q_unknown
        head: Row = {
            "latent": str(one.latent),
            "site": str(one.site),
            "side": one.side.value,
            "rank": one.rank,
            "train": one.train,
            "test": one.test,
            "weakest_type": one.weakest_kind,
            "q_all_types": float(q[one.column]),
            "random_tokens_k": one.noise and one.noise.k,
            "random_tokens_n": one.noise and one.noise.n,
        }
        for pair in one.pairs:
            tested = {name: float(getattr(study.significance, name)[kinds.index(pair.kind), one.column]) for name in ("p", "q")}
            yield {**head, "type": pair.kind, **share_row("f_known", pair.known), **share_row("f_unknown", pair.unknown), **tested}


def _curves(study: KnownUnknownStudy) -> Iterator[Row]:
    for one in study.curves:
        latents = [str(study.columns.latent(column)) for column in one.columns]
        yield {
            "sae": str(one.sae),
            "site": str(one.site),
            "layer": one.site.layer,
            "type": one.kind,
            "side": one.side.value,
            "latents": latents,
            "train": list(one.chosen_by),
            "test": list(one.shown),
            "mean": one.mean,
            "low": one.low,
            "high": one.high,
            "n_known": one.n_known,
            "n_unknown": one.n_unknown,
        }


def _nulls(study: KnownUnknownStudy) -> Iterator[Row]:
    for one in study.nulls:
        yield {
            "type": one.kind,
            "side": one.side.value,
            "observed": one.observed,
            "latent": str(study.columns.latent(one.column)),
            "p": one.p,
            "threshold": one.threshold,
            "n_known": one.n_known,
            "n_unknown": one.n_unknown,
            "null": one.null.tolist(),
        }


def _baselines(study: KnownUnknownStudy) -> Iterator[Row]:
    for one in study.baselines:
        for name, value in zip(one.names, one.comparison.baselines, strict=True):
            yield {
                "latent": str(one.latent),
                "side": one.side.value,
                "value": one.comparison.value,
                "baseline": one.baseline.value,
                "name": name,
                "baseline_value": value,
            }


def _activations(study: KnownUnknownStudy, activations: np.ndarray) -> Iterator[Row]:
    for one, values in zip((*study.known, *study.unknown), activations, strict=True):
        for place in np.flatnonzero(values):
            entity = study.entities[place]
            yield {"latent": str(one.latent), "type": entity.kind, "name": entity.name, "activation": float(values[place])}


def _counts(study: KnownUnknownStudy) -> pa.Table:
    """A row for each type and latent that fires anywhere, on an entity or a random token: entities and those on which it fires."""
    counts, noise = study.counts, study.noise
    fires = np.flatnonzero(counts.fires.any(axis=(0, 1, 2)) | (noise.fires > 0))
    latents = pa.array([str(counts.columns.latent(int(column))) for column in fires]).dictionary_encode()
    parts: list[pa.Table] = []
    for place, kind in enumerate(counts.kinds):
        columns: Row = {"type": pa.array([kind] * len(fires)), "latent": latents, "random_tokens": noise.fires[fires]}
        for i, label in enumerate(LABELS):
            for j, split in enumerate(SPLITS):
                name = f"{label.value.replace(' ', '_')}_{split.value}"
                columns[f"{name}_fires"] = counts.fires[place, i, j, fires]
                columns[f"{name}_n"] = np.full(len(fires), counts.n[place, i, j], dtype=np.int32)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def causality_tables(found: Causality) -> dict[str, Iterable[Row]]:
    """Of what the chosen latents do, by name."""
    rates = [
        {
            "type": one.kind,
            "label": one.knowledge.value,
            "condition": one.condition.value,
            **share_row("refused", one.refused),
            **share_row("hallucinated", one.hallucinated),
            "refused_each": list(one.refused_each),
            "hallucinated_each": list(one.hallucinated_each),
        }
        for one in found.rates
    ]
    generations = [
        {
            "condition": one.condition.value,
            "latent": one.latent,
            "type": one.kind,
            "name": one.name,
            "label": one.knowledge.value,
            "attribute": one.attribute,
            "prompt": one.prompt,
            "right": list(one.right),
            "text": one.text,
            "verdict": one.verdict.value,
        }
        for one in found.generations
    ]
    reports = [_named(one) for one in found.self_reports]
    tests = [
        {
            "side": one.side.value,
            "latent": str(one.latent),
            "n_prompts": one.n_prompts,
            "pooled": one.pooled,
            "random_latent": str(random),
            "random_pooled": value,
            "p": p,
        }
        for one in found.attention
        for random, value, p in zip(one.random, one.random_pooled, one.p, strict=True)
    ]
    heads = [{"side": one.side.value, "latent": str(one.latent), **asdict(head)} for one in found.attention for head in one.heads]
    amounts = [
        {
            "amount": one.amount,
            "condition": one.condition.value,
            **share_row("refused", one.refused),
            **share_row("right", one.right),
            **share_row("readable", one.readable),
        }
        for one in found.tuning
    ]
    answered = {"rates": rates, "generations": generations, "amounts": amounts}
    return {**answered, "self_reports": reports, "attention_tests": tests, "attention_heads": heads}


def uncertainty_tables(found: Uncertainty) -> dict[str, Iterable[Row]]:
    """Of latents before right and wrong answers, by name."""
    figures = [(str(one.latent), one.score, one.figures) for one in found.latents] + [("logistic regression", None, found.linear)]
    rows = [
        {
            "what": what,
            "score": score,
            "auroc": one.auroc.value,
            "auroc_n_right": one.auroc.n_right,
            "auroc_n_wrong": one.auroc.n_wrong,
            "threshold": one.threshold,
            "f1": one.test.f1,
            "f1_always": one.always.f1,
            **share_row("precision", one.test.precision),
            **share_row("recall", one.test.recall),
        }
        for what, score, one in figures
        if one is not None
    ]
    names = ("type", "name", "attribute", "wrong", "activation")
    return {
        "uncertainty": rows,
        "uncertainty_tallies": [_named(one) for one in found.tallies],
        "uncertainty_test": [dict(zip(names, row, strict=True)) for row in found.test],
    }


def _named(one: Any) -> Row:
    """A flat record as a row, columns called as in the other tables."""
    called = {"kind": "type", "knowledge": "label"}
    rows: Row = to_plain(one)
    return {called.get(name) or name: value for name, value in rows.items()}


def _flat(table: pa.Table) -> pa.Table:
    """Lists as JSON, which a CSV file can hold."""
    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_null(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
    return table
