"""The flow graph of a latent: its path through the layers, backward and forward, and the modules' latents that feed it.

Source: Laptev et al. 2025, arXiv:2502.03032, section 4. Steps: (1) backward, from layer to layer to the residual latent with
the largest cosine; (2) forward, to the latent of the next layer nearest to the last; (3) at each latent of the path the mlp and
attention latents of its own layer that are at least `t_module` like it; (4) the span, the run of layers around the seed in which
every link of the path is at least `t_res`. A link may be asymmetric: both ends' own best matches are kept with it.

Where layers are missing, the link goes to the next dictionary there is, and says over how many layers. It finds what is alike in
the weights; whether one latent makes the other fire, only an experiment on text can say.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.matching import Match, MatchAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk, NotMeasured
from dashboard.analysis.graphs import Evidence, Figure, GraphEdge, GraphNode, LatentGraph
from dashboard.analysis.index.file import read_index
from dashboard.analysis.methods.flow.results import FlowAsk, FlowEdge, FlowGraph, FlowLayer, FlowNode, FlowSuite, LitGraph
from dashboard.analysis.names import LatentId, NodeId, Point, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.tokens import Prompt

POINTS = (Point.ATTN_OUT, Point.MLP_OUT, Point.RESID_POST)
"""Where a residual latent may have predecessors; `ATTN_OUT` stands for z-space dictionaries too."""


@dataclass(frozen=True)
class _Link:
    source: LatentId
    target: LatentId
    cosine: float
    rank: int | None
    gap: int


@dataclass
class _Build:
    """A graph in the making."""

    runner: Runner
    suite: FlowSuite
    ask: FlowAsk
    links: dict[tuple[LatentId, LatentId], _Link] = field(default_factory=dict)
    _before: dict[LatentId, dict[Point, tuple[Match, ...]]] = field(default_factory=dict)

    def before(self, layer: FlowLayer, latent: LatentId) -> dict[Point, tuple[Match, ...]]:
        if latent not in self._before:
            self._before[latent] = predecessors(self.runner, layer, latent, self.ask.top)
        return self._before[latent]

    def nearest(self, latent: LatentId, among: SaeId) -> Match:
        return self.runner.ask(MatchAsk(latent.sae, among, (latent.index,))).matches(latent.index)[0]

    def link(self, layer: FlowLayer, match: Match, target: LatentId, rank: int | None) -> None:
        gap = layer.gap if match.latent.sae == layer.previous else 0
        self.links.setdefault((match.latent, target), _Link(match.latent, target, match.cosine, rank, gap))


def predecessors(runner: Runner, layer: FlowLayer, latent: LatentId, top: int = 1) -> dict[Point, tuple[Match, ...]]:
    """The `top` nearest latents before a residual latent, at each point where there is a dictionary."""
    there = {point: sae for point in POINTS if (sae := layer.before(point)) is not None}
    return {point: runner.ask(MatchAsk(latent.sae, sae, (latent.index,), top)).matches(latent.index) for point, sae in there.items()}


def build(runner: Runner, suite: FlowSuite, ask: FlowAsk) -> FlowGraph:
    """The flow graph of a seed.

    Raises:
        BadAsk: if the seed's dictionary is not in the suite.
        UnknownLatent: if the seed does not exist.
    """
    start = suite.of_sae(ask.seed.sae)
    if start is None:
        raise BadAsk(f"{ask.seed.sae} is not in this suite of {len(suite.layers)} layers. Choose a seed of one of its dictionaries.")
    made = _Build(runner, suite, ask)
    on_path = ask.seed if ask.seed.sae == start.resid else made.nearest(ask.seed, start.resid).latent
    path = {start.layer: on_path, **_backward(made, start, on_path), **_forward(made, start, on_path)}
    if on_path != ask.seed:
        match = Match(ask.seed, made.nearest(ask.seed, start.resid).cosine)
        made.link(start, match, on_path, _rank(made.before(start, on_path), ask.seed))
    strong = {target.sae: link.cosine >= ask.t_res for (source, target), link in made.links.items() if {source, target} <= {*path.values()}}
    span = _span(suite, start, path, strong)
    for layer in suite.layers:
        if layer.layer in path:
            _feed(made, layer, path[layer.layer])
    return _graph(made, path, span)


def _backward(made: _Build, layer: FlowLayer, latent: LatentId) -> dict[int, LatentId]:
    path: dict[int, LatentId] = {}
    while made.ask.backward and layer.previous is not None:
        best = made.before(layer, latent)[Point.RESID_POST][0]
        made.link(layer, best, latent, 0)
        before = made.suite.of_sae(layer.previous)
        assert before is not None
        layer, latent = before, best.latent
        path[layer.layer] = latent
    return path


def _forward(made: _Build, layer: FlowLayer, latent: LatentId) -> dict[int, LatentId]:
    path: dict[int, LatentId] = {}
    while made.ask.forward and (after := made.suite.after(layer)) is not None:
        best = made.nearest(latent, after.resid)
        made.link(after, Match(latent, best.cosine), best.latent, _rank(made.before(after, best.latent), latent))
        layer, latent = after, best.latent
        path[layer.layer] = latent
    return path


def _rank(before: dict[Point, tuple[Match, ...]], source: LatentId) -> int | None:
    return next((rank for found in before.values() for rank, match in enumerate(found) if match.latent == source), None)


def _span(suite: FlowSuite, start: FlowLayer, path: dict[int, LatentId], strong: dict[SaeId, bool]) -> tuple[int, int]:
    """First and last layer; `strong` says of a residual dictionary whether the path's link into it is."""
    layers = [layer for layer in suite.layers if layer.layer in path]
    first = last = layers.index(start)
    while first > 0 and strong[layers[first].resid]:
        first -= 1
    while last + 1 < len(layers) and strong[layers[last + 1].resid]:
        last += 1
    return layers[first].layer, layers[last].layer


