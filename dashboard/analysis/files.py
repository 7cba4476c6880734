"""Files that other processes may be reading or making at the same moment."""

import hashlib
import json
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


_LONGEST_HEADER = 100 << 20
"""Bytes; the limit of safetensors itself."""


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, by name. Reads the header only, and believes none of its claims.

    Raises:
        ValueError: if the header is damaged, or claims more bytes than the file has.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_LONGEST_HEADER, size - 8):
            raise ValueError(f"{path.name} is {size:,} bytes, its header claims {length:,}")
        try:
            header = json.loads(file.read(length))
            tensors = {name: value for name, value in header.items() if name != "__metadata__"}
            claimed = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
            shapes = {name: tuple(int(n) for n in value["shape"]) for name, value in tensors.items()}
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} has no readable safetensors header ({type(error).__name__})") from error
    if claimed != size - 8 - length:
        raise ValueError(f"{path.name} claims {claimed:,} bytes of weights, it has {size - 8 - length:,}")
    if not is_whole_safetensors(path):
        raise ValueError(f"{path.name} is not what its safetensors header says")
    return shapes


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
