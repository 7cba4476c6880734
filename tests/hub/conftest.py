"""A stand-in for the Hugging Face hub on loopback: it serves a folder, and can be gated, broken off or away."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as constants
import pytest

SHA = "0" * 39 + "1"


@dataclass
class Hub:
    """What it serves, and how it behaves."""

    root: Path
    gated: dict[str, int] = field(default_factory=dict)
    """Repositories that are refused, with the status."""
    cut_at: int | None = None
    """Bytes after which the next download breaks off, once."""
    asked: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    """Seconds that its client would have waited before it tried again."""
    away: bool = False
    server: Any = None

    def folder(self, repo: str) -> Path:
        """Where a repository's files lie; made now."""
        folder = self.root / repo
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def stop(self) -> None:
        """The hub is away from now on."""
        if not self.away:
            self.away = True
            self.server.shutdown()
            self.server.server_close()


class _Impatient:
    """The module `time`, which writes down waits instead of waiting."""

    def __init__(self, waited: list[float]) -> None:
        self._waited = waited

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        self._waited.append(seconds)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            hub.asked.append(format % args)

        def _json(self, status: int, value: object, **headers: str) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            if hub.away:  # a connection that was kept open
                self.close_connection = True
                return None
            path = self.path.split("?")[0]
            listing = re.match(r"^/api/models/([^/]+/[^/]+)(?:/(revision|tree)/[^/]+)?(/.*)?$", path)
            file = re.match(r"^/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$", path)
            repo = (listing or file or [None, ""])[1]
            folder = hub.root / repo
            if repo in hub.gated:
                return self._json(hub.gated[repo], {"error": "Access to this model is restricted"}, X_Error_Code="GatedRepo")
            if not repo or not folder.is_dir():
                return self._json(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            if listing:
                files = sorted(one for one in folder.rglob("*") if one.is_file())
                if listing[2] == "tree":
                    rows = [{"type": "file", "path": str(f.relative_to(folder)), "size": f.stat().st_size, "oid": SHA} for f in files]
                    return self._json(200, rows)
                siblings = [{"rfilename": str(f.relative_to(folder)), "size": f.stat().st_size} for f in files]
                return self._json(200, {"id": repo, "modelId": repo, "sha": SHA, "private": False, "tags": [], "siblings": siblings})
            assert file is not None
            wanted = folder / file[3]
            if not wanted.is_file():
                return self._json(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=SHA)
            return self._send(wanted)

        def _send(self, wanted: Path) -> None:
            data = wanted.read_bytes()
            begin, end, status = 0, len(data) - 1, 200
            if asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                begin, end, status = int(asked[1]), min(int(asked[2] or end), end), 206
            self.send_response(status)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - begin + 1))
            if status == 206:
                self.send_header("Content-Range", f"bytes {begin}-{end}/{len(data)}")
            self.end_headers()
            if self.command == "GET":
                body = data[begin : end + 1]
                if hub.cut_at is not None and len(body) > hub.cut_at:
                    body = body[: hub.cut_at]
                    self.close_connection = True
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

    return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    hub.root.mkdir()
    hub.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{hub.server.server_address[1]}"
    # huggingface_hub reads these when it is called; the environment it reads once.
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    # On a machine that is busy with other things the stand-in may take its time; what is away refuses at once.
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 60)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 60)
    monkeypatch.setattr("dashboard.analysis.system.hub._PATIENCE", 60.0)
    # Its client waits longer and longer between tries; nothing changes on loopback meanwhile.
    monkeypatch.setattr("huggingface_hub.utils._http.time", _Impatient(hub.waited))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield hub
    hub.stop()
    thread.join(5)
