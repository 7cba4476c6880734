"""Where the dashboard listens, and by which names it may be reached: arguments of `streamlit run`.

Streamlit accepts a page's websocket only for host names that it was told, so that no other site can speak to it from a
visitor's browser. Behind a proxy these are the names that people type.
"""

import re
from collections.abc import Sequence

from dashboard.analysis.errors import BadAsk

LOOPBACK = ("localhost", "127.0.0.1")


def streamlit_flags(
    port: int, host: str = LOOPBACK[1], base_path: str = "", public_hosts: Sequence[str] = (), compress: bool = False
) -> list[str]:
    """Arguments for a server on `host`:`port`, under `/base_path`, that answers to `public_hosts` too.

    Raises:
        BadAsk: if a path or a name is none.
    """
    path = base_path.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*|", path):
        raise BadAsk(
            f"{base_path[:80]!r} is not a valid URL path. Use letters, digits, - and _ between slashes, for example latents or lab/latents."
        )
    flags = ["--server.port", str(port), "--server.address", host]
    if path:
        flags += ["--server.baseUrlPath", path]
    for name in public_hosts:
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", name):
            raise BadAsk(f"{name[:80]!r} is not a host name. Write it without scheme, port and path, for example latents.example.org.")
    for name in dict.fromkeys((*LOOPBACK, *public_hosts)):
        flags += ["--server.allowedHosts", name]
    if compress:
        flags += ["--server.enableWebsocketCompression", "true"]
    return flags


def address(port: int, host: str = LOOPBACK[1], base_path: str = "") -> str:
    """Where a browser on this machine finds it."""
    path = base_path.strip("/")
    return f"http://{LOOPBACK[1] if host in ('0.0.0.0', '::') else host}:{port}{'/' if path else ''}{path}"
