# pyright: basic
"""A graph over a model as files, and back: a web page of its own, GraphML, and the JSON that circuit-tracer's viewers read."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx

from components.assets import HTML, source
from components.data import GraphEdge, GraphGroup, GraphKind, GraphNode, GraphRole, GraphRow
from components.graph.picture import GraphPicture, from_networkx, further, picture, to_networkx, vis_library
from components.graph_canvas import canvas_data
from components.pages.one_component import STYLE, hashed
from components.palette import css_variables

Graph = tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]
MAX_NODES, MAX_EDGES = 2000, 20_000
"""Of a file that is read: several times the largest graph that the page draws, and still quick on a canvas."""
_FOLDER = Path(__file__).parents[1] / "graph_canvas"
_PART = '<script type="application/json" id="{}">(.*?)</script>'
_SAID_STYLE = """
#said { min-height: 5.5em; margin: 1rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; color: var(--quiet); }
#said.on { color: var(--ink); }
"""
_MOUNT = """
const part = (id) => JSON.parse(document.getElementById(id).textContent);
const data = { ...part("rest"), nodes: part("nodes"), edges: part("edges"), options: part("options") };
const said = document.getElementById("said"), before = said.textContent;
const about = (key) => {
  const node = data.nodes.find((one) => one.id === key), edge = data.edges.find((one) => one.id === key);
  if (node) return [node.id, node.meaning, node.note].filter(Boolean).join("\\n");
  return edge ? `${edge.from}\\n\\u2192 ${edge.to}\\n${edge.note}` : "";
};
const mounted = document.getElementById("component").shadowRoot;
function clicked(_, { kind, node, edge }) {
  const others = data.pinned.filter((one) => one !== node);
  if (kind === "shift" && node) data.pinned = others.length < data.pinned.length ? others : [...others, node];
  else data.selected = node || edge;
  said.textContent = about(data.selected) || before;
  said.className = data.selected ? "on" : "";
  draw({ data, parentElement: mounted, setTriggerValue: clicked });
}
clicked("clicked", { kind: "click", node: data.selected, edge: "" });
"""


def web_page(
    drawn: GraphPicture, title: str, lines: Sequence[tuple[str, str]] = (), *, pinned: Sequence[str] = (), groups: Sequence[GraphGroup] = ()
) -> str:
    """An HTML file, rendered by pyvis, with the library and everything else inside: it opens without a network.

    Only the scripts and styles written here may run, by their hashes, and nothing may be loaded. Labelled `lines` stand beneath.
    """
    css, js = source(_FOLDER)
    rest = canvas_data(drawn, pinned=pinned, groups=groups)
    seed = next((node.key for node in drawn.nodes if node.is_seed), "")
    rest |= {"selected": seed, "nodes": None, "edges": None, "options": None}
    style = css_variables(":root") + STYLE + _SAID_STYLE
    script = js.replace("export default function", "const draw = function", 1) + _MOUNT
    library = vis_library()
    allowed = f"script-src {hashed(library)} {hashed(script)}; style-src {hashed(style)} {hashed(css)}"
    network = picture(drawn.nodes, drawn.edges, drawn.look).network
    network.set_template(str(_FOLDER / "page.html"))
    network.templateEnv.filters["fromjson"] = json.loads
    network.templateEnv.globals.update(
        title=title, lines=list(lines), style=style, css=css, root=HTML, library=library, script=script, rest=rest,
        policy=f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'",
    )  # fmt: skip
    return network.generate_html(notebook=False)


def read_web_page(text: str) -> Graph:
    """Nodes and edges of a file that `web_page` wrote.

    Raises:
        ValueError: if it is of another form.
    """
    try:
        nodes, edges = (json.loads(re.findall(_PART.format(name), text, re.DOTALL)[0]) for name in ("nodes", "edges"))
        graph = nx.DiGraph()
        for one in nodes:
            has = {"layer": one["layer"], "site": one["row"], "index": one["label"], "label": one["meaning"], "origin": one["role"]}
            has |= {name: one[name] for name in ("kind", "name", "position") if name in one}
            graph.add_node(one["id"], **has, note=one["note"], seed=one["seed"])
        for one in edges:
            graph.add_edge(one["from"], one["to"], weight=one["weight"], note=one["note"], mutual=not one["dashes"])
        return from_networkx(graph)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"This is not a web page that the flow page wrote: {type(error).__name__} {error}.") from error


def read_file(text: str) -> Graph:
    """Nodes and edges of a file that `web_page`, `graphml` or `circuit_json` wrote.

    Raises:
        ValueError: if it is of another form.
    """
    text = text.lstrip("\ufeff \t\r\n")
    try:
        if text.startswith(("{", "[")):
            nodes, edges = read_circuit_json(json.loads(text))
        elif text[:14].lower().startswith(("<!doctype html", "<html")):
            nodes, edges = read_web_page(text)
        else:
            nodes, edges = read_graphml(text)
    except (RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"This is not a JSON file that the flow page wrote: {error}.") from error
    if not 1 <= len(nodes) <= MAX_NODES or len(edges) > MAX_EDGES:
        raise ValueError(
            f"This file holds {len(nodes):,} latents and {len(edges):,} links; 1 to {MAX_NODES:,} latents and up to {MAX_EDGES:,} links "
            "can be drawn. Save a smaller graph."
        )
    for edge in edges:
        if not abs(edge.weight) <= 1 + 1e-6:
            raise ValueError(f"The link {edge.key!r} of this file has the weight {edge.weight}; a cosine is -1 to 1.")
    return nodes, edges


def for_xml(text: str) -> str:
    """Text that XML can hold: control characters as their Unicode pictures, what is not a character as U+FFFD."""
    shown = re.sub(r"[\x00-\x08\x0b-\x1f]", lambda found: chr(0x2400 + ord(found[0])), text)
    return re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", shown)


def graphml(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge]) -> str:
    """The graph with every attribute; `read_graphml` gives it back."""
    graph = to_networkx(nodes, edges)
    for has in (*(has for _, has in graph.nodes(data=True)), *(has for _, _, has in graph.edges(data=True))):
        has.update({name: for_xml(value) for name, value in has.items() if isinstance(value, str)})
    return "\n".join(("<?xml version='1.0' encoding='utf-8'?>", *nx.generate_graphml(graph), ""))


def read_graphml(text: str) -> Graph:
    """Nodes and edges of a file that `graphml` wrote.

    Raises:
        ValueError: if it is of another form.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("This GraphML file declares entities, which are not read. Save it without them.")
    try:
        graph = nx.parse_graphml(text.partition("?>")[2] if text.lstrip().startswith("<?xml") else text)
        return from_networkx(nx.DiGraph(graph))
    except (KeyError, ValueError, OverflowError, nx.NetworkXException, SyntaxError) as error:
        raise ValueError(f"This is not a GraphML file of a flow graph ({error}). Export one from the flow page.") from error


