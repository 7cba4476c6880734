"""Entities from the SPARQL service of Wikidata.

Steps: the type's query is asked page by page (`{limit}`, `{offset}`), with a pause between pages; each page is kept on disk
under the hash of what was asked, so that a second run asks only for pages that are missing; a service that is busy
(429, 500, 502, 503, 504) is asked again after the time it names, else after ever longer pauses; then rows are cleaned and
written as a table with a copy of the type's TOML file beside it.

A query gives `?item`, `?itemLabel` and a variable of the name of each attribute; several right answers are one text,
separated by ";". It must be ordered, so that pages neither overlap nor leave gaps.

Source of the cleaning: the entity lists of Ferrando et al. 2024, arXiv:2411.14257: names that occur once, no attribute
missing. Differs from it: names that are mere numbers of Wikidata are dropped.
"""

import email.utils
import hashlib
import json
import re
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.analysis.entities.kinds import EntityKind, read_kind
from dashboard.analysis.entities.tables import read_entities, split_cell, write_rows
from dashboard.analysis.errors import BadAsk, BrokenEntityFile, ServiceUnavailable
from dashboard.analysis.settings import ASSETS, Settings

SERVICE = ASSETS / "wikidata.toml"
"""Address of the service, and how it wants to be asked."""
_UNNAMED = re.compile(r"Q\d+")
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Service:
    """How a service is asked."""

    address: str
    page: int
    """Rows a page."""
    pause_s: float
    """Between pages."""
    timeout_s: float
    tries: int
    """Times that a page is asked for before it is given up."""
    longest_wait_s: float
    """A service that asks for a longer pause is left alone."""


@dataclass(frozen=True)
class Cleaned:
    """Rows fit for a table, and how many were not."""

    rows: tuple[tuple[str, ...], ...]
    """Name, then the attributes in order."""
    n_repeated: int
    n_missing: int
    n_unnamed: int


@dataclass(frozen=True)
class Built:
    """What `build_type` wrote."""

    file: Path
    n_rows: int
    """Rows that the service gave."""
    n_kept: int
    n_repeated: int
    n_missing: int
    n_unnamed: int
    n_asked: int
    """Pages asked for now."""
    n_cached: int
    """Pages that were there already."""


