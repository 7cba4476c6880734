"""Our latents under Neuronpedia's ids, `modelId / layer / index`, and back: the one place that knows both.

An SAE that says its id there (`metadata.neuronpedia_id` of its config) goes by it. Any other goes by
`{model}/{layer}-{release}-{name}`, in their alphabet; an SAE that is named after its site leaves the layer out of the name.
Two SAEs that would share an id both get a suffix `__` and a digest of their name.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.analysis.errors import BadName
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec


@dataclass(frozen=True, order=True)
class Source:
    """An SAE as Neuronpedia names it, printed `gemma-2-2b/20-gemmascope-res-16k`."""

    model_id: str
    layer: str
    """Called `source` as well; the number of the layer, a dash and the name of the set."""

    def __str__(self) -> str:
        return f"{self.model_id}/{self.layer}"

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `modelId/layer`.

        Raises:
            BadName: if either half is empty.
        """
        model_id, _, layer = text.partition("/")
        if not model_id or not layer:
            raise BadName("a source of Neuronpedia", text, "MODEL/LAYER-SET, for example gemma-2-2b/20-gemmascope-res-16k")
        return cls(model_id, layer)


def given_source(spec: SaeSpec) -> Source | None:
    """The id that an SAE itself says it has on Neuronpedia; None if it says none that can be read."""
    given = (spec.config.get("metadata") or {}).get("neuronpedia_id")
    try:
        return Source.parse(given) if isinstance(given, str) else None
    except BadName:
        return None


def sources(catalog: Catalog) -> Mapping[SaeId, Source]:
    """The id of every SAE of a catalogue, each another."""
    ids = {spec.id: given_source(spec) or _made_up(spec) for spec in catalog.specs}
    shared = Counter(ids.values())
    return {sae: source if shared[source] == 1 else _told_apart(sae, source) for sae, source in ids.items()}


def find_latent(by_source: Mapping[Source, SaeId], model_id: str, layer: str, index: int) -> LatentId | None:
    """The latent of ours that is meant; None if no SAE here goes by that id. `by_source` is `sources` turned round."""
    sae = by_source.get(Source(model_id, layer))
    return None if sae is None else LatentId(sae, index)


def _made_up(spec: SaeSpec) -> Source:
    site, name = spec.site, spec.id.name
    own = site.point.value if name == str(site) else name
    model = spec.model.repo.rpartition("/")[2] if spec.model else spec.id.release
    return Source(_slug(model), f"{site.layer}-{_slug(f'{spec.id.release}-{own}')}")


def _told_apart(sae: SaeId, source: Source) -> Source:
    return Source(source.model_id, f"{source.layer}__{hashlib.sha256(str(sae).encode()).hexdigest()[:8]}")


def _slug(text: str) -> str:
    """Their alphabet: lower case letters, digits, dashes and underscores; dots stand in some of their model names."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-") or "unnamed"
