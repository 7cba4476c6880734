"""A Streamlit server in a process of its own, for as long as tests need it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTS_IN_S = 240


@contextmanager
def served(*command: str, port_option: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of `python -m COMMAND`, once it answers on a free port; its log is in `folder`.

    Raises:
        RuntimeError: if it ends, or does not answer in STARTS_IN_S seconds; with its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    whole = [sys.executable, "-m", *command, port_option, str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(whole, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
        deadline = time.monotonic() + STARTS_IN_S
        try:
            while not _answers(url):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read() == b"ok"
    except OSError:
        return False
