"""Building a type from a SPARQL service: a stand-in on loopback that pages, is busy, breaks off and is counted."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dashboard.analysis.entities import wikidata
from dashboard.analysis.entities.kinds import find_kinds, read_kind
from dashboard.analysis.entities.tables import read_table
from dashboard.analysis.entities.wikidata import Service, ask, build_type, clean, read_service, retry_after
from dashboard.analysis.errors import BadAsk, ServiceUnavailable
from dashboard.analysis.settings import Settings
from tests.analysis.entities.making import TOWN, kind_in

QUERY = TOWN + '\n[wikidata]\nquery = "SELECT everything LIMIT {limit} OFFSET {offset}"\n'
N_ROWS = 25


def row(i: int) -> dict[str, str]:
    """Row `i` of the stand-in: rows 3 and 13 share a name, 7 lacks a country, 9 has a number for a name."""
    name = {13: "Town 3", 9: "Q99"}.get(i, f"Town {i}")
    country = {} if i == 7 else {"country": f"Land {i % 4}; Realm {i % 4}"}
    rest = {"population": str(1000 + i), "place": f"Point({i}.5 -{i}.25)", "side": "north"}
    return {"item": f"Q{i}", "itemLabel": name, **country, **rest}


@dataclass
class StandIn:
    """What the stand-in was asked, and how it will misbehave."""

    address: str = ""
    offsets: list[int] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    misbehave: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    """Answers to give first: status, headers, body."""


@pytest.fixture
def service() -> Iterator[StandIn]:
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            *_, limit, _, offset = body["query"][0].split()
            state.agents.append(self.headers["User-Agent"])
            if state.misbehave:
                status, headers, answer = state.misbehave.pop(0)
            else:
                state.offsets.append(int(offset))
                rows = [row(i) for i in range(int(offset), min(int(offset) + int(limit), N_ROWS))]
                bindings = [{k: {"type": "literal", "value": v} for k, v in one.items()} for one in rows]
                status, headers, answer = 200, {}, json.dumps({"results": {"bindings": bindings}}).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}/sparql"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Pauses that were made, none of them slept; pages are of 10 rows."""
    made: list[float] = []
    short = tmp_path_factory.mktemp("service") / "wikidata.toml"
    short.write_text(wikidata.SERVICE.read_text().replace("page = 500", "page = 10"))
    monkeypatch.setattr(wikidata.time, "sleep", made.append)
    monkeypatch.setattr(wikidata, "read_service", lambda settings: read_service(settings, short))
    return made


def settings_of(service: StandIn, folder: Path, contact: str = "someone@example.org") -> Settings:
    return Settings(cache=folder / "cache", wikidata=service.address, contact=contact)


def test_a_type_is_built_page_by_page_cleaned_and_usable(service: StandIn, pauses: list[float], tmp_path: Path) -> None:
    kind = kind_in(tmp_path, QUERY)
    built = build_type(kind, 100, tmp_path / "own", "places", settings_of(service, tmp_path))
    assert service.offsets == [0, 10, 20, 30] and pauses == [2.0, 2.0, 2.0]
    assert set(service.agents) == {"latents-dashboard/0.1 (someone@example.org)"}
    assert (built.n_rows, built.n_kept, built.n_repeated, built.n_missing, built.n_unnamed) == (25, 21, 2, 1, 1)
    places = find_kinds(Settings(entity_folders=(tmp_path / "own",))).get("places")
    table = read_table(places)
    assert len(table) == 21 and places.word == "town"
    assert table.entities[1].answers == {
        "country": ("Land 1", "Realm 1"),
        "population": ("1001",),
        "place": ("Point(1.5 -1.25)",),
        "side": ("north",),
    }


def test_pages_that_came_are_not_asked_for_again(service: StandIn, pauses: list[float], tmp_path: Path) -> None:
    kind, settings = kind_in(tmp_path, QUERY), settings_of(service, tmp_path)
    straight = build_type(kind, 100, tmp_path / "a", "places", settings)
    service.offsets.clear()
    again = build_type(kind, 100, tmp_path / "b", "places", settings)
    assert service.offsets == [] and (again.n_asked, again.n_cached) == (0, 4)
    assert again.file.read_bytes() == straight.file.read_bytes()
    half = next((settings.cache / "wikidata" / "town").glob("*.json"))
    half.write_text(half.read_text()[:-20])
    mended = build_type(kind, 100, tmp_path / "c", "places", settings)
    assert len(service.offsets) == 1 and mended.file.read_bytes() == straight.file.read_bytes()


def test_a_run_that_broke_off_goes_on_to_the_same_table(service: StandIn, pauses: list[float], tmp_path: Path) -> None:
    kind, settings = kind_in(tmp_path, QUERY), settings_of(service, tmp_path)
    build_type(kind, 10, tmp_path / "first", "places", settings)
    service.misbehave = [(503, {}, b"")] * 5
    with pytest.raises(ServiceUnavailable, match=r"did not answer in 5 tries; the last: status 503\. The pages that came are kept"):
        build_type(kind, 100, tmp_path / "own", "places", settings)
    assert not (tmp_path / "own").exists() and service.offsets == [0]
    built = build_type(kind, 100, tmp_path / "own", "places", settings)
    assert service.offsets == [0, 10, 20, 30] and (built.n_asked, built.n_cached, built.n_kept) == (3, 1, 21)


