"""sae-lens' directory of public releases: what it knows of each SAE, searched by words. Nothing is fetched.

What an entry does not say is None: the directory's own stand-ins for "unknown" (an L0 of 0) are not passed on.
"""

import re
from dataclasses import dataclass
from functools import cache

from dashboard.analysis.errors import BadName
from dashboard.analysis.names import point_of_code, site_of_hook

_PICKLED = ("connor_rob_hook_z", "deepseek_r1", "dictionary_learning_1", "goodfire", "qwen_scope")
_TEMPORAL = "it reads a token by those before it; dictionaries that read each token by itself are read here"
_TRANSCODERS = ("gemma_2_transcoder", "mntss_clt_layer_transcoder", "mwhanna_transcoder")
_UNITS = {"k": 1 << 10, "m": 1 << 20}


@dataclass(frozen=True)
class DirectoryEntry:
    """An SAE of the directory; None for what is not known before its files are here."""

    release: str
    id: str
    model: str
    repo: str
    path: str
    loader: str
    site: str | None
    n_latents: int | None
    l0: float | None
    neuronpedia_id: str | None
    refused: str | None
    """Why it cannot be used here; None if it can."""

    @property
    def name(self) -> str:
        """RELEASE/ID."""
        return f"{self.release}/{self.id}"


@cache
def entries() -> tuple[DirectoryEntry, ...]:
    """Every SAE of the directory, in its order."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    found: list[DirectoryEntry] = []
    for release, known in get_pretrained_saes_directory().items():
        loader = known.conversion_func or "sae_lens"
        for sae, path in known.saes_map.items():
            found.append(
                DirectoryEntry(
                    release,
                    sae,
                    known.model,
                    known.repo_id,
                    path,
                    loader,
                    _site(release, sae, path),
                    _width(f"{sae} {path}"),
                    float(known.expected_l0[sae]) or _l0(path),
                    known.neuronpedia_id.get(sae) or None,
                    _refusal(loader, path),
                )
            )
    return tuple(found)


def find(query: str) -> list[DirectoryEntry]:
    """Entries in whose release, id, model and Neuronpedia id every word of the query occurs, usable ones first."""
    words = query.lower().split()
    hits = [one for one in entries() if all(word in f"{one.name} {one.model} {one.neuronpedia_id or ''}".lower() for word in words)]
    return sorted(hits, key=lambda one: one.refused is not None)


def entry(release: str, sae: str) -> DirectoryEntry | None:
    """One entry; None if the directory has no such SAE."""
    return next((one for one in entries() if one.release == release and one.id == sae), None)


def _refusal(loader: str, path: str) -> str | None:
    if loader in _PICKLED:
        return "it is published as a pickle only: reading one can run any code, so it is not done"
    if loader == "temporal":
        return _TEMPORAL
    if loader in _TRANSCODERS or path.startswith(("transcoder", "clt")):
        return "it is a transcoder, which reads one place and writes another; dictionaries of one site are read here"
    return None


def _site(release: str, sae: str, path: str) -> str | None:
    if path.startswith(("transcoder", "clt")):
        return None
    if hook := re.search(r"blocks\.\d+\.[a-z_.]*[a-z]", sae):
        try:
            return str(site_of_hook(hook[0].removesuffix("_")))
        except BadName:
            return None
    layer = re.search(r"layer_(\d+)", path)
    kind = re.search(r"gemma-scope-.*-(res|mlp|att)(-|$)", release)
    if layer and kind:
        return f"{layer[1]}.{point_of_code(kind[1])}"
    llama = re.fullmatch(r"l(\d+)([rma])_\d+x", sae)
    return f"{llama[1]}.{point_of_code(llama[2])}" if llama else None


def _width(text: str) -> int | None:
    match = re.search(r"width_(\d+)([km])\b|_(\d+)(k)_layer|width_(\d+)([km])_", text)
    if match is None:
        return None
    number, unit = next((match[i], match[i + 1]) for i in (1, 3, 5) if match[i])
    return int(number) * _UNITS[unit] if unit == "m" or int(number) not in (65, 131, 262, 524) else 1 << int(number).bit_length() + 9


def _l0(path: str) -> float | None:
    match = re.search(r"average_l0_(\d+)", path)
    return float(match[1]) if match else None