def _feed(made: _Build, layer: FlowLayer, target: LatentId) -> None:
    """Links from what feeds a latent of the path: modules from t_module on, further residual latents from t_res on."""
    for point, found in made.before(layer, target).items():
        least = made.ask.t_res if point is Point.RESID_POST else made.ask.t_module
        for rank, match in enumerate(found):
            if match.cosine >= least and (point is not Point.RESID_POST or made.ask.top > 1):
                made.link(layer, match, target, rank)


def _graph(made: _Build, path: dict[int, LatentId], span: tuple[int, int]) -> FlowGraph:
    ask = made.ask

    def within(layer: int) -> bool:
        return span[0] <= layer <= span[1]

    links = [
        link for link in made.links.values() if not ask.pruned or (within(_layer(made, link.source)) and within(_layer(made, link.target)))
    ]
    latents = {ask.seed, *(latent for link in links for latent in (link.source, link.target))}
    latents |= {latent for layer, latent in path.items() if within(layer) or not ask.pruned}
    nodes = [_node(made, latent, latent in path.values(), within(_layer(made, latent))) for latent in latents]
    nodes.sort(key=lambda node: (*node.site.forward_order, node.latent))
    place = {node.latent: i for i, node in enumerate(nodes)}
    links.sort(key=lambda link: (place[link.target], place[link.source]))
    edges = tuple(_edge(made, link) for link in links)
    return FlowGraph(ask, tuple(nodes), edges, span, made.suite.notes, tuple(path[layer] for layer in sorted(path)))


def _layer(made: _Build, latent: LatentId) -> int:
    layer = made.suite.of_sae(latent.sae)
    assert layer is not None
    return layer.layer


def _node(made: _Build, latent: LatentId, on_path: bool, in_span: bool) -> FlowNode:
    layer = made.suite.of_sae(latent.sae)
    assert layer is not None
    if latent.sae != layer.resid:
        point = Point.MLP_OUT if latent.sae == layer.mlp else Point.ATTN_OUT
        return FlowNode(latent, Site(layer.layer, point), on_path, in_span)
    best = {point: found[0].cosine for point, found in made.before(layer, latent).items()}
    res, mlp, att = (best.get(point) for point in (Point.RESID_POST, Point.MLP_OUT, Point.ATTN_OUT))
    return FlowNode(latent, Site(layer.layer, Point.RESID_POST), on_path, in_span, res, mlp, att)


def _edge(made: _Build, link: _Link) -> FlowEdge:
    back = made.nearest(link.target, link.source.sae)
    forth = made.nearest(link.source, link.target.sae)
    return FlowEdge(link.source, link.target, link.cosine, back.latent, back.cosine, forth.latent, forth.cosine, link.rank, link.gap)