def test_a_busy_service_is_waited_for_as_long_as_it_says(service: StandIn, pauses: list[float], tmp_path: Path) -> None:
    service.misbehave = [(429, {"Retry-After": "17"}, b""), (503, {}, b""), (200, {}, b'{"results": {"bindi')]
    build_type(kind_in(tmp_path, QUERY), 10, tmp_path / "own", "places", settings_of(service, tmp_path))
    assert pauses == [17.0, 8.0, 16.0] and service.offsets == [0]


def test_a_service_that_asks_for_hours_or_refuses_is_left_alone(service: StandIn, pauses: list[float], tmp_path: Path) -> None:
    kind, settings = kind_in(tmp_path, QUERY), settings_of(service, tmp_path)
    service.misbehave = [(429, {"Retry-After": "7200"}, b"")]
    with pytest.raises(ServiceUnavailable, match="asks for a pause of 7,200 s"):
        build_type(kind, 10, tmp_path / "own", "places", settings)
    service.misbehave = [(400, {}, b"no such prefix")]
    with pytest.raises(BadAsk, match="refuses the query with status 400: no such prefix"):
        build_type(kind, 10, tmp_path / "own", "places", settings)
    assert pauses == [] and service.offsets == []


def test_nobody_is_asked_without_a_contact_a_query_or_an_address(service: StandIn, tmp_path: Path) -> None:
    with pytest.raises(BadAsk, match="LATENTS_CONTACT"):
        build_type(kind_in(tmp_path, QUERY), 10, tmp_path, "places", settings_of(service, tmp_path, contact=" "))
    with pytest.raises(BadAsk, match=r"town\.toml has no query"):
        build_type(kind_in(tmp_path), 10, tmp_path, "places", settings_of(service, tmp_path))
    with pytest.raises(BadAsk, match="LATENTS_WIKIDATA='file:x'"):
        read_service(Settings(wikidata="file:x"))
    assert service.agents == []


def test_a_service_that_is_not_there_is_one_message(pauses: list[float]) -> None:
    nowhere = Service("http://127.0.0.1:9/sparql", 10, 1.0, 5.0, 3, 60.0)
    with pytest.raises(ServiceUnavailable, match="did not answer in 3 tries"):
        ask(nowhere, "SELECT 1", "me")
    assert pauses == [2.0, 4.0]


def test_retry_after_is_read_as_seconds_or_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after("30", 1.0) == 30.0 and retry_after(None, 1.0) == 1.0 and retry_after("soon", 1.0) == 1.0
    assert retry_after(format_datetime(then, usegmt=True), 1.0) == pytest.approx(90, abs=5)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1.0) == 0.0


def test_the_queries_that_ship_page_and_give_every_attribute() -> None:
    kinds = [kind for kind in find_kinds(Settings()).kinds.values() if kind.query]
    assert [kind.name for kind in kinds] == ["city", "country", "movie", "player", "song"]
    for kind in kinds:
        head = kind.query.split("WITH")[0].split()
        assert head == ["SELECT", "?item", "?itemLabel", *(f"?{one.name}" for one in kind.attributes)]
        assert kind.query.count("{limit}") == kind.query.count("{offset}") == 1
        assert kind.query.count("{") == kind.query.count("}") and kind.query.count("(") == kind.query.count(")")
        assert read_kind(kind.file) == kind


RAW = Path(__file__).resolve().parents[4] / "shared" / "data" / "wikidata"
COLUMNS = {
    "player": {"humanLabel": "itemLabel", "placebirthLabel": "birthplace", "datebirthyearLabel": "birth_year", "teamslist": "teams"},
    "city": {
        "cityLabel": "itemLabel",
        "countryLabel": "country",
        "recent_population": "population",
        "loc": "location",
        "above_sea_meters": "elevation",
    },
    "song": {
        "songLabel": "itemLabel",
        "performers": "performer",
        "albumLabel": "album",
        "publicationYear": "publication_year",
        "genres": "genre",
    },
    "movie": {
        "filmLabel": "itemLabel",
        "directors": "director",
        "cast_list": "cast",
        "release_year": "release_year",
        "screenwriters": "screenwriter",
        "genres": "genre",
        "durations": "duration",
    },
}


@pytest.mark.skipif(not RAW.is_dir(), reason="the raw rows of Wikidata are not on this machine")
@pytest.mark.parametrize(
    ("name", "n_kept", "n_unnamed"), [("player", 7487, 0), ("city", 7903, 1), ("song", 8344, 104), ("movie", 10895, 0)]
)
def test_the_raw_rows_of_the_paper_give_its_numbers_of_entities(name: str, n_kept: int, n_unnamed: int, tmp_path: Path) -> None:
    """7,487 players, 7,904 cities, 8,448 songs, 10,895 movies; of the cities 1 and of the songs 104 are numbers of Wikidata."""
    files = sorted((RAW / "movie").glob("*.json")) if name == "movie" else [RAW / f"{name}.json"]
    raw = [one for file in files for one in json.loads(file.read_text("utf-8"))]
    lists = {"teams", "genre", "performer", "director", "cast", "screenwriter", "duration"}
    rows = [{to: one.get(old, "").replace(", ", ";" if to in lists else ", ") for old, to in COLUMNS[name].items()} for one in raw]
    kind = find_kinds(Settings()).get(name)
    cleaned = clean(rows, [attribute.name for attribute in kind.attributes])
    assert len(cleaned.rows) == n_kept and cleaned.n_unnamed >= n_unnamed
    file = wikidata._write(kind, cleaned, tmp_path, f"{name}-raw")
    table = read_table(read_kind(file.with_suffix(".toml")))
    assert len(table) == n_kept and not table.left_out
    assert all(len(entity.answers) == len(kind.attributes) for entity in table.entities)
