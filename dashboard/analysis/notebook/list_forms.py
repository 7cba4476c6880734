"""Lists of latents as text that other installations and Neuronpedia read: our own JSON, theirs, and a link.

Neuronpedia's forms are those of its public interface: a list (`POST /api/list/new-with-features`), a quick list (the query of
`/quick-list/`), and feature records, one a line (bulk files, or one `POST /api/feature/upload-batch`). What a form has no place
for is left out: a quick list keeps the name and the latents, feature records the latents and the notes.
"""

import base64
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from dashboard.analysis.errors import AnalysisError, BadAsk, BadName
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.neuronpedia import Source, find_latent, sources
from dashboard.analysis.notebook.notebook import MAX_ENTRIES, MAX_NAME, LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog

MAX_BYTES = 64_000_000
"""Of a file that is read, unpacked: their records carry histograms and examples."""
MAX_LINK = 6000
"""Characters of a list in a link; servers refuse much longer addresses."""
MAX_QUICK = 150
"""Latents that Neuronpedia takes in a quick list."""
_SCHEMA = "latents-list/1"
_LINK = "1"
"""First character of a list in a link: how the rest is packed."""


class Form(StrEnum):
    """How a list can be written."""

    OURS = "ours"
    """Everything, under our names."""
    LIST = "neuronpedia list"
    """Everything, under theirs."""
    QUICK = "neuronpedia quick list"
    """A link, without its host; name and latents."""
    FEATURES = "neuronpedia features"
    """A line a latent, with its note as an explanation."""


@dataclass(frozen=True)
class Exported:
    """A list as text."""

    text: str
    left_out: tuple[LatentId, ...]
    """Latents that have no name in this form, because their SAE is not installed here."""


@dataclass(frozen=True)
class Imported:
    """A list from text."""

    latents: LatentList
    notices: tuple[str, ...]
    """What was left out, and why; one sentence each."""


