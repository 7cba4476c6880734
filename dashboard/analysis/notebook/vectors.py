"""Directions that are not latents, kept by name: uploaded, or put together from latents.

A vector is a file `NAME.json` in Neuronpedia's form: `{"modelId", "layerNumber", "hookType", "vector", "vectorLabel"}`.
"""

import hashlib
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashboard.analysis.asks.edits import NamedVector
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.names import Point, Site

MAX_BYTES = 4_000_000
"""Of an uploaded file."""
_HOOK_TYPES = {"resid-pre": "resid_pre", "resid-post": "resid_post", "hook_resid_pre": "resid_pre", "hook_resid_post": "resid_post"}


class VectorFolder:
    """The vectors of one installation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self, model: str | None = None) -> dict[str, NamedVector]:
        """Every vector that can be read, by name; those that were kept for another model are left out."""
        found: dict[str, NamedVector] = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                content = file.read_bytes()
                vector = parse_vector(content, file.stem, None)
                if model is None or json.loads(content).get("modelId") in (None, model):
                    found[file.stem] = vector
            except (AnalysisError, OSError):
                continue
        return found

    def keep(self, vector: NamedVector, model: str) -> None:
        """Write a vector; one of the same name is replaced.

        Raises:
            BadAsk: if the name cannot be a file's.
        """
        if not re.fullmatch(r"[\w .+-]{1,60}", vector.name) or vector.name.startswith("."):
            raise BadAsk(
                f"{vector.name[:60]!r} is not a valid vector name: use 1 to 60 letters, digits, spaces, dots, dashes and underscores."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f"{uuid.uuid4().hex[:8]}.writing"
        scratch.write_text(json.dumps(vector_json(vector, model)))
        scratch.replace(self._folder / f"{vector.name}.json")

    def restore(self, vector: NamedVector, model: str) -> NamedVector:
        """The vector as it can be used now: kept if it was not there, and renamed if another one has its name."""
        known = self.all()
        if known.get(vector.name) == vector:
            return vector
        if vector.name in known:
            digest = hashlib.sha256(json.dumps([str(vector.site), vector.values]).encode()).hexdigest()[:6]
            vector = replace(vector, name=f"{vector.name[:50]}-{digest}")
        self.keep(vector, model)
        return vector


def vector_json(vector: NamedVector, model: str) -> dict[str, Any]:
    """A vector in Neuronpedia's form; other points than the residual stream stand under their own name."""
    hook = "resid-post" if vector.site.point is Point.RESID_POST else vector.site.point.value
    return {
        "modelId": model,
        "layerNumber": vector.site.layer,
        "hookType": hook,
        "vector": list(vector.values),
        "vectorLabel": vector.name,
    }


def parse_vector(content: bytes, name: str, site: Site | None) -> NamedVector:
    """Read a JSON array of numbers, or an object in Neuronpedia's form. `site` is used where the file names none.

    Raises:
        BadAsk: if it is neither, too large, or no site is known.
    """
    if len(content) > MAX_BYTES:
        raise BadAsk(f"The vector's file has {len(content):,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        value = json.loads(content)
        numbers = value["vector"] if isinstance(value, dict) else value
        # True, "1" and the keys of an object could be read as numbers too, but nobody meant them.
        if not isinstance(numbers, list) or not all(type(number) in (int, float) for number in numbers):
            raise TypeError("not every entry is a number")
        values = tuple(float(number) for number in numbers)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise BadAsk(
            f"{name} is not a vector ({error}). Give a JSON array of numbers, or Neuronpedia's object with a field vector."
        ) from error
    if isinstance(value, dict) and "layerNumber" in value:
        hook = str(value.get("hookType", "resid-post"))
        site = Site.parse(f"{value['layerNumber']}.{_HOOK_TYPES.get(hook, hook)}")
    if site is None:
        raise BadAsk(f"{name} does not say where it belongs: choose a site.")
    return NamedVector(name, site, values)
