"""How the dashboard is reached, and the files with which it is put on a server."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.cli.serving import address, streamlit_flags

DEPLOY = Path(__file__).parents[2] / "assets" / "deploy"


def option(flags: list[str], name: str) -> list[str]:
    return [value for flag, value in zip(flags[::2], flags[1::2], strict=True) if flag == f"--server.{name}"]


def test_by_default_only_this_machine_is_served_and_answered() -> None:
    flags = streamlit_flags(8501)
    assert option(flags, "address") == ["127.0.0.1"] and option(flags, "port") == ["8501"]
    assert option(flags, "allowedHosts") == ["localhost", "127.0.0.1"] and not option(flags, "baseUrlPath")


def test_a_proxys_name_and_path_are_let_through_and_nothing_that_is_none() -> None:
    flags = streamlit_flags(8501, "0.0.0.0", "/lab/latents/", ["latents.example.org", "localhost"], compress=True)
    assert option(flags, "allowedHosts") == ["localhost", "127.0.0.1", "latents.example.org"]
    assert option(flags, "baseUrlPath") == ["lab/latents"] and option(flags, "enableWebsocketCompression") == ["true"]
    assert address(8501, "0.0.0.0", "lab/latents/") == "http://127.0.0.1:8501/lab/latents"
    for path in ("a b", "../x y", "?x", "a//b"):
        with pytest.raises(BadAsk, match="valid URL path"):
            streamlit_flags(8501, base_path=path)
    for name in ("https://x.org", "x.org:80", "*", "a b", ""):
        with pytest.raises(BadAsk, match="host name"):
            streamlit_flags(8501, public_hosts=[name])


def run(*command: object, **env: str) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, env=env or None)
    assert done.returncode == 0, done.stdout + done.stderr


def need(tool: str) -> str:
    found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def test_the_dockerfile_passes_hadolint() -> None:
    run(need("hadolint"), DEPLOY / "Dockerfile")


def test_the_unit_passes_systemds_own_check(tmp_path: Path) -> None:
    unit = (DEPLOY / "latents.service").read_text()
    # What it starts is not installed here; everything else is as it ships.
    unit = unit.replace("/opt/latents/.venv/bin/latents run", "/bin/true").replace("WorkingDirectory=/opt/latents", "WorkingDirectory=/")
    (tmp_path / "latents.service").write_text(unit)
    run(need("systemd-analyze"), "verify", "--man=no", tmp_path / "latents.service")


def test_the_site_passes_nginxs_own_check(tmp_path: Path) -> None:
    nginx, openssl = need("nginx"), need("openssl")
    key, certificate, site = (tmp_path / name for name in ("key.pem", "certificate.pem", "site.conf"))
    run(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=latents.example.org")
    text = (DEPLOY / "nginx.conf").read_text()
    site.write_text(text.replace("/etc/ssl/latents/fullchain.pem", str(certificate)).replace("/etc/ssl/latents/privkey.pem", str(key)))
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; include {site}; }}")
    run(nginx, "-t", "-c", whole)


def test_the_caddyfile_passes_caddys_own_check(tmp_path: Path) -> None:
    hashed = "$2a$14$5Dk/QYVO7ONpvPOlmxOP3uOCFhhHPI4QMzHSP2CxYmIZ6LY6UEPlK"
    env = {"LATENTS_USER": "ann", "LATENTS_PASSWORD_HASH": hashed, "HOME": str(tmp_path)}
    run(need("caddy"), "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile", **env)
