"""A flow graph on the canvas, and what is said of its nodes and links."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.data import GraphGroup, GraphHeat, GraphRole, GraphRow, LatentRow
from components.graph.picture import GraphLook, GraphPicture
from dashboard.analysis.methods.flow.graph import as_graph_edge, as_latent_graph
from dashboard.analysis.methods.flow.pair import FiringTogether
from dashboard.analysis.methods.flow.results import FlowAsk, FlowEdge, FlowGraph, FlowNode, LitGraph
from dashboard.analysis.methods.flow.without import Without
from dashboard.analysis.names import LatentId, NodeId
from dashboard.ui.parts import graphs
from dashboard.ui.parts.figures import grouped, percent
from dashboard.ui.parts.naming import Named

LIKE = 0.2
"""Least share of words, shared / either's, that puts two labels into one supernode."""


def row_of(node: FlowNode) -> GraphRow:
    """Its row on the canvas; attention whether it is read before or after W_O."""
    return graphs.row_of(node.site)


def role_of(node: FlowNode, ask: FlowAsk) -> GraphRole:
    """What a residual latent comes from by its cosines, at the thresholds of the graph; a module's latent is that module."""
    row = row_of(node)
    if row is not GraphRow.RESID:
        return GraphRole.MLP if row is GraphRow.MLP else GraphRole.ATT
    if node.s_res is None:
        return GraphRole.NOT_KNOWN
    high = (node.s_res >= ask.t_res, (node.s_mlp or 0.0) >= ask.t_module, (node.s_att or 0.0) >= ask.t_module)
    return GraphRole("_".join(name for name, is_high in zip(("res", "mlp", "att"), high, strict=True) if is_high) or "nowhere")


def brief(label: str) -> str:
    """What fits under a node: what it fires on, without quotes; the part about what it promotes is on its card."""
    return label.partition("; promotes")[0].replace('"', "")


def scores(node: FlowNode) -> tuple[tuple[str, str], ...]:
    """The three best cosines with their names, for people; a dictionary that is not there gives none. Empty for a module's latent."""
    if row_of(node) is not GraphRow.RESID:
        return ()
    pairs = (("s_R", node.s_res), ("s_M", node.s_mlp), ("s_A", node.s_att))
    return tuple((name, "no SAE" if value is None else f"{value:.2f}") for name, value in pairs)


def _note(node: FlowNode) -> str:
    """What a pointer on a node reads."""
    fires = "" if node.density is None else f"fires on {percent(node.density)} of tokens"
    return "\n".join(filter(None, (" · ".join(map(" ".join, scores(node))), fires)))


def edge_note(edge: FlowEdge) -> str:
    """The cosine, and what is not mutual about the match."""
    return graphs.edge_note(as_graph_edge(edge))


def drawn(graph: FlowGraph, named: Named) -> GraphPicture:
    """The graph, ready for the canvas."""
    nodes = {NodeId.of_latent(node.latent): node for node in graph.nodes}
    how = graphs.Drawing(
        role=lambda node: role_of(nodes[node.id], graph.ask), note=lambda node: _note(nodes[node.id]), label=brief, look=GraphLook()
    )
    return graphs.drawn(as_latent_graph(replace(graph, nodes=tuple(_path_first(graph)))), named, how)


def _path_first(graph: FlowGraph) -> list[FlowNode]:
    """In each cell the latent of the path stands at the top, so that the path is one straight line; the rest by strength of their link."""
    strength = {edge.source: edge.cosine for edge in graph.edges}
    return sorted(graph.nodes, key=lambda node: (not node.on_path, -strength.get(node.latent, 0.0), node.latent))


def said_in_short(graph: FlowGraph) -> str:
    """One sentence on what is seen."""
    first, last = graph.span
    on_path = [node for node in graph.nodes if node.on_path]
    n_modules = sum(row_of(node) is not GraphRow.RESID for node in graph.nodes)
    links = [edge.cosine for edge in graph.edges if edge.source in graph.path and edge.target in graph.path]
    least = f", each link at least {min(links):.2f}" if links else ""
    if len(on_path) == 1:
        where = f"One residual latent, of layer {on_path[0].site.layer}"
    else:
        where = f"One direction in layers {on_path[0].site.layer} to {on_path[-1].site.layer}: {len(on_path)} residual latents{least}"
    said = f"{where}, fed by {n_modules} of MLP and attention."
    if graph.ask.pruned and len(on_path) > 1:
        return said
    if first == last:
        return f"{said} No residual link there reaches {graph.ask.t_res:.2f}."
    return f"{said} The span, where every link is at least {graph.ask.t_res:.2f}, is layers {first} to {last}."


def heat(graph: FlowGraph, lit: LitGraph, token: int) -> dict[str, GraphHeat]:
    """Each node's activation on a token, as a share of its largest in the index; without an index, of its largest on this text."""
    found: dict[str, GraphHeat] = {}
    for node in graph.nodes:
        values = lit.values[node.latent]
        value, largest = float(values[token]), node.maximum or float(values.max(initial=0.0))
        if value > 0:
            share = min(1.0, value / largest) if largest > 0 else 0.0
            found[node.id] = GraphHeat(share, f"{value:.4f} on this token, {percent(share)} of its largest")
    return found