def export_list(latents: LatentList, form: Form, catalog: Catalog) -> Exported:
    """Write a list."""
    if form is Form.OURS:
        return Exported(json.dumps(_plain(latents), indent=1, ensure_ascii=False) + "\n", ())
    ids = sources(catalog)
    known = [entry for entry in latents.entries if entry.latent.sae in ids]
    left_out = tuple(entry.latent for entry in latents.entries if entry.latent.sae not in ids)

    def record(entry: ListEntry) -> dict[str, Any]:
        source = ids[entry.latent.sae]
        return {"modelId": source.model_id, "layer": source.layer, "index": str(entry.latent.index)}

    if form is Form.LIST:
        features = [{**record(entry), "description": entry.note} for entry in known]
        whole = {"name": latents.name, "description": latents.description, "testText": latents.test_text, "features": features}
        return Exported(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", left_out)
    if form is Form.QUICK:
        left_out += tuple(entry.latent for entry in known[MAX_QUICK:])
        features = [record(entry) for entry in known[:MAX_QUICK]]
        query = urlencode({"name": latents.name, "features": json.dumps(features, separators=(",", ":"))}, quote_via=quote)
        return Exported(f"/quick-list/?{query}", left_out)
    lines = [{**record(entry), "explanations": [{"description": entry.note}] if entry.note else []} for entry in known]
    return Exported("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), left_out)


def import_list(content: bytes, name: str, catalog: Catalog) -> Imported:
    """Read a list in any of the forms, gzipped or not; `name` is for a form that has none.

    Latents that are not installed here are left out, each with a notice.

    Raises:
        BadAsk: if it is none of the forms, or has no latent that is installed.
    """
    text = _unpacked(content)
    try:
        found = _read(text.strip().removeprefix("\ufeff"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""  # the others speak of Python, not of the file
        raise BadAsk(
            f"{name[:MAX_NAME]} is not a list of latents{why}. Give a list exported here, or Neuronpedia's list, quick-list link, "
            "or feature records (JSON or JSON lines)."
        ) from error
    entries, notices = _installed(found.entries, catalog)
    if found.entries and not entries:
        raise BadAsk(" ".join([f"{name[:MAX_NAME]} contains no latent of an installed SAE.", *notices[:3]]))
    title = " ".join((found.name or name).split())[:MAX_NAME].strip() or "Imported"
    return Imported(LatentList(title, found.description, found.test_text, entries), notices)


def pack_link(latents: LatentList) -> str | None:
    """A list as the value of `?list=`; None if it is longer than MAX_LINK."""
    plain = json.dumps(_plain(latents), separators=(",", ":"), ensure_ascii=False)
    packed = _LINK + base64.urlsafe_b64encode(zlib.compress(plain.encode(), 9)).decode().rstrip("=")
    return packed if len(packed) <= MAX_LINK else None


def without_notes(latents: LatentList) -> LatentList:
    """The same latents with nothing said of them: the shortest form."""
    return replace(latents, description="", entries=tuple(ListEntry(entry.latent) for entry in latents.entries))


def unpack_link(text: str, catalog: Catalog) -> Imported:
    """The list of a link.

    Raises:
        BadAsk: if it is none.
    """
    try:
        if not text.startswith(_LINK) or len(text) > MAX_LINK:
            raise ValueError(f"it has {len(text):,} characters and begins with {text[:1]!r}")
        packed = base64.urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4))
        plain = zlib.decompressobj().decompress(packed, MAX_BYTES // 64)
    except (ValueError, zlib.error) as error:
        raise BadAsk(
            f"This link's list cannot be read: {error}. It may have been truncated: copy all of it, or ask for the exported file."
        ) from error
    return import_list(plain, "the list of this link", catalog)


@dataclass(frozen=True)
class _Entry:
    """A latent as a file names it, before anybody knows whether it is here."""

    name: str
    """For a notice."""
    find: Callable[[Mapping[Source, SaeId]], LatentId | None]
    note: str


@dataclass(frozen=True)
class _Found:
    """What a file says."""

    entries: list[_Entry]
    name: str = ""
    description: str = ""
    test_text: str = ""


def _plain(latents: LatentList) -> dict[str, Any]:
    entries = [{"latent": str(entry.latent), **({"note": entry.note} if entry.note else {})} for entry in latents.entries]
    return {
        "schema": _SCHEMA,
        "name": latents.name,
        "description": latents.description,
        "test_text": latents.test_text,
        "latents": entries,
    }


def _unpacked(content: bytes) -> str:
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise BadAsk(f"This file has more than {MAX_BYTES:,} bytes, which is the limit. Split it.")
        return content.decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        raise BadAsk(f"This file cannot be unpacked: {error}. Copy it again.") from error


def _read(text: str) -> _Found:
    """Tell the forms apart and read one.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: if it is none of them.
    """
    if re.match(r"[^\s\[{]*/quick-list", text):
        query = parse_qs(urlsplit(text).query)
        return _Found([_their(record) for record in json.loads(query["features"][-1])], query.get("name", [""])[-1])
    try:
        value = json.loads(text)
    except ValueError:
        value = [json.loads(line) for line in text.split("\n") if line.strip()]
        if not value:
            raise
    if isinstance(value, list):
        return _Found([entry for record in value for entry in _records(record)])
    if "latents" in value:
        entries = [_ours(record) for record in value["latents"]]
        return _Found(entries, _text(value, "name"), _text(value, "description"), _text(value, "test_text"))
    entries = list(_records(value))
    if "features" not in value:
        return _Found(entries)
    return _Found(entries, _text(value, "name"), _text(value, "description"), _text(value, "testText"))


def _records(value: dict[str, Any]) -> Iterator[_Entry]:
    """The latents of one object: a record of its own, or some that share a model and a source."""
    if "features" not in value:
        yield _their(value)
        return
    shared: dict[str, Any] = {}
    if "modelId" in value or "model_id" in value:
        shared = {"modelId": value.get("modelId") or value["model_id"], "layer": value.get("source", value.get("layer"))}
        if "sae_set" in value:
            suffix = f"__{value['sae_id_suffix']}" if value.get("sae_id_suffix") else ""
            shared["layer"] = f"{value['layer']}-{value['sae_set']}{suffix}"
    for record in value["features"]:
        yield _their({**shared, **record})


def _their(record: dict[str, Any]) -> _Entry:
    """A latent under Neuronpedia's names: `layer` may be called `source`, the index a string, a number or `feature_index`."""
    model_id, layer = str(record["modelId"]), str(record.get("layer", record.get("source", "")))
    index = str(record["feature_index"] if "feature_index" in record else record["index"])
    if not (index.isascii() and index.isdigit() and len(index) <= 9):
        raise ValueError(f"the index {index[:40]!r} is not a whole number")
    said = [_text(record, "description")] if record.get("description") else []
    said += [_text(one, "description") or _text(one, "text") for one in record.get("explanations") or []]
    note = "\n".join(dict.fromkeys(one.strip() for one in said if one.strip()))
    return _Entry(f"{model_id}@{layer}:{index}", lambda known: find_latent(known, model_id, layer, int(index)), note)


def _ours(record: dict[str, Any]) -> _Entry:
    name = str(record["latent"])

    def find(known: Mapping[Source, SaeId]) -> LatentId | None:
        return LatentId.parse(name)

    return _Entry(name, find, _text(record, "note"))


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return "" if value is None else str(value)


def _installed(found: list[_Entry], catalog: Catalog) -> tuple[tuple[ListEntry, ...], tuple[str, ...]]:
    """The entries whose latents are here, each once, and a notice for each of the others."""
    by_source = {source: sae for sae, source in sources(catalog).items()}
    kept: dict[LatentId, ListEntry] = {}
    notices: list[str] = []
    too_many = 0
    for entry in found:
        try:
            latent = entry.find(by_source)
            if latent is None:
                raise BadName("a latent that is installed here", entry.name, "the id of an SAE of `latents sae list`")
            catalog.latent(latent)
        except AnalysisError as error:
            notices.append(f"{entry.name[:120]} was left out: {error}")
            continue
        if latent in kept:
            notices.append(f"{entry.name[:120]} was there twice; the first is kept.")
        elif len(kept) == MAX_ENTRIES:
            too_many += 1
        else:
            kept[latent] = ListEntry(latent, entry.note)
    if too_many:
        notices.append(f"{too_many:,} more were left out: a list holds {MAX_ENTRIES:,} latents.")
    return tuple(kept.values()), tuple(notices)