def circuit_json(
    nodes: Sequence[GraphNode],
    edges: Sequence[GraphEdge],
    *,
    slug: str,
    scan: str,
    description: str,
    generator: str,
    pinned: Sequence[str] = (),
    selected: str = "",
    groups: Sequence[GraphGroup] = (),
    settings: Mapping[str, Any] | None = None,
    weights: str = "cosines",
) -> dict[str, Any]:
    """The graph in the form of circuit-tracer's graph files, as far as it fits: a node of no position is at position 0.

    Those viewers know one row a layer; here a layer has three, so their layer is 3 x layer + 0 for attention, 1 for MLP, 2 for the
    residual stream, which also keeps ids apart. `latent` on each node is our own name for it, which `read_circuit_json` reads, as it
    does `row`, `kind`, `name` and `position` of nodes that are not latents of these three at no position.
    """
    ids = {node.key: _name(node) for node in nodes}
    return {
        "metadata": {
            "slug": slug,
            "scan": scan,
            "prompt_tokens": [""],
            "prompt": "",
            "transcoder_list": [],
            "node_threshold": 1.0,
            "schema_version": 1,
            "info": {
                "description": f"{description} Layer here is 3 x layer + 0 attention, 1 MLP, 2 residual stream; weights are {weights}.",
                "generator": {"name": generator},
            },
            "generation_settings": dict(settings or {}),
            "pruning_settings": {},
        },
        "qParams": {
            "pinnedIds": [ids[key] for key in pinned if key in ids],
            "supernodes": [[group.name, *(ids[key] for key in group.members if key in ids)] for group in groups],
            "linkType": "both",
            "clickedId": ids.get(selected, ""),
            "sg_pos": "",
        },
        "nodes": [_circuit_node(node, ids[node.key]) for node in nodes],
        "links": [{"source": ids[edge.source], "target": ids[edge.target], "weight": float(edge.weight)} for edge in edges],
    }


