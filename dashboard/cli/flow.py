"""Commands on the feature flow: `flow NAME`, the graph of one latent, and `flow match`, tables of every latent's matches."""

import itertools
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.roster.chosen import DEFAULT_RELEASE
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, figure, paper, progress
from dashboard.cli.runner import open_default_runner
from dashboard.cli.studies import StudyGroup


class _GraphUnlessNamed(StudyGroup):
    """`flow NAME` is `flow graph NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.list_commands(ctx) and args[0] != "--help":
            args = ["graph", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_GraphUnlessNamed, no_args_is_help=True, help="Where a latent comes from, layer by layer: NAME, match.")


@app.command("graph")
def flow_graph(
    name: Annotated[str, typer.Argument(metavar="NAME", help="RELEASE/NAME/INDEX, for example smollm2-135m/19.resid_post/615.")],
    t_res: Annotated[float, typer.Option(help="Smallest cosine of a residual link inside the span.")] = 0.5,
    t_module: Annotated[float, typer.Option(help="Smallest cosine of an MLP or attention latent to show.")] = 0.15,
    top: Annotated[int, typer.Option("--top-k", "--top", help="Predecessors shown at each point.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Also show what lies outside the span.")] = False,
    backward: Annotated[bool, typer.Option(help="Include the layers before.")] = True,
    forward: Annotated[bool, typer.Option(help="Include the layers after.")] = True,
    both: Annotated[bool, typer.Option("--both", help="Also show the best matches of both ends of each link.")] = False,
    as_json: Json = False,
) -> None:
    """The flow graph of one latent (`latents flow NAME` is the same)."""
    from dashboard.analysis.methods.flow import graph as flow
    from dashboard.analysis.methods.flow.results import FlowAsk
    from dashboard.analysis.methods.flow.suite import find_suite
    from dashboard.analysis.names import LatentId
    from dashboard.analysis.sae.catalog import read_catalog
    from dashboard.analysis.studies.record import make_record

    ask = FlowAsk(LatentId.parse(name), t_res, t_module, top, not everything, backward, forward)
    catalog = read_catalog(get_settings())
    catalog.latent(ask.seed)
    suite = find_suite(catalog, ask.seed.sae)
    runner = open_default_runner()
    started = time.perf_counter()
    graph = flow.with_facts(flow.build(runner, suite, ask), runner.catalog)
    seconds = time.perf_counter() - started
    saes = [sae for layer in suite.layers for sae in (layer.attn, layer.mlp, layer.resid) if sae is not None]
    answer = flow.report(graph, make_record("flow", flow.ask_data(ask), runner.describe(), runner.catalog, saes, seconds), both)
    if as_json:
        emit(answer)
        return
    nodes = Table("latent", "s_R", "s_M", "s_A", "label", box=None, pad_edge=False)
    for node in answer["nodes"]:
        nodes.add_row(node["id"], *("" if node[key] is None else f"{node[key]:.2f}" for key in ("s_res", "s_mlp", "s_att")), node["label"])
    paper.print(nodes)
    for edge in answer["edges"]:
        asymmetric = "" if edge.get("mutual", True) else f"   back {edge['back']} {edge['back_weight']:.2f}, forth {edge['forth']}"
        paper.print(f"{edge['source']} -> {edge['target']}  {edge['weight']:.2f}{asymmetric}", soft_wrap=True)
    for line in (f"span: layers {graph.span[0]} to {graph.span[1]}", *graph.notes):
        paper.print(line, soft_wrap=True)


@app.command("match")
def flow_match(
    sae: Annotated[list[str] | None, typer.Argument(help=f"RELEASE or RELEASE/NAME ...; default: {DEFAULT_RELEASE}.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every release of this installation.")] = False,
    top: Annotated[int, typer.Option("--top-k", "--top", help="Matches kept of each latent.")] = 1,
    as_json: Json = False,
) -> None:
    """Match all latents of some suites, layer by layer and both ways; existing tables are reused."""
    from dashboard.analysis.methods.flow.suite import asks_of, find_suite
    from dashboard.analysis.sae.catalog import read_catalog
    from dashboard.analysis.sae.selecting import select

    if sae and everything:
        raise BadAsk("--all and names of SAEs were both given. Remove one.")
    settings = get_settings()
    catalog = read_catalog(settings)
    releases = sorted({spec.id.release for spec in catalog.specs}) if everything else [DEFAULT_RELEASE]
    asks: dict[Any, None] = {}
    for _, group in itertools.groupby(select(catalog, sae or releases), key=lambda spec: spec.id.release):
        wanted = list(group)
        layers = {spec.site.layer for spec in wanted}
        for spec in wanted:
            if spec.site.point == "resid_post":
                suite = find_suite(catalog, spec.id)
                asks |= {ask: None for ask in asks_of(suite, top) if suite.of_sae(ask.of) is not None and _layer(suite, ask) in layers}
    if not asks:
        named = ", ".join(sae or releases)
        raise BadAsk(f"{named}: 0 tables. A table needs a residual dictionary and another one of its layer, or of a layer before.")
    runner = open_default_runner()
    rows: list[dict[str, Any]] = []
    with progress("matching") as show:
        for n, ask in enumerate(asks):
            show(n / len(asks), f"{ask.of.name} in {ask.among.name}")
            cached, started = runner.matcher.is_kept(ask), time.perf_counter()
            table = runner.ask(ask)
            best = table.cosine[:, 0]
            figures = {"latents": len(best), "mean_cosine": float(best.mean()), "share_over_half": float((best >= 0.5).mean())}
            row = {"of": str(ask.of), "among": str(ask.among), "top": ask.top, **figures, "cached": cached}
            rows.append({**row, "seconds": round(time.perf_counter() - started, 3)})
        show(1.0, "")
    if as_json:
        emit(rows)
        return
    out = Table("of", "among", "latents", "mean cosine", "share from 0.5", "cached", "s", box=None, pad_edge=False)
    for row in rows:
        cells = (figure(row[key]) for key in ("latents", "mean_cosine", "share_over_half"))
        out.add_row(row["of"], row["among"], *cells, "yes" if row["cached"] else "no", f"{row['seconds']:.2f}")
    paper.print(out)
    kept = sum(row["cached"] for row in rows)
    paper.print(f"{len(rows)} tables: {kept} from the cache, {len(rows) - kept} made now", soft_wrap=True)


def _layer(suite: Any, ask: Any) -> int:
    """The layer of the later of the two."""
    return max(suite.of_sae(sae).layer for sae in (ask.of, ask.among))
