"""What texts are made of, so that a result is found again only for identical texts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def texts_sha256(sources: Sequence[str]) -> str:
    """Of the content of files and of all files of folders, in their order; of a data set of the hub its name alone."""
    digest = hashlib.sha256()
    for source in sources:
        path = Path(source).expanduser()
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        digest.update(f"{source if source.startswith('hf:') else path.name}\0".encode())
        for file in files:
            if file.is_file():
                digest.update(f"{file.suffix}\0{file.stem == 'README'}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
