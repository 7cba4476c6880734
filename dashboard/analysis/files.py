"""Files that other processes may be reading or making at the same moment."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_folder(target: Path, is_complete: Callable[[], bool], build: Callable[[Path], None]) -> Path:
    """`target`, built if it is not complete: in a scratch folder beside it, renamed into place when done.

    One process builds while others wait. `build(folder)` gets a folder that does not exist yet; when it raises or the
    process dies, `target` is as before and the next call starts again.
    """
    if is_complete():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not is_complete():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as scratch:
                made = Path(scratch) / target.name
                build(made)
                shutil.rmtree(target, ignore_errors=True)
                made.rename(target)
    return target