def read_circuit_json(file: Mapping[str, Any]) -> Graph:
    """Nodes and edges of a file that `circuit_json` wrote; notes are not in it.

    Raises:
        ValueError: if it is of another form, for example from another program: its nodes do not name our latents.
    """
    try:
        key_of: dict[str, str] = {}
        nodes: list[GraphNode] = []
        for each in file["nodes"]:
            layer, site = divmod(int(each["layer"]), 3)
            row = GraphRow(each.get("row", _ROWS[site]))
            key_of[each["node_id"]] = str(each["latent"])
            index = int(str(each["node_id"]).split("_")[1])
            role = GraphRole(each.get("origin", GraphRole.NOT_KNOWN))
            kind, position = GraphKind(each.get("kind", GraphKind.LATENT)), each.get("position")
            nodes.append(
                GraphNode(
                    str(each["latent"]), layer, row, index, str(each["clerp"]), role, "", bool(each.get("seed")),
                    kind, str(each.get("name", "")), None if position is None else int(position),
                )
            )  # fmt: skip
        edges = [GraphEdge(key_of[link["source"]], key_of[link["target"]], float(link["weight"]), "") for link in file["links"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"This is not a graph file that the flow page wrote: {type(error).__name__} {error}.") from error
    return tuple(nodes), tuple(edges)


def _circuit_node(node: GraphNode, name: str) -> dict[str, Any]:
    depth = _depth(node)
    return {
        "node_id": name,
        "feature": (depth + node.index) * (depth + node.index + 1) // 2 + node.index,
        "layer": str(depth),
        "ctx_idx": node.position or 0,
        "feature_type": _TYPES[node.kind],
        "jsNodeId": f"{name.rpartition('_')[0]}-{node.position or 0}",
        "clerp": node.label,
        "token_prob": 0.0,
        "is_target_logit": node.kind is GraphKind.LOGIT and node.is_seed,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "influence": None,
        "activation": None,
        "latent": node.key,
        "origin": node.role.value,
        "seed": node.is_seed,
        **({} if node.row in _ROWS else {"row": node.row.value}),
        **further(node),
    }


_ROWS = (GraphRow.ATTN, GraphRow.MLP, GraphRow.RESID)
_SLOTS = {GraphRow.EMBED: 0, GraphRow.ATTN: 0, GraphRow.MID: 0, GraphRow.MLP: 1, GraphRow.RESID: 2, GraphRow.LOGIT: 2}
_TYPES = {
    GraphKind.LATENT: "cross layer transcoder",
    GraphKind.ERROR: "mlp reconstruction error",
    GraphKind.TOKEN: "embedding",
    GraphKind.LOGIT: "logit",
}
"""As circuit-tracer calls what we have."""


def _depth(node: GraphNode) -> int:
    return 3 * node.layer + _SLOTS[node.row]


def _name(node: GraphNode) -> str:
    """Layer, index and position; what shares these with a latent of the three rows says besides what it is."""
    own = "" if node.kind is GraphKind.LATENT and node.row in _ROWS else f"{node.row.value}{node.kind.value}"
    return f"{own}{_depth(node)}_{node.index}_{node.position or 0}"