def with_facts(graph: FlowGraph, catalog: Catalog) -> FlowGraph:
    """The graph with each node's label, density and largest activation, where its dictionary has an index."""

    def known(node: FlowNode) -> FlowNode:
        try:
            index = read_index(catalog.get(node.latent.sae))
        except NotMeasured:
            return node
        i = node.latent.index
        return replace(
            node, label=index.labels[i], density=float(index.n_fired[i]) / max(1, index.n_tokens), maximum=float(index.maximum[i])
        )

    return replace(graph, nodes=tuple(map(known, graph.nodes)))


def lit(runner: Runner, graph: FlowGraph, prompt: Prompt) -> LitGraph:
    """How strongly each node of a graph fires on each token of a text. One pass of the model.

    Raises:
        EmptyPrompt, PromptTooLong: if the text cannot be read.
    """
    latents = [node.latent for node in graph.nodes]
    capture = runner.ask(CaptureAsk(prompt, tuple(dict.fromkeys(latent.sae for latent in latents))))
    values = {latent: capture.activations[latent.sae].of_latent(latent.index) for latent in latents}
    return LitGraph(capture.tokens.texts, tuple(capture.tokens.special), values)


def report(graph: FlowGraph, record: RunRecord, both: bool = False) -> dict[str, Any]:
    """The graph as plain data: latents by name, an edge's weight is its cosine. `both`: with both ends' own best matches."""
    edges: list[dict[str, Any]] = []
    for edge in graph.edges:
        row: dict[str, Any] = {"source": str(edge.source), "target": str(edge.target), "weight": edge.cosine}
        if both:
            row |= {"back": str(edge.back), "back_weight": edge.back_cosine, "forth": str(edge.forth), "forth_weight": edge.forth_cosine}
            row |= {"mutual": edge.mutual, "rank": edge.rank, "gap": edge.gap}
        edges.append(row)
    nodes = [
        {
            "id": node.id,
            "layer": node.site.layer,
            "point": node.site.point.value,
            "label": node.label,
            "s_res": node.s_res,
            "s_mlp": node.s_mlp,
            "s_att": node.s_att,
            "density": node.density,
            "maximum": node.maximum,
            "on_path": node.on_path,
            "in_span": node.in_span,
        }
        for node in graph.nodes
    ]
    said = {"span": list(graph.span), "notes": list(graph.notes), "path": [str(latent) for latent in graph.path]}
    return {"nodes": nodes, "edges": edges, "record": {**asdict(record), **said}}


def as_latent_graph(graph: FlowGraph, record: RunRecord | None = None) -> LatentGraph:
    """The graph as every graph is drawn and kept: a link's weight is its cosine, and it is doubtful where the match is not mutual."""
    nodes = tuple(
        GraphNode(
            NodeId.of_latent(node.latent),
            node.site,
            node.label,
            tuple(Figure(name, getattr(node, name)) for name in ("s_res", "s_mlp", "s_att", "density", "maximum")),
            tuple(name for name, holds in (("path", node.on_path), ("span", node.in_span)) if holds),
        )
        for node in graph.nodes
    )
    return LatentGraph(nodes, tuple(map(as_graph_edge, graph.edges)), NodeId.of_latent(graph.ask.seed), graph.notes, record)


def as_graph_edge(edge: FlowEdge) -> GraphEdge:
    """A link with its cosine as evidence, and what is not mutual about the match as notes."""
    notes: list[str] = []
    if edge.gap:
        notes.append(f"over a gap of {edge.gap} layers")
    if edge.back != edge.source:
        notes.append(f"the later one's best there is {edge.back} ({edge.back_cosine:.2f})")
    if edge.forth != edge.target:
        notes.append(f"the earlier one's best there is {edge.forth} ({edge.forth_cosine:.2f})")
    ends = NodeId.of_latent(edge.source), NodeId.of_latent(edge.target)
    return GraphEdge(*ends, edge.cosine, (Evidence("cosine", edge.cosine),), tuple(notes), not edge.mutual)


def ask_data(ask: FlowAsk) -> dict[str, Any]:
    """A flow's ask as plain data, for its record."""
    return {**asdict(ask), "seed": str(ask.seed)}
