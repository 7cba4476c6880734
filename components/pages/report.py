# pyright: basic
"""Figures and tables as one HTML file that opens without a network, in light and dark, and can be hovered and zoomed."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from components.figures.known import CONFIG
from components.pages.one_component import STYLE, hashed
from components.palette import DARK, LIGHT, css_variables

_STYLE = """
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.5rem; }
p, li { max-width: 70rem; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-size: 0.9rem; }
.figure { min-height: 20rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.82rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 500; }
td { max-width: 28rem; overflow-wrap: anywhere; }
summary { cursor: pointer; margin-top: 0.6rem; }
"""
_MOUNT = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function inks() {
  const [ink, line] = dark.matches ? ["INK_DARK", "LINE_DARK"] : ["INK_LIGHT", "LINE_LIGHT"];
  const look = { "font.color": ink, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  for (const axis of ["xaxis", "yaxis"]) { look[axis + ".gridcolor"] = line; look[axis + ".zerolinecolor"] = line; }
  return look;
}
for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, { ...CONFIG, responsive: true }).then(() => Plotly.relayout(id, inks()));
}
dark.addEventListener("change", () => Object.keys(figures).forEach((id) => Plotly.relayout(id, inks())));
"""


@dataclass(frozen=True)
class Section:
    """A part of the report: any of its fields may be empty."""

    title: str
    text: str = ""
    figure: go.Figure | None = None
    tables: tuple[tuple[str, Sequence[Mapping[str, Any]]], ...] = ()
    """Each with its summary; shown when that is clicked, or at once if it is empty."""


def page(title: str, sections: Sequence[Section], records: Mapping[str, str]) -> str:
    """An HTML file of these sections, with Plotly inside it, and beneath them what made them. Nothing is loaded; only what is
    written here may run."""
    plotly = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    mount = _MOUNT.replace("CONFIG", json.dumps(CONFIG))
    for name, theme in (("LIGHT", LIGHT), ("DARK", DARK)):
        mount = mount.replace(f"INK_{name}", theme["ink"]).replace(f"LINE_{name}", theme["line"])
    drawn = {f"figure{place}": section.figure for place, section in enumerate(sections) if section.figure is not None}
    # A template of Plotly's own would bring its colours; none of its blanks may begin a tag.
    figures = {
        name: json.loads(
            figure.update_layout(template="none").update_xaxes(automargin=True).update_yaxes(automargin=True).to_json() or "{}"
        )
        for name, figure in drawn.items()
    }
    inert = json.dumps(figures, allow_nan=False).replace("<", "\\u003c")
    body = "\n".join(_section(section, f"figure{place}") for place, section in enumerate(sections))
    made = "".join(_record(name, record) for name, record in records.items())
    # Plotly writes styles of its own, and draws a figure as an image when it is saved.
    policy = f"default-src 'none'; script-src {hashed(plotly)} {hashed(mount)}; style-src 'unsafe-inline'; img-src data: blob:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{css_variables(":root")}{STYLE}{_STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
{body}
<h2>How this was made</h2>
{made}
</main>
<script type="application/json" id="figures">{inert}</script>
<script>{plotly}</script>
<script>{mount}</script>
</body>
</html>
"""


def _section(section: Section, name: str) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(line)}</p>" for line in section.text.splitlines() if line]
    if section.figure is not None:
        parts.append(f'<div class="figure" id="{name}"></div>')
    for summary, rows in section.tables:
        table = f'<div class="table">{_table(rows)}</div>'
        parts.append(f"<details><summary>{html.escape(summary)}</summary>{table}</details>" if summary else table)
    return "\n".join(parts)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p class='quiet'>none</p>"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(_cell(row.get(name)))}</td>" for name in columns) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return "not known" if value is None else str(value)


def _record(name: str, said: str) -> str:
    return f"<details><summary>Record: {html.escape(name)}</summary><pre class='quiet'>{html.escape(said)}</pre></details>"
