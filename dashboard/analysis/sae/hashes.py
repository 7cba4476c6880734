"""SHA-256 of the weights of SAEs."""

from functools import lru_cache
from pathlib import Path

from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.system.files import sha256


def weights_sha256(spec: SaeSpec) -> str:
    """SHA-256 of the file that holds an SAE's weights."""
    file = spec.source if spec.is_packed else spec.source / "sae_weights.safetensors"
    return _sha256(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, changed: int) -> str:
    return sha256(file)
