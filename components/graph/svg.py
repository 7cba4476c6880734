"""A graph over a model as an SVG picture for a paper: light and dark, with the colours of the canvas, no script."""

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from components.data import GraphEdge, GraphKind, GraphNode, GraphRole, GraphRow
from components.graph.files import for_xml
from components.graph.layout import PITCH
from components.graph.picture import ROLE_NAMES, GraphLook, GraphPicture, width_of
from components.palette import DARK, LIGHT, ORIGINS, SIGNED, SIGNED_DARK

_SIDE, _HEAD, _LINE = 80, 70, 13
_LETTERS = 18
"""Letters of a label that fit into a column, about."""


def graph_svg(drawn: GraphPicture, title: str, lines: Sequence[str] = ()) -> str:
    """The picture, with a title above, and a legend and `lines` below. All text is text."""
    layout = drawn.layout
    left = -0.5 * PITCH - _SIDE
    right = max((column.x for column in layout.columns), default=0.0) + _SIDE
    bottom = max((band.bottom for band in layout.bands), default=0.0) + 30
    height = _HEAD + bottom + 24 + 16 * len(lines)
    parts = [
        f'<svg xmlns="{_NAMESPACE}" viewBox="{left:g} {-_HEAD} {right - left:g} {height:g}" role="img">',
        f"<title>{_text(title)}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" x="{left:g}" y="{-_HEAD}" width="{right - left:g}" height="{height:g}"/>',
        f'<text class="title" x="{left + 12:g}" y="-46">{_text(title)}</text>',
    ]
    for band in layout.bands:
        size = f'width="{right - left - 16:g}" height="{band.bottom - band.top + 8:g}"'
        parts.append(f'<rect class="band" x="{left + 8:g}" y="{band.top - 4:g}" {size} rx="6"/>')
        parts.append(f'<text class="quiet" x="{left + 16:g}" y="{band.top + 12:g}">{_text(band.title)}</text>')
    for column in layout.columns:
        parts.append(f'<text class="quiet middle" x="{column.x:g}" y="-16">{_text(column.title)}</text>')
    largest = max([1.0, *(abs(edge.weight) for edge in drawn.edges)])
    parts += [_edge(edge, layout.at, drawn.look, width_of(edge, drawn.look, largest)) for edge in drawn.edges]
    parts += [_node(node, *layout.at[node.key]) for node in drawn.nodes]
    parts += _legend(drawn, left + 12, bottom)
    parts += [f'<text class="quiet" x="{left + 12:g}" y="{bottom + 20 + 16 * i:g}">{_text(line)}</text>' for i, line in enumerate(lines)]
    return "\n".join((*parts, "</svg>", ""))


_NAMESPACE = "http:" + "//www.w3.org/2000/svg"
"""A name by which readers know SVG, not an address that is asked."""


def _text(text: str) -> str:
    return escape(for_xml(text), quote=True)


def _style() -> str:
    def theme(colours: dict[str, str], place: int) -> str:
        roles = " ".join(f".{name} {{ fill: {pair[place]}; stroke: {pair[place]} }}" for name, pair in ORIGINS.items())
        return (
            f".paper {{ fill: {colours['paper']} }} .band {{ fill: {colours['line']}; opacity: 0.3 }} {roles} .not_known {{ fill: none }} "
            f"text {{ fill: {colours['ink']}; stroke: none }} "
            f".label {{ paint-order: stroke; stroke: {colours['paper']}; stroke-width: 3px }} "
            f".quiet {{ fill: {colours['quiet']} }} .link {{ stroke: {colours['quiet']} }} .seed {{ stroke: {colours['ink']} }} "
            f".against {{ stroke: {(SIGNED, SIGNED_DARK)[place][0]} }} "
        )

    common = (
        "text { font: 11px system-ui, 'Noto Sans', 'Noto Sans CJK KR', sans-serif } .title { font-size: 15px; font-weight: 600 } "
        ".middle { text-anchor: middle } .link { fill: none; opacity: 0.55 } .seed { fill: none; stroke-width: 2 } "
    )
    return f"{common}{theme(LIGHT, 0)}@media (prefers-color-scheme: dark) {{ {theme(DARK, 1)} }}"


def _edge(edge: GraphEdge, at: dict[str, tuple[float, float]], look: GraphLook, width: float) -> str:
    (x0, y0), (x1, y1) = at[edge.source], at[edge.target]
    bend = 0.45 * (x1 - x0)
    dashes = "" if edge.is_mutual else ' stroke-dasharray="6 5"'
    path = f"M{x0:g} {y0:g} C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}"
    said = _text(f"{edge.source} → {edge.target}: {edge.weight:.2f}")
    kind = "link against" if look.signed and edge.weight < 0 else "link"
    return f'<path class="{kind}" d="{path}" stroke-width="{width:.2f}"{dashes}><title>{said}</title></path>'


_OUTLINES = {
    GraphKind.ERROR: "M{x:g} {y:g} m0 -11 l11 11 l-11 11 l-11 -11 Z",
    GraphKind.TOKEN: "M{x:g} {y:g} m-9 -9 h18 v18 h-18 Z",
    GraphKind.LOGIT: "M{x:g} {y:g} m0 -12 l3.5 8 l8.5 1 l-6.5 6 l2 8.5 l-7.5 -4.5 l-7.5 4.5 l2 -8.5 l-6.5 -6 l8.5 -1 Z",
}
"""Of nodes that are not latents, as on the canvas: a diamond, a square, a star."""


def _node(node: GraphNode, x: float, y: float) -> str:
    if node.kind is not GraphKind.LATENT:
        shape = f'<path class="{node.role.value}" d="{_OUTLINES[node.kind].format(x=x, y=y)}"/>'
    elif node.row not in (GraphRow.MLP, GraphRow.ATTN):
        shape = f'<circle class="{node.role.value}" cx="{x:g}" cy="{y:g}" r="11"/>'
    elif node.row is GraphRow.MLP:
        shape = f'<rect class="{node.role.value}" x="{x - 9:g}" y="{y - 9:g}" width="18" height="18"/>'
    else:
        shape = f'<path class="{node.role.value}" d="M{x:g} {y - 11:g} L{x + 10:g} {y + 8:g} L{x - 10:g} {y + 8:g} Z"/>'
    seed = f'<circle class="seed" cx="{x:g}" cy="{y:g}" r="14.5"/>' if node.is_seed else ""
    said = [for_xml(node.name) or str(node.index), *wrap(for_xml(node.label), _LETTERS, max_lines=2, placeholder=" …")]
    first = y - 19 - _LINE * (len(said) - 1) if node.row is GraphRow.RESID else y + 25
    label = "".join(f'<tspan x="{x:g}" y="{first + _LINE * i:g}">{escape(line)}</tspan>' for i, line in enumerate(said))
    return f'<g><title>{_text(f"{node.key} {node.label}")}</title>{shape}{seed}<text class="label middle">{label}</text></g>'


def _legend(drawn: GraphPicture, x: float, y: float) -> list[str]:
    present = {node.role for node in drawn.nodes}
    parts = [f'<text class="quiet" x="{x:g}" y="{y:g}">{_text(drawn.look.legend)}</text>']
    x += 80
    for role in GraphRole:
        if role in present:
            parts.append(f'<circle class="{role.value}" cx="{x:g}" cy="{y - 4:g}" r="5"/>')
            parts.append(f'<text class="quiet" x="{x + 10:g}" y="{y:g}">{ROLE_NAMES[role]}</text>')
            x += 26 + 6.2 * len(ROLE_NAMES[role])
    return parts
