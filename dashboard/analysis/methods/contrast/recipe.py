"""The recipe of the contrast direction: what sets of texts differ in, along the latents that tell them apart best.

Steps: (1) the latents of one SAE are compared as in `method.py`; (2) the `top` of them whose AUROC is farthest from 0.5 are
kept; (3) the direction is the sum of their decoder rows, each times the first set's mean activation less the second's;
(4) it is made so long that its norm is `strength` times the mean norm of the residual stream at the site, and added.

As edits of each latent and as one vector it does the same to the model.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from dashboard.analysis.asks.edits import Intervention, Op, Unit
from dashboard.analysis.asks.weights import AssembleAsk, DosesAsk
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast.method import SeparatingLatent
from dashboard.analysis.methods.contrast.study import STUDY, ContrastAsk, Separation, TwoSets
from dashboard.analysis.names import Point, SaeId
from dashboard.analysis.roster.chosen import DEFAULT_RELEASE
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.recipe import Evidence, FoundEdits, Recipe
from dashboard.analysis.studies.study import result_of


@dataclass(frozen=True)
class DirectionAsk:
    """Steer from one set of texts towards another."""

    first: tuple[str, ...] = option((), "Texts to steer towards, one per line.", many=Many.LINES, label="Texts to steer towards")
    second: tuple[str, ...] = option((), "Texts to steer away from, one per line.", many=Many.LINES, label="Texts to steer away from")
    sae: SaeId | None = option(None, "RELEASE/NAME; default: the residual SAE of the middle layer.", label="SAE (none: middle layer)")
    top: int = option(5, "Number of latents to use: those that separate the sets best.", low=1, high=64, label="Latents")
    strength: float = option(0.4, "Strength of the whole direction, in mean norms of the residual stream.", label="Strength, in mean norms")
    vector: bool = option(False, "Make one vector instead of one edit per latent.", label="As a single vector")


def middle(catalog: Catalog) -> SaeId:
    """The residual SAE of the middle layer, of the default release where it is there.

    Raises:
        BadAsk: if there is none.
    """
    specs = [spec for spec in catalog.specs if spec.site.point is Point.RESID_POST]
    specs = [spec for spec in specs if spec.id.release == DEFAULT_RELEASE] or specs
    if not specs:
        raise BadAsk(f"None of the {len(catalog.specs)} SAEs here reads the residual stream. Name an SAE.")
    return sorted(specs, key=lambda spec: (spec.site.layer, spec.id))[len(specs) // 2].id


def _saes(bench: Bench, ask: DirectionAsk) -> tuple[SaeId, ...]:
    return (bench.catalog.get(ask.sae or middle(bench.catalog)).id,)


def _make(bench: Bench, ask: DirectionAsk) -> FoundEdits:
    (sae,) = _saes(bench, ask)
    sets = TwoSets("first", ask.first, "second", ask.second)
    found = result_of(STUDY, bench, ContrastAsk(sets, (str(sae),), ask.top))
    return direction(bench, found, ask.strength, _name(sae, ask) if ask.vector else None)


def direction(bench: Bench, found: Separation, strength: float, name: str | None = None) -> FoundEdits:
    """The contrast direction of two sets as edits; with a name, as one vector of that name.

    Raises:
        BadAsk: if no latent's mean differs between the sets.
    """
    parts = tuple((one.latent, one.difference) for one in found.latents if one.difference)
    if not parts:
        raise BadAsk(f"0 of {found.n_tested} latents that fire on the texts differ in their mean between the sets. Give other texts.")
    vector = bench.runner.ask(AssembleAsk(name or "contrast", parts))
    whole = Intervention(vector, Op.ADD, strength, Unit.NORM)
    (dose,) = bench.runner.ask(DosesAsk((whole,)))
    alone = tuple(Intervention(latent, Op.ADD, _short(dose.amount * difference)) for latent, difference in parts)
    amounts = {edit.direction: edit.amount for edit in alone}
    rows = [
        Evidence(one.latent, _numbers(one) | {"amount": amounts[one.latent]}, "makes likelier " + " ".join(map(repr, tokens)))
        for one, tokens in zip(found.latents, found.promotes, strict=True)
        if one.latent in amounts
    ]
    return FoundEdits((whole,) if name else alone, tuple(rows), _notes(found))


def _numbers(one: SeparatingLatent) -> dict[str, float | int | None]:
    return {key: value for key, value in asdict(one).items() if key != "latent"}


def _notes(found: Separation) -> tuple[str, ...]:
    best = min(one.q for one in found.latents)
    notes = [f"{found.n_tested:,} latents fire on these texts and were tested; the smallest q of those used is {best:.2g}."]
    if best >= 0.05:
        notes.append(
            f"With {found.n_first} and {found.n_second} texts the difference may be chance: for a q below 0.05 give about 14 texts a set."
        )
    return tuple(notes)


def _short(amount: float) -> float:
    """In as many digits as matter."""
    return float(f"{amount:.4g}")


def _name(sae: SaeId, ask: DirectionAsk) -> str:
    """Of the vector: equal for equal texts and latents."""
    depends_on = [str(sae), list(ask.first), list(ask.second), ask.top]
    return f"contrast-{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:8]}"


RECIPE = Recipe(
    name="contrast direction",
    title="Contrast direction of two sets of texts",
    about="Steer along what two sets of texts differ in: the latents that tell them apart best.",
    source="Difference of means as a steering vector: Rimsky et al. 2024, arXiv:2312.06681. Differs: the means are those of the latents "
    "of an SAE, and only the latents with the best AUROC are used.",
    ask=DirectionAsk,
    make=_make,
    saes=_saes,
    subject=lambda ask: f"{len(ask.first)} texts against {len(ask.second)}",
    example=DirectionAsk(
        first=("I love this, thank you!", "What a wonderful day.", "You did a great job.", "This is the best news.", "I am so happy."),
        second=("I hate this, go away!", "What an awful day.", "You did a terrible job.", "This is the worst news.", "I am so sad."),
    ),
)
