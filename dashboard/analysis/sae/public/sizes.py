"""Bytes of public SAEs before they are fetched, as the hub says them."""

from collections.abc import Sequence

from dashboard.analysis.sae.public.directory import DirectoryEntry
from dashboard.analysis.system.hub import hub_sizes


def sizes_of(entries: Sequence[DirectoryEntry]) -> dict[str, int | None]:
    """Bytes of each entry's files, by its name; None where the hub does not say. Each repository is asked once.

    Raises:
        HubRefused: if a repository cannot be looked up.
    """
    listed = {repo: hub_sizes(repo) for repo in dict.fromkeys(one.repo for one in entries)}
    return {one.name: _bytes(listed[one.repo], one.path) for one in entries}


def _bytes(files: dict[str, int | None], path: str) -> int | None:
    own = [size for name, size in files.items() if name == path or name.startswith(f"{path}/")]
    return sum(size for size in own if size is not None) if own and None not in own else None
