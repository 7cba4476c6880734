"""Releases: sets of packed SAEs with their records, made from a run and measured afterwards."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dashboard.analysis.asks.measuring import Evaluation
from dashboard.analysis.errors import RunMismatch
from dashboard.analysis.names import Site
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.sae.packed import pack, write_record
from dashboard.analysis.system.versions import LIBRARIES


def pack_run(run: Path, release: Path) -> list[Path]:
    """Pack every SAE of a finished run into a release folder; returns the packed files.

    Raises:
        RunMismatch: if the run has not finished.
    """
    folders = sorted(path.parent for path in run.glob("saes/*/cfg.json"))
    if not folders:
        raise RunMismatch(f"{run} holds 0 finished SAEs. Give the folder of a run that `latents sae train` has completed.")
    ask = json.loads((run / "run.json").read_text())
    written: list[Path] = []
    for folder in folders:
        pack(folder, release / folder.name, _training_record(run, ask, folder.name))
        written.append(release / f"{folder.name}.safetensors")
    return written


def write_evaluation(spec: SaeSpec, evaluation: Evaluation) -> None:
    """Put measured figures into an SAE's record; those of its prefixes beside them."""
    figures = {name: value for name, value in asdict(evaluation).items() if value is not None}
    prefixes = figures.pop("prefixes")
    write_figures(spec, evaluation=figures, **({"prefixes": prefixes} if prefixes else {}))


def write_figures(spec: SaeSpec, **figures: Any) -> None:
    """Put figures into an SAE's record as it now stands, by name, rounded to 5 significant digits."""
    file = spec.source.with_suffix(".json") if spec.is_packed else spec.source / "record.json"
    record = {**(json.loads(file.read_text()) if file.is_file() else {}), **{name: _rounded(value) for name, value in figures.items()}}
    if spec.is_packed:
        write_record(spec.source.with_suffix(""), record)
    else:
        file.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def prefixes_of(spec: SaeSpec) -> tuple[int, ...]:
    """Widths of a Matryoshka SAE's prefixes, the whole left out; none for other SAEs or where the record does not say."""
    nested = spec.kind.startswith("matryoshka")
    widths = spec.record.get("training", {}).get("matryoshka_widths", ()) if nested else ()
    return tuple(int(width) for width in widths if width < spec.n_latents)


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _rounded(part) for key, part in value.items()}
        case list() | tuple():
            return [_rounded(part) for part in value]
        case float():
            return float(f"{value:.5g}")
    return value


def _training_record(run: Path, ask: dict[str, Any], site: str) -> dict[str, Any]:
    last = [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if line["site"] == site][-1]
    # Names of files only: a record that ships must not carry the folders of the machine that made it.
    texts = [source if source.startswith("hf:") else Path(source).name for source in ask["text"]]
    return {
        "kind": "matryoshka_batchtopk" if _is_nested(ask, site) else "batchtopk",
        "licence": "Apache-2.0",
        "training": {**ask, "text": texts, "tokens_seen": last["tokens"], "sae_lens": LIBRARIES["sae-lens"]},
    }


def _is_nested(ask: dict[str, Any], site: str) -> bool:
    points = ask.get("matryoshka_points") or [Site.parse(site).point.value]
    return bool(ask["matryoshka_widths"]) and Site.parse(site).point.value in points
