"""`latents lens`: what the model is disposed to say after each token, layer by layer."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from dashboard.analysis.asks.lens import LensAsk, LensKind
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import Prompt
from dashboard.cli.output import Json, emit, paper
from dashboard.cli.runner import Dtype, open_default_runner

app = typer.Typer()
_COLUMNS = 8
"""Layers that a table shows, evenly spaced, with the last."""


@app.command()
def lens(
    text: str,
    kind: Annotated[LensKind, typer.Option("--lens", help="jacobian needs a lens fitted for the model.")] = LensKind.LOGIT,
    latent: Annotated[str | None, typer.Option(help="Also read the direction of this latent: RELEASE/NAME/INDEX.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Words for each token and layer.")] = 5,
    chat: Annotated[bool, typer.Option(help="Put the text through the chat template as a user message.")] = False,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")] = None,
    as_json: Json = False,
) -> None:
    """What the model is disposed to say after each token of TEXT, at each layer."""
    from dashboard.analysis.methods.lens.method import report

    runner = open_default_runner(dtype.value if dtype else None)
    named = None if latent is None else runner.catalog.latent(LatentId.parse(latent))
    answer = report(runner, LensAsk(Prompt(text, chat), kind, top), named)
    if as_json:
        emit(answer)
        return
    n_layers = len(answer["tokens"][0]["layers"])
    shown = sorted({round(i * (n_layers - 1) / (_COLUMNS - 1)) for i in range(_COLUMNS)})
    table = Table("token", *(f"layer {layer}" for layer in shown), box=None, pad_edge=False)
    for token in answer["tokens"]:
        words = (token["layers"][layer]["words"][0] for layer in shown)
        cells = (Text(f"{word['text']!r} {100 * word['probability']:.0f} %") for word in words)
        table.add_row(Text(repr(token["text"])), *cells, style="dim" if token["special"] else None)
    paper.print(table)
    for layer in answer.get("direction", {}).get("layers", ()):
        words = "  ".join(repr(word["text"]) for word in layer["likelier"])
        paper.print(f"{answer['direction']['latent']} at layer {layer['layer']}: {words}", markup=False)
    if answer["fit"] and answer["fit"]["check"]:
        check = answer["fit"]["check"]
        for name in LensKind:
            middle = check[name.value][n_layers // 2]
            agreement = middle["agreement"]
            paper.print(
                f"{name.value} lens, layer {middle['layer']}: the model's own next word on {agreement['mean']:.1%} "
                f"[{agreement['low']:.1%}, {agreement['high']:.1%}] of {check['n_tokens']} held-out tokens",
                markup=False,
            )
