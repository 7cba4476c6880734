"""How many bytes could be allocated now, under whichever limit applies; which errors mean that there were too few; giving back.

On a CPU the limit is the smallest of what the machine has free, what the container's or the service's cgroup leaves
(Docker's --memory, systemd's MemoryMax), and the process' own limit of address space (ulimit -v).
"""

import errno
import gc
import re
from pathlib import Path

import psutil
import torch

from dashboard.analysis.errors import OutOfMemory

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNITS = {"": 1, "bytes": 1, **{f"{unit}iB": 2 ** (10 * (power + 1)) for power, unit in enumerate("KMGTPE")}}
_SIGNS = (
    r"out of memory",
    r"can't allocate memory",
    r"cannot allocate memory",
    r"not enough memory",
    r"unable to allocate",
    r"std::bad_alloc",
    r"CUBLAS_STATUS_ALLOC_FAILED",
)
"""How CUDA, MPS, torch's CPU allocator, numpy, C++ and the kernel say it."""


def free_bytes(device: str) -> int:
    """Bytes that could be allocated now: on one CUDA device (`cuda` is the current one), or for MPS and CPU in main memory."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    limits = (psutil.virtual_memory().available, cgroup_free_bytes(), _address_space_free())
    return max(0, min(limit for limit in limits if limit is not None))


def cgroup_free_bytes(own: Path = _OWN, root: Path = _CGROUPS) -> int | None:
    """What the cgroup of this process and those around it leave (version 2); None where there is no limit.

    Pages of files that have not been used lately are given back on demand, so they count as free.
    """
    try:
        path = next(line.removeprefix("0::") for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    groups = [root / path.strip("/"), *(root / path.strip("/")).parents]
    found = [_group_free(group) for group in groups if group.is_relative_to(root)]
    return min((free for free in found if free is not None), default=None)


def _group_free(group: Path) -> int | None:
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None


def _address_space_free() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else max(0, limit - psutil.Process().memory_info().vms)


def is_out_of_memory(error: BaseException | None) -> bool:
    """True for an error that some allocator raised because it had too little, or that was raised from one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError | OSError) and any(re.search(sign, str(error), re.IGNORECASE) for sign in _SIGNS):
            return True
        error = error.__cause__
    return False


def refusal(error: BaseException, device: str | None = None, cure: str | None = None) -> OutOfMemory:
    """The message for an error of an allocator, with both numbers as far as it names what was tried.

    What the failed work held is let go of first, so that the second number is what the next ask finds.
    """
    tried, one = tried_bytes(error), error
    while one is not None:  # tracebacks keep the frames, and these the tensors, of what has failed
        one.__traceback__, one = None, one.__cause__ or one.__context__
    release()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return OutOfMemory(tried, free_bytes(device), device, cure)


def tried_bytes(error: BaseException | None) -> int | None:
    """The size of the allocation that failed; None where no error in the chain says."""
    while error is not None:
        match = re.search(r"allocate ([\d.,]+) ?([KMGTPE]iB|bytes)?", str(error))
        if match and match[1].strip(".,"):
            return int(float(match[1].strip(".,").replace(",", "")) * _UNITS[match[2] or ""])
        error = error.__cause__
    return None


def release() -> None:
    """Free unreferenced memory and return it to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
