"""Pages without a browser, on the tiny model."""

import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.settings import Settings
from dashboard.ui.shell import resources

Open = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def one_scan_of_packages() -> Iterator[None]:
    """Every new session of a page looks through all installed packages for components; once is enough."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda *_, **__: [*found])
        yield


@pytest.fixture
def open_page(runner: LocalRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    engine = Engine(lambda: runner)
    st.cache_resource.clear()
    monkeypatch.setattr(resources, "open_engine", lambda settings, say, catalog: engine)
    monkeypatch.setattr(resources, "read_catalog", lambda settings: runner.catalog)
    kept = Settings(cache=tmp_path, device="cpu", dtype="float32", max_tokens=256, model="tests/tiny")
    monkeypatch.setattr(resources, "get_settings", lambda: kept)

    def open_page(page: str = "app.py", **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(f"../../dashboard/{page}", default_timeout=30)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    yield open_page
    engine.close()
    st.cache_resource.clear()


class _Session(MutableMapping[str, Any]):
    """The session of a page as callbacks see it."""

    def __init__(self, app: AppTest) -> None:
        self._state = app.session_state

    def __getitem__(self, key: str) -> Any:
        return self._state[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._state[key] = value

    def __delitem__(self, key: str) -> None:
        del self._state[key]

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


@contextmanager
def in_session(app: AppTest) -> Iterator[None]:
    """Call what a component calls back: without a browser none is called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "session_state", _Session(app))
        yield


def drawn(app: AppTest, component: str) -> dict[str, Any] | None:
    """The data that a component of ours was given."""
    for element in app.get("bidi_component"):
        if element.proto.component_name.endswith(component):
            return json.loads(element.proto.json)
    return None


def told(app: AppTest) -> str:
    """Every message on the page."""
    return " ".join(element.value for kind in (app.error, app.warning, app.info) for element in kind).replace("\\", "")
