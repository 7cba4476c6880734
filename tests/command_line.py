"""The `latents` command in this process: what it says, and how it ends."""

import contextlib
import io
import json
import sys
from typing import Any, NamedTuple

import pytest

from dashboard.cli import main


class Done(NamedTuple):
    """What a command did."""

    status: int
    stdout: str
    stderr: str


def latents(*arguments: str) -> Done:
    """Run a command."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["latents", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.argv = before
    return Done(int(left.value.code or 0), out.getvalue(), err.getvalue())


def answer(*arguments: str) -> Any:
    """What a command says with --json; it must succeed."""
    done = latents(*arguments, "--json")
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)
