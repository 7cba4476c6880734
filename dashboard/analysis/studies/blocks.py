"""Steps of a study on disk, in blocks, so that an interrupted study resumes where it stopped.

A step is a folder named by everything that its numbers depend on; another study with the same step finds it done. It
consists of blocks that are cut the same way every time and written whole or not at all: as JSON for texts, as `npz` for
arrays. Blocks are what is asked of the model at one time, so a resumed step has the very numbers of a straight one.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.errors import CacheUnwritable, RunMismatch

T = TypeVar("T")
SCHEMA = 1


def step_key(name: str, card: ModelCard, saes: Mapping[str, str], data: Any) -> str:
    """A name for a step: equal for equal data of equal models and dictionaries."""
    depends_on = [SCHEMA, name, str(card.model), card.dtype, dict(saes), data]
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:24]


def in_blocks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Items in their order, `size` a block."""
    return [items[start : start + size] for start in range(0, len(items), size)]


class Step:
    """One step's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Generator[None]:
        """Lock the step against other processes.

        Raises:
            RunMismatch: if another process works on it.
            CacheUnwritable: if the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock", timeout=0)
            with lock:
                for left in self.folder.glob("*.writing"):
                    left.unlink(missing_ok=True)
                yield
        except Timeout as error:
            raise RunMismatch("This study is being made by another process at this moment. Wait for it, or end it.") from error
        except OSError as error:
            raise CacheUnwritable(self.folder, error) from error

    def has(self, block: int) -> bool:
        """True if a block is done."""
        return any((self.folder / f"{block:05d}.{kind}").is_file() for kind in ("json", "npz"))

    @property
    def n_blocks(self) -> int:
        """Blocks that are done."""
        return len([*self.folder.glob("*.json"), *self.folder.glob("*.npz")])

    def save_rows(self, block: int, rows: Any) -> None:
        """Keep a block of plain data."""
        self._put(f"{block:05d}.json", json.dumps(rows).encode())

    def rows(self, block: int) -> Any:
        """A block of plain data."""
        return json.loads((self.folder / f"{block:05d}.json").read_bytes())

    def save_arrays(self, block: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block of arrays."""
        scratch = self._scratch()
        with scratch.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        scratch.replace(self.folder / f"{block:05d}.npz")

    def arrays(self, block: int) -> dict[str, np.ndarray]:
        """A block of arrays."""
        with np.load(self.folder / f"{block:05d}.npz", allow_pickle=False) as held:
            return {name: held[name] for name in held.files}

    def _put(self, name: str, content: bytes) -> None:
        scratch = self._scratch()
        scratch.write_bytes(content)
        scratch.replace(self.folder / name)

    def _scratch(self) -> Path:
        return self.folder / f"{time.monotonic_ns():x}-{uuid.uuid4().hex[:8]}.writing"
