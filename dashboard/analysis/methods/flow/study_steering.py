"""The study of steering along a flow: the ask with its options, what is kept, and what its command prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow import schedule as schedules
from dashboard.analysis.methods.flow import steering as method
from dashboard.analysis.methods.flow import study_options as own
from dashboard.analysis.methods.flow.graph import build
from dashboard.analysis.methods.flow.results import FlowAsk
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.stats.judge import Judge
from dashboard.analysis.stats.text_proxies import Classifier, Lexicon
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study
from dashboard.analysis.tokens import Prompt

JUDGE_KEY = "LATENTS_JUDGE_KEY"
"""Where the key of the judge is; it is kept nowhere."""
GRIDS = {schedules.Goal.ACTIVATE: (0.0, 0.5, 1.0, 2.0), schedules.Goal.DEACTIVATE: (1.0, 0.0, -1.0, -2.0)}
"""Strengths where none are given."""
_SHOWN = ("setting", "layer", "strength", "measured_by", "n", "behaviour", "coherence", "total")


@dataclass(frozen=True)
class FlowSteerAsk:
    """What steering the flow of some latents does, against steering them alone and single layers."""

    seeds: tuple[LatentId, ...] = option((), "Latents of the initial set; their flow is the flow set.", argument="NAME...")
    theme: str = option("the theme", "Name of the theme, as given to the judge.", label="Theme")
    words: tuple[str, ...] = option(
        (), "Theme words, separated by commas: behaviour is their rate.", label="Theme words, separated by commas"
    )
    prompt: str = option("I think", "Beginning of every text.", label="Prompt")
    goal: schedules.Goal = option(schedules.Goal.ACTIVATE, "activate or deactivate.", label="Goal")
    strengths: tuple[float, ...] = option((), "Separated by commas; default 0,0.5,1,2 or, to deactivate, 1,0,-1,-2.", label="Strengths")
    unit: Unit = option(Unit.MAX, "raw, max or norm: what a strength of 1 is.", label="A strength of 1 is")
    decay: schedules.Decay = option(schedules.Decay.CONSTANT, "constant, linear or exponential over the layers.", label="Over the layers")
    alpha: float = option(schedules.ALPHA, "Rate of the exponential decay.")
    held_out: tuple[LatentId, ...] = option(
        (),
        "A latent that reads the texts back; may be given more than once.",
        many=Many.REPEATED,
        label="Held-out latents that score the texts, separated by commas",
    )
    reference: tuple[str, ...] = option((), "Texts on the theme, one per line.", many=Many.LINES, label="Texts on the theme, one per line")
    others: tuple[str, ...] = option(
        (),
        "Other texts, one a line: with --reference they train a classifier.",
        many=Many.LINES,
        label="Other texts, one per line (with those above they train a classifier)",
    )
    modules: bool = option(False, "Include MLP and attention latents in the flow set.")
    t_res: float = option(0.5, "Smallest cosine of a residual link.")
    t_module: float = option(0.15, "Smallest cosine of an MLP or attention latent.")
    texts: int = option(4, "Texts at each point.", low=1, high=method.MAX_TEXTS, label="Texts per point")
    max_new_tokens: int = option(36, "1 to 512.", label="Tokens")
    temperature: float = option(1.27, "0 takes the most likely token.", label="Temperature")
    top_p: float = option(0.7, "Draw from the smallest set of tokens with this much probability.")
    seed: int = own.seed()
    judge: str = option("", "Address of a chat completions server: http(s)://HOST/v1.", label="Judge's URL")
    judge_model: str = option("", "The judge's name there; its key is read from LATENTS_JUDGE_KEY.", label="Judge's model")

    def __post_init__(self) -> None:
        self.behaviour()
        self.schedule()
        Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)
        self.grader("")
        if self.temperature == 0 and self.texts > 1:
            raise BadAsk(f"At temperature 0 all {self.texts} texts are the same. Ask for 1, or raise the temperature.")

    def behaviour(self) -> method.Behaviour:
        """What behaviour is measured by."""
        lexicon = Lexicon(self.words, self.reference) if self.words else None
        classifier = Classifier(self.reference, self.others) if self.others else None
        return method.Behaviour(self.theme, lexicon, classifier, self.held_out, self.reference)

    def schedule(self) -> schedules.Schedule:
        """How latents become edits."""
        return schedules.Schedule(self.goal, decay=self.decay, unit=self.unit, alpha=self.alpha)

    def grader(self, key: str) -> Judge | None:
        """The judge; None where none is named."""
        return Judge(self.judge.strip(), self.judge_model, key) if self.judge.strip() else None


@dataclass(frozen=True)
class SteeredFlow:
    """Results of a study so far, with everything that was steered."""

    asked: method.FlowSteeringAsk
    flow_set: tuple[LatentId, ...]
    found: method.FlowSteering


def _saes(bench: Bench, ask: FlowSteerAsk) -> tuple[SaeId, ...]:
    """Every dictionary that the flow may run through."""
    found: dict[SaeId, None] = {}
    for latent in ask.seeds:
        for layer in find_suite(bench.catalog, bench.catalog.latent(latent).sae).layers:
            found |= {sae: None for sae in (layer.resid, *own.saes_of(bench.catalog, [layer])) if sae is not None}
    found |= {bench.catalog.latent(latent).sae: None for latent in ask.held_out}
    return tuple(found)


def whole_ask(bench: Bench, ask: FlowSteerAsk) -> tuple[method.FlowSteeringAsk, tuple[LatentId, ...]]:
    """Every setting that is compared, and the latents of the flow set: the graphs of the seeds are built for it."""
    if not ask.seeds:
        raise BadAsk("0 latents were named. Name at least one whose flow is steered.")
    catalog = bench.catalog
    latents = [catalog.latent(latent) for latent in ask.seeds]
    initial = tuple(schedules.PlacedLatent(latent, catalog.get(latent.sae).site.layer) for latent in latents)
    asks = [FlowAsk(one, ask.t_res, ask.t_module) for one in latents]
    graphs = [build(bench.runner, find_suite(catalog, one.seed.sae), one) for one in asks]
    path = [one for graph in graphs for one in schedules.path_latents(graph, ask.modules)]
    flow_set = tuple(dict.fromkeys([*initial, *path]))
    settings = schedules.settings_of(initial, flow_set, ask.schedule())
    sampling = Sampling(ask.max_new_tokens, ask.temperature, ask.top_p, ask.seed)
    grid = ask.strengths or GRIDS[ask.goal]
    whole = method.FlowSteeringAsk(Prompt(ask.prompt), settings, grid, ask.texts, sampling, ask.behaviour())
    return whole, tuple(one.latent for one in flow_set)


def _steps(bench: Bench, ask: FlowSteerAsk) -> Iterator[Progress[SteeredFlow]]:
    whole, flow_set = whole_ask(bench, ask)
    grader = ask.grader(bench.secrets.get(JUDGE_KEY, ""))
    for found in method.flow_steering(bench.runner, whole, grader.scores if grader else None, bench):
        yield Progress(found.done, found.total, result=SteeredFlow(whole, flow_set, found))


def _title(ask: FlowSteerAsk) -> str:
    named = ", ".join(map(str, ask.seeds))
    grid = ask.strengths or GRIDS[ask.goal]
    return f"{named}: {ask.goal.value}, {len(grid)} strengths, texts at each: {ask.texts}"


def _answer(made: Made[FlowSteerAsk, SteeredFlow]) -> dict[str, Any]:
    result = made.result
    used = {str(sae) for sae in result.asked.saes}
    hashes = {name: digest for name, digest in made.record.saes.items() if name in used}
    return {
        "points": method.table(result.found.points),
        "flow_set": [str(latent) for latent in result.flow_set],
        "texts": _texts(made),
        "record": {**made.record.__dict__, "ask": result.asked.plain_data(), "saes": hashes},
    }


def _texts(made: Made[FlowSteerAsk, SteeredFlow]) -> list[dict[str, Any]]:
    return [
        {"setting": point.setting.label, "layer": point.setting.layer, "strength": point.strength, "text": text.text}
        for point in made.result.found.points
        for text in point.texts
    ]


def _tables(made: Made[FlowSteerAsk, SteeredFlow]) -> dict[str, Rows]:
    return {"points": method.table(made.result.found.points), "texts": _texts(made)}


def _printed(made: Made[FlowSteerAsk, SteeredFlow]) -> Sequence[Rows | str]:
    rows = method.table(made.result.found.points)
    return ([{name: "" if row[name] is None else row[name] for name in _SHOWN} for row in rows],)


STUDY = Study(
    kind="flow steer",
    about="Score against strength for single layers, the initial set, and the flow set.",
    ask=FlowSteerAsk,
    result=SteeredFlow,
    unit="texts",
    steps=_steps,
    title=_title,
    command=("flow", "steer"),
    saes=_saes,
    tables=_tables,
    answer=_answer,
    printed=_printed,
    example=FlowSteerAsk(
        theme="cities", words=("city", "town", "Paris", "London", "Rome", "Berlin", "capital"), strengths=(0.0, 0.25, 0.5, 1.0)
    ),
)