def read_service(settings: Settings, file: Path = SERVICE) -> Service:
    """The service that ships, at the address of LATENTS_WIKIDATA if one is set.

    Raises:
        BrokenEntityFile: if the file cannot be read.
        BadAsk: if the address is none of the web.
    """
    try:
        given = tomllib.loads(file.read_text("utf-8"))
        pause, timeout, longest = (float(given[key]) for key in ("pause_s", "timeout_s", "longest_wait_s"))
        service = Service(settings.wikidata or given["address"], int(given["page"]), pause, timeout, int(given["tries"]), longest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenEntityFile(file, [f"{error!r}: restore the file from the repository"]) from error
    if urllib.parse.urlsplit(service.address).scheme not in ("http", "https"):
        raise BadAsk(f"LATENTS_WIKIDATA={service.address!r} is not a web address: one begins with http or https.")
    return service


def build_type(
    kind: EntityKind, n_rows: int, folder: Path, name: str, settings: Settings, report: Callable[[float, str], None] = lambda _s, _w: None
) -> Built:
    """Ask for `n_rows` rows of a type and write `name`.csv and `name`.toml into a folder. Files of that name are replaced.

    Raises:
        BadAsk: if the type has no query, or no contact address is set.
        ServiceUnavailable: if the service does not answer; the pages that came are kept.
    """
    if not kind.query:
        raise BadAsk(f"{kind.file.name} has no query: add one under [wikidata], with {{limit}} and {{offset}}.")
    service = read_service(settings)
    cache = settings.cache / "wikidata" / kind.name
    rows: list[Mapping[str, str]] = []
    n_asked = n_cached = 0
    for offset in range(0, n_rows, service.page):
        query = kind.query.replace("{limit}", str(service.page)).replace("{offset}", str(offset))
        asked = hashlib.sha256("\0".join((service.address, query)).encode()).hexdigest()
        file = cache / f"{asked[:32]}.json"
        page = _kept(file)
        if page is None:
            if n_asked:
                time.sleep(service.pause_s)
            page = ask(service, query, settings.contact)
            _keep(file, page)
            n_asked += 1
        else:
            n_cached += 1
        rows += page
        report(min(1.0, (offset + service.page) / n_rows), f"{len(rows):,} rows")
        if not page:
            break
    rows = rows[:n_rows]
    cleaned = clean(rows, [attribute.name for attribute in kind.attributes])
    if not cleaned.rows:
        raise ServiceUnavailable(
            f"{service.address} gave {len(rows):,} rows for {kind.name}, 0 of them usable. Check the query of the type."
        )
    file = _write(kind, cleaned, folder, name)
    return Built(file, len(rows), len(cleaned.rows), cleaned.n_repeated, cleaned.n_missing, cleaned.n_unnamed, n_asked, n_cached)


def clean(rows: Iterable[Mapping[str, str]], attributes: Sequence[str]) -> Cleaned:
    """Keep rows whose `itemLabel` occurs once, is a name, and has a text for every attribute."""
    listed = [(" ".join(row.get("itemLabel", "").split()), row) for row in rows]
    often = Counter(name for name, _ in listed)
    kept: list[tuple[str, ...]] = []
    n_repeated = n_missing = n_unnamed = 0
    for name, row in listed:
        if not name or _UNNAMED.fullmatch(name):
            n_unnamed += 1
        elif often[name] > 1:
            n_repeated += 1
        elif all(cells := ["; ".join(split_cell(row.get(attribute, ""))) for attribute in attributes]):
            kept.append((name, *cells))
        else:
            n_missing += 1
    return Cleaned(tuple(kept), n_repeated, n_missing, n_unnamed)


def ask(service: Service, query: str, contact: str) -> list[dict[str, str]]:
    """The rows that answer one query, texts by variable.

    Raises:
        BadAsk: if no contact address is set, or the service finds the query wrong.
        ServiceUnavailable: if it does not answer as it should after `tries` tries.
    """
    if not contact.strip():
        raise BadAsk("The service requires a contact address. Set LATENTS_CONTACT to your email or web address.")
    request = urllib.request.Request(
        service.address,
        data=urllib.parse.urlencode({"query": query, "format": "json"}).encode(),
        headers={"Accept": "application/sparql-results+json", "User-Agent": f"latents-dashboard/0.1 ({contact.strip()})"},
    )
    last = ""
    for i in range(service.tries):
        wait = service.pause_s * 2 ** (i + 1)
        try:
            with urllib.request.urlopen(request, timeout=service.timeout_s) as answer:
                return _bindings(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                last = f"status {error.code}"
                if error.code not in _BUSY:
                    said = error.read(300).decode("utf-8", "replace")
                    raise BadAsk(f"{service.address} refuses the query with {last}: {said}") from error
                wait = retry_after(error.headers.get("Retry-After"), wait)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            last = str(error) or repr(error)
        if wait > service.longest_wait_s:
            raise ServiceUnavailable(f"{service.address} answers {last} and asks for a pause of {wait:,.0f} s. Try again after it.")
        if i + 1 < service.tries:
            time.sleep(wait)
    raise ServiceUnavailable(
        f"{service.address} did not answer in {service.tries} tries; the last: {last}. "
        "The pages that came are kept: run the command again later, or set LATENTS_WIKIDATA to another service."
    )


def retry_after(header: str | None, otherwise: float) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; `otherwise` if it cannot be read."""
    if not header:
        return otherwise
    if header.strip().isdigit():
        return float(header)
    try:
        then = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return otherwise
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _bindings(answer: Any) -> list[dict[str, str]]:
    return [{variable: str(cell["value"]) for variable, cell in row.items()} for row in answer["results"]["bindings"]]


def _kept(file: Path) -> list[dict[str, str]] | None:
    """A page from disk; None if it is not there or not whole."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _keep(file: Path, page: list[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(page, ensure_ascii=False), "utf-8")
    part.replace(file)


def _write(kind: EntityKind, cleaned: Cleaned, folder: Path, name: str) -> Path:
    """The table and its type; both are read once before they stand there."""
    folder.mkdir(parents=True, exist_ok=True)
    table, toml = folder / f"{name}.csv", folder / f"{name}.toml"
    text = write_rows(["name", *(attribute.name for attribute in kind.attributes)], cleaned.rows)
    read_entities(kind, text.encode(), table.name)
    own = kind.file.read_text("utf-8")
    if not re.search(r"^type\s*=", own, re.MULTILINE):
        own = f"type = {json.dumps(kind.word)}\n{own}"
    part = folder / f".{name}.part"
    part.write_text(text, "utf-8")
    part.replace(table)
    toml.write_text(own, "utf-8")
    read_kind(toml)
    return table
