"""A drawn component as one HTML file that opens without a network, without this program, and in light and dark."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.assets import HTML, source
from components.palette import css_variables

STYLE = """
:root { color-scheme: light dark; --st-font: system-ui, "Noto Sans", "Noto Sans CJK KR", sans-serif; }
html { font-size: clamp(16px, 9px + 0.55vw, 20px); }
body { margin: 0; background: var(--paper); color: var(--ink); font-family: var(--st-font); line-height: 1.5; }
main { max-width: 88rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 650; margin: 0 0 1rem; overflow-wrap: anywhere; }
#component { --tallest: none; --overflow: visible; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.5rem; font-size: 0.9rem; }
dl { margin: 2rem 0 0; padding-top: 1rem; border-top: 1px solid var(--line); }
dt { color: var(--quiet); }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
@media (max-width: 600px) { dl { grid-template-columns: minmax(0, 1fr); } dd { margin-bottom: 0.5rem; } }
"""
_MOUNT = """
const data = JSON.parse(document.getElementById("data").textContent);
draw({ data, parentElement: document.getElementById("component").shadowRoot, setTriggerValue() {} });
"""


def page(component: str, data: Mapping[str, Any], title: str, lines: Sequence[tuple[str, str]]) -> str:
    """An HTML file that draws `data` with the component of this name, with labelled `lines` beneath; a click does nothing.

    Only the scripts and styles written here may run, by their hashes, and nothing may be loaded.
    """
    css, js = source(Path(__file__).parents[1] / component)
    style = css_variables(":root") + STYLE
    script = js.replace("export default function", "const draw = function", 1) + _MOUNT
    allowed = f"script-src {hashed(script)}; style-src {hashed(style)} {hashed(css)}"
    described = "".join(f"<dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd>\n" for label, value in lines)
    # No `<` of the data may begin a tag or a comment.
    inert = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<div id="component"><template shadowrootmode="open"><style>{css}</style>{HTML}</template></div>
<dl>
{described}</dl>
</main>
<script type="application/json" id="data">{inert}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def hashed(text: str) -> str:
    """How a content security policy names an inline script or style that may be used."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
