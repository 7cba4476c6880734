"""The study of what SAEs keep of a model on held-out text: L0, FVU, dead share and CE recovered."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dashboard.analysis.asks.measuring import Evaluation, EvaluationAsk
from dashboard.analysis.methods.measure import study_options as own
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import in_blocks
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study


@dataclass(frozen=True)
class EvalAsk:
    """Figures of some SAEs on the held-out documents of some texts."""

    sae: tuple[str, ...] = own.saes()
    text: tuple[str, ...] = own.text()
    tokens: int = option(300_000, "Held-out tokens for L0, FVU and dead share.", low=256, label="Tokens")
    loss_tokens: int = option(30_000, "Of these, how many for CE recovered.", low=256, label="Of these for CE recovered")
    dialogues_as_chat: bool = option(False, 'Put documents of "User:" and "Assistant:" turns through the chat template.')
    write: bool = own.write()


@dataclass(frozen=True)
class Evaluations:
    """Figures of every SAE."""

    of_sae: Mapping[SaeId, Evaluation]


def _asked(bench: Bench, ask: EvalAsk) -> dict[str, Any]:
    return own.asked(
        own.chosen(bench.catalog, ask.sae),
        ask.text,
        n_tokens=ask.tokens,
        n_loss_tokens=ask.loss_tokens,
        dialogues_as_chat=ask.dialogues_as_chat,
    )


def _saes(bench: Bench, ask: EvalAsk) -> tuple[SaeId, ...]:
    return own.chosen(bench.catalog, ask.sae)


def _steps(bench: Bench, ask: EvalAsk) -> Iterator[Progress[Evaluations]]:
    def measure(lot: tuple[SaeId, ...]) -> Evaluations:
        turns = bench.runner.stream(EvaluationAsk(lot, ask.text, ask.tokens, ask.loss_tokens, ask.dialogues_as_chat))
        return Evaluations({name: figures for turn in turns for name, figures in turn.evaluations})

    names = own.chosen(bench.catalog, ask.sae)
    found: dict[SaeId, Evaluation] = {}
    lots = [tuple(lot) for lot in in_blocks(names, own.LOT)]
    for lot in bench.each("figures", Evaluations, lots, measure):
        found |= lot.of_sae
        yield Progress(len(found), len(names), result=Evaluations(dict(found)))


def _rows(made: Made[EvalAsk, Evaluations]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, one in made.result.of_sae.items():
        row = {"name": str(name), "CE recovered": one.ce_recovered, "FVU": f"{one.fvu:.4f}", "L0": f"{one.l0:.1f}"}
        row |= {"dead": f"{one.dead_share:.1%}", "decoder cosine": f"{one.decoder_cosine:.4f}", "tokens": f"{one.n_tokens:,}"}
        rows.append(row)
        for prefix in one.prefixes:
            nested = {"CE recovered": prefix.ce_recovered, "FVU": f"{prefix.fvu:.4f}", "L0": f"{prefix.l0:.1f}"}
            rows.append({"name": f"  first {prefix.width:,}", **nested, "dead": "", "decoder cosine": "", "tokens": ""})
    return rows


def _tables(made: Made[EvalAsk, Evaluations]) -> Mapping[str, Rows]:
    return {"figures": [{"name": str(name), **asdict(one)} for name, one in made.result.of_sae.items()]}


STUDY = Study(
    kind="sae eval",
    about="Measure SAEs on the held-out documents (the last 5 % of each file) of a text.",
    ask=EvalAsk,
    result=Evaluations,
    unit="SAEs",
    steps=_steps,
    title=lambda ask: f"{', '.join(ask.sae)} on {', '.join(ask.text)}",
    command=("sae", "eval"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    answer=lambda made: {str(name): asdict(one) for name, one in made.result.of_sae.items()},
    printed=lambda made: [_rows(made)],
)
