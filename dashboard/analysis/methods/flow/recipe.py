"""The recipe of the flow path: the residual latents that one latent's path runs through, steered together."""

from dataclasses import dataclass

from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.graph import build, with_facts
from dashboard.analysis.methods.flow.results import T_MODULE, T_RES, FlowAsk, FlowGraph
from dashboard.analysis.methods.flow.schedule import Goal, Schedule, path_latents
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.roster.chosen import DEFAULT_RELEASE
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.recipe import Evidence, FoundEdits, Recipe

STRENGTHS = {Goal.ACTIVATE: 2.0, Goal.DEACTIVATE: 0.0}
"""Of a whole path: what its latents share out, in largest activations; the factor on each activation."""
MAX_LATENTS = 8
"""As many as the steer page has edits."""


@dataclass(frozen=True)
class FlowPathAsk:
    """Steer a latent together with the residual latents of its span."""

    latent: LatentId | None = option(None, "The latent whose path is followed: RELEASE/NAME/INDEX.", argument="LATENT", label="Latent")
    goal: Goal = option(Goal.ACTIVATE, "activate, or deactivate: multiply activations.", label="Goal")
    strength: float | None = option(
        None, "Activate: total shared among the latents, default 2; deactivate: the factor, default 0.", label="Strength of the whole path"
    )
    unit: Unit = option(Unit.MAX, "raw, max or norm: what a strength of 1 is.", label="A strength of 1 is")
    most: int = option(
        MAX_LATENTS, "Maximum number of latents: those nearest to the seed.", low=1, high=64, label="Maximum number of latents"
    )
    t_res: float = option(T_RES, "Smallest cosine of a residual link.", low=-1, high=1, label="Smallest cosine of a link")
    modules: bool = option(False, "Include MLP and attention latents.", label="Include MLP and attention latents")
    t_module: float = option(T_MODULE, "Smallest cosine of an MLP or attention latent.", low=-1, high=1)

    def flow(self) -> FlowAsk:
        """The graph that the path is taken from.

        Raises:
            BadAsk: if no latent is named.
        """
        if self.latent is None:
            raise BadAsk("No latent was named. Give one as RELEASE/NAME/INDEX.")
        return FlowAsk(self.latent, self.t_res, self.t_module)


def path_edits(graph: FlowGraph, ask: FlowPathAsk) -> FoundEdits:
    """The residual latents of a graph's span as edits, nearest to the seed first if there are more than `most`."""
    placed = path_latents(graph, ask.modules)
    seed_layer = next((one.layer for one in placed if one.latent == graph.ask.seed), placed[-1].layer)
    nearest = sorted(placed, key=lambda one: (abs(one.layer - seed_layer), one.layer))[: ask.most]
    strength = STRENGTHS[ask.goal] if ask.strength is None else ask.strength
    share = round(strength / len(nearest), 2) if ask.goal is Goal.ACTIVATE else strength
    edits = Schedule(ask.goal, unit=ask.unit).edits(nearest, share)
    chosen = {one.latent for one in nearest}
    rows = [
        Evidence(
            node.latent,
            {"layer": node.site.layer, "s_res": node.s_res, "s_mlp": node.s_mlp, "s_att": node.s_att, "density": node.density},
            node.label,
        )
        for node in graph.nodes
        if node.latent in chosen
    ]
    first, last = graph.span
    notes = [f"The span runs from layer {first} to layer {last}: every link of the path there has a cosine of {ask.t_res:g} or more."]
    if left := len({*placed}) - len(nearest):
        notes.append(f"{left} latents of the span are left out: only the {len(nearest)} nearest to the seed are steered.")
    return FoundEdits(edits, tuple(rows), (*notes, *graph.notes))


def _graph(bench: Bench, ask: FlowPathAsk) -> FlowGraph:
    wanted = ask.flow()
    suite = find_suite(bench.catalog, bench.catalog.latent(wanted.seed).sae)
    return with_facts(build(bench.runner, suite, wanted), bench.catalog)


def _saes(bench: Bench, ask: FlowPathAsk) -> tuple[SaeId, ...]:
    suite = find_suite(bench.catalog, bench.catalog.latent(ask.flow().seed).sae)
    there = [sae for layer in suite.layers for sae in (layer.attn, layer.mlp, layer.resid) if sae is not None]
    return tuple(dict.fromkeys(there))


RECIPE = Recipe(
    name="flow path",
    title="Flow path of a latent",
    about="Steer a latent together with the residual latents of other layers that point the same way.",
    source="Laptev et al. 2025, arXiv:2502.03032, section 6, cumulative steering of the flow set. Differs: one strength is shared out "
    "among the latents, in their largest activations.",
    ask=FlowPathAsk,
    make=lambda bench, ask: path_edits(_graph(bench, ask), ask),
    saes=_saes,
    subject=lambda ask: f"path of {ask.latent}",
    example=FlowPathAsk(LatentId.parse(f"{DEFAULT_RELEASE}/19.resid_post/615")),
)
