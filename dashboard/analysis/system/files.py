"""Files that other processes may be reading or making at the same moment."""

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from dashboard.analysis.errors import CacheUnwritable


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_LONGEST_JSON = 32 << 20
"""Bytes; configurations, records and indices of weights are far shorter."""


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file from an untrusted source.

    Raises:
        ValueError: if it is not a file, too long, not JSON, nested too deeply, or not an object.
    """
    try:
        # A pipe or a device would never end.
        if path.exists() and not path.is_file():
            raise ValueError(f"{path.name} is not a regular file")
        if (size := path.stat().st_size) > _LONGEST_JSON:
            raise ValueError(f"{path.name} is {size:,} bytes, which no such file needs; the limit is {_LONGEST_JSON:,}")
        value = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply to be read") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON ({error})") from error
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror or error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not an object")
    return value


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
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a regular file")
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
                for left in target.parent.glob(f"{glob.escape(prefix)}*"):
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as scratch:
                    made = Path(scratch) / target.name
                    build(made)
                    shutil.rmtree(target, ignore_errors=True)
                    made.rename(target)
    except OSError as error:
        raise CacheUnwritable(target.parent, error) from error
    return target
