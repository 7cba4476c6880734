"""Files that other processes may be reading or making at the same moment."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from dashboard.analysis.errors import CacheUnwritable


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole_safetensors(path: Path) -> bool:
    """True if the file is there and as long as its header says. Reads the header only."""
    try:
        with safe_open(path, framework="np"):
            return True
    except (OSError, SafetensorError):
        return False


def build_folder(target: Path, is_complete: Callable[[], bool], build: Callable[[Path], None]) -> Path:
    """`target`, built if it is not complete: in a scratch folder beside it, renamed into place when done.

    One process builds while others wait. `build(folder)` gets a folder that does not exist yet; when it raises or the
    process dies, `target` is as before and the next call starts again, and clears away what was left.

    Raises:
        CacheUnwritable: if the place cannot be written.
    """
    if is_complete():
        return target
    prefix = f"building-{target.name}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not is_complete():
                for left in target.parent.glob(f"{prefix}*"):
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as scratch:
                    made = Path(scratch) / target.name
                    build(made)
                    shutil.rmtree(target, ignore_errors=True)
                    made.rename(target)
    except OSError as error:
        raise CacheUnwritable(target.parent, error) from error
    return target
