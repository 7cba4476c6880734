"""Memory of the C library, given back to the system."""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Hand memory that is free back to the system.

    glibc keeps it where small things that live stand between large ones that are gone, so that a long run of batches looks
    as if it grew. Does nothing with another library.
    """
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
