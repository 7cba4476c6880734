"""The Hugging Face hub: one file, one folder, one list of names. Every failure becomes one message with its cure.

What is in its cache is used when the hub cannot be reached. Nothing that is fetched is run: callers ask for safetensors,
npz and JSON by name.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import HubRefused


@contextmanager
def hub_errors(what: str, repo: str) -> Iterator[None]:
    """Turn every error of the hub's client into one refusal.

    Raises:
        HubRefused: saying whether to ask for access, to correct a name, or to connect.
    """
    import httpx2
    import requests
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubRefused(
            f"{repo} is gated: the hub answered {_status(error)}. "
            f"Accept the licence at {page}, then set HF_TOKEN to a token of that account."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubRefused(
            f"{what}: the hub has no repository {repo} that this account may see ({_status(error)}). "
            f"Check the name at {page}; if it is private or gated, accept the licence there, then set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubRefused(f"{what}: {repo} has no such revision. Check the part after @.") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, httpx2.TransportError, requests.ConnectionError) as error:
        raise HubRefused(
            f"{what}: {constants.ENDPOINT} cannot be reached, and {repo} is incomplete in the cache {constants.HF_HUB_CACHE}. "
            "Connect once, unset HF_HUB_OFFLINE, or copy a complete cache here."
        ) from error
    except errors.EntryNotFoundError as error:
        raise HubRefused(f"{what}: {repo} has no file of that name. {_line(error)} Check the id with `latents sae find`.") from error
    except (errors.HfHubHTTPError, requests.HTTPError) as error:
        if _status(error) in (401, 403):
            raise HubRefused(
                f"{what}: the hub answered {_status(error)} for {repo}. Accept the licence at {page}, then set HF_TOKEN."
            ) from error
        raise HubRefused(f"{what}: the hub answered {_status(error)} for {repo}. Try again later.") from error
    except errors.HFValidationError as error:
        raise HubRefused(f"{what}: {repo[:80]!r} is not a repository name. Write OWNER/NAME.") from error
    except (httpx2.HTTPError, OSError) as error:
        raise HubRefused(
            f"{what}: the download from {repo} stopped ({_line(error)}). Start again: the download resumes where it stopped."
        ) from error


def hub_file(repo: str, name: str, revision: str | None = None) -> Path:
    """One file of a repository, in the cache.

    Raises:
        HubRefused: see `hub_errors`.
    """
    from huggingface_hub import hf_hub_download

    with hub_errors(name, repo):
        return _or_cached(lambda here: Path(hf_hub_download(repo, name, revision=revision, local_files_only=here)))


def hub_folder(repo: str, revision: str | None, patterns: Sequence[str], unwanted: Sequence[str] = ()) -> Path:
    """The files of a repository that match `patterns`, in the cache.

    Raises:
        HubRefused: see `hub_errors`.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(repo, repo):
        wanted = {"revision": revision, "allow_patterns": list(patterns), "ignore_patterns": list(unwanted)}
        return _or_cached(lambda here: Path(snapshot_download(repo, **wanted, local_files_only=here)))


_PATIENCE = 5.0
"""Seconds in which the hub must begin to answer; its client would try five times, for half a minute, before each file."""


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Ask the hub once whether it is there; if not, everything in the block comes from its cache, or is refused, at once."""
    import httpx2
    from huggingface_hub import constants, errors, get_session

    before = constants.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except (httpx2.TransportError, errors.OfflineModeIsEnabled):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _or_cached(fetch: Callable[[bool], Path]) -> Path:
    """What the hub gives; what its cache has where the line breaks in a way that the hub's client takes for an answer."""
    import httpx2

    try:
        return fetch(False)
    except httpx2.TransportError as error:
        try:
            return fetch(True)
        except OSError:
            raise error from None


def hub_sizes(repo: str, revision: str | None = None) -> dict[str, int | None]:
    """Names of a repository's files with their bytes; None where the hub does not say.

    Raises:
        HubRefused: see `hub_errors`; also when the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with hub_errors(repo, repo):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    return {one.rfilename: one.size for one in info.siblings or ()}


def _status(error: Any) -> int | str:
    response = getattr(error, "response", None)
    return "no answer" if response is None else int(response.status_code)


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