def token_name(texts: Sequence[str], i: int) -> str:
    """A token in a slider."""
    return f"{i}  {texts[i]!r}" if texts[i] else f"{i}  (continues)"


def supernodes(graph: FlowGraph, named: Named) -> tuple[GraphGroup, ...]:
    """Latents whose labels share words, LIKE of those of either or more, or that are alike through others; two at least."""
    words = {node.id: _words(named(node.latent)) for node in graph.nodes}
    keys = [key for key in words if words[key]]
    group = {key: key for key in keys}

    def root(key: str) -> str:
        while group[key] != key:
            key = group[key]
        return key

    for i, one in enumerate(keys):
        for other in keys[:i]:
            if len(words[one] & words[other]) / len(words[one] | words[other]) >= LIKE:
                group[root(one)] = root(other)
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(root(key), []).append(key)
    return tuple(GraphGroup(_common(words, members), tuple(members)) for members in found.values() if len(members) > 1)


def _words(label: str) -> frozenset[str]:
    """Words of a label that are about something: quoted tokens of an automatic label's first half, else all of three letters or more."""
    about = label.partition("; promotes")[0]
    quoted = re.findall(r'"([^"]*)"', about)
    found = [word.strip().lower() for word in (quoted or re.findall(r"\w{3,}", about))]
    return frozenset(word for word in found if sum(map(str.isalpha, word)) > 1)


def _common(words: Mapping[str, frozenset[str]], members: Sequence[str]) -> str:
    counts = Counter(word for key in members for word in sorted(words[key]))
    return ", ".join(word for word, n in counts.most_common(3) if n > 1)


def together(found: FiringTogether) -> str:
    """How far two latents fire on the same tokens."""
    if found.share is None:
        return f"Neither fires on the {found.n_texts} texts that were read."
    either = found.n_first + found.n_second - found.n_both
    return (
        f"On the {found.n_texts} texts where either is strongest ({grouped(found.n_tokens)} tokens), both fire on {found.n_both} of "
        f"{either} tokens where either does: {percent(found.share)}."
    )


def together_on(lit: LitGraph, first: LatentId, second: LatentId) -> str:
    """The same on the text of the page, its special tokens left out."""
    pairs = [(a > 0, b > 0) for a, b, special in zip(lit.values[first], lit.values[second], lit.special, strict=True) if not special]
    either = sum(a or b for a, b in pairs)
    return f"On your text both fire on {sum(a and b for a, b in pairs)} of {either} tokens where either does."


def without(found: Without) -> list[str]:
    """What is left of a latent without its predecessors, in sentences; what each of them does stands in `removed_rows`."""
    on = f"On {found.token!r}"
    if found.before <= 0:
        return [f"{on} it does not fire, so there is nothing to deactivate. Choose another token."]
    lines = [f"{on} it fires at {found.before:.2f}.{' Left of that, without:' if found.each else ''}"]
    if found.together is not None and len(found.each) > 1:
        left = f"{found.together:.2f}, {percent(found.together / found.before)} of it" if found.together > 0 else "nothing: it is silent"
        lines.append(f"Without all {len(found.each)} of them {left}.")
    if found.silent:
        lines.append(f"Silent on this token, so not removed: {', '.join(_short(latent) for latent in found.silent)}.")
    if not found.each and not found.silent:
        lines.append("Nothing in this graph leads into it.")
    return lines


def removed_rows(found: Without, named: Named) -> list[LatentRow]:
    """Each predecessor that was removed, with what is left without it: the bar is that as a share of what there was."""
    if found.before <= 0:
        return []
    return [
        LatentRow(
            key=str(link.source),
            label=_short(link.source),
            value=left,
            share=max(0.0, min(1.0, left / found.before)),
            note=f"{link.source} removed: {left:.4f} is left of {found.before:.4f}. {named(link.source)}".strip(),
            pinned=False,
            shown=False,
            detail=f"{percent(left / found.before)} is left{'' if left > 0 else ': silent'} · cosine {link.cosine:.2f}",
        )
        for link, left in found.each
    ]


def _short(latent: LatentId) -> str:
    """Its name without that of the release."""
    return f"{latent.sae.name}/{latent.index}"


def compared(one: FlowGraph, other: FlowGraph) -> str:
    """What two graphs share."""
    both = {node.latent for node in one.nodes} & {node.latent for node in other.nodes}
    if not both:
        return "The two graphs share no latent."
    layers = [node.site.layer for node in one.nodes if node.latent in both]
    where = f"layer {min(layers)}" if min(layers) == max(layers) else f"layers {min(layers)} to {max(layers)}"
    return f"The two graphs share {len(both)} latents, of {where}."
