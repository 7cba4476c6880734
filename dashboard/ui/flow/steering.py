"""Panel of steering along a flow: score against strength for single layers, the initial set, and the flow set."""

from collections.abc import Callable, Iterator

import streamlit as st

from components.figures.dose import dose_curves
from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow import recipe as recipes
from dashboard.analysis.methods.flow import steering as method
from dashboard.analysis.methods.flow.results import FlowGraph
from dashboard.analysis.names import LatentId
from dashboard.analysis.stats.judge import Judge
from dashboard.analysis.stats.text_proxies import Classifier, Lexicon
from dashboard.analysis.tokens import Prompt
from dashboard.ui.flow import present_on_text as present
from dashboard.ui.flow_made import Plan, command, commas, settle, shell, watch
from dashboard.ui.parts import clicks as kept
from dashboard.ui.parts.clicks import dose_chart, numbers
from dashboard.ui.shell.resources import get_catalog

_STRENGTHS = {recipes.Goal.ACTIVATE: "0, 0.25, 0.5, 1", recipes.Goal.DEACTIVATE: "1, 0, -1, -2"}
_TOP_P = 0.7
_TITLES = {"behaviour": "behaviour B", "coherence": "coherence C"}


def _key(widget: str) -> str:
    return kept.key(kept.STEERING, widget)


def steering(graph: FlowGraph) -> None:
    """Steer with the seed alone, with each layer of its flow, and with the whole flow."""
    flow = recipes.path_latents(graph)
    st.caption(
        f"The flow set is the {len(flow)} residual latents of the span, layers {graph.span[0]} to {graph.span[1]}; the initial set is the "
        "seed. Behaviour and coherence are proxies that see words, firings and losses, not sense: look at both, not at the total alone."
    )
    goal = st.segmented_control("Goal", list(recipes.Goal), default=recipes.Goal.ACTIVATE, key=_key("goal"), required=True)
    with st.form(_key("form"), border=False):
        plan = _inputs(graph, goal)
        started = st.form_submit_button("Write and score", icon=":material/edit_note:")
    settle(kept.STEERING, plan, started)
    watch(kept.STEERING, "texts", _draw)


def _inputs(graph: FlowGraph, goal: recipes.Goal) -> Callable[[], Plan]:
    """Widgets, and what they say once the form is sent."""
    first, second, third = st.columns(3)
    theme = first.text_input("Theme", "cities", key=_key("theme"), help="What the judge is told; proxies do not read it.")
    words = second.text_input("Theme words, with commas", "city, town, Paris, London, Rome, Berlin, capital", key=_key("words"))
    prompt = third.text_input("Prompt", "I think", key=_key("prompt"))
    strengths = first.text_input("r" if goal is recipes.Goal.DEACTIVATE else "Strengths", _STRENGTHS[goal], key=_key(f"strengths_{goal}"))
    unit, decay = Unit.MAX, recipes.Decay.CONSTANT
    if goal is recipes.Goal.ACTIVATE:
        unit = Unit(second.selectbox("A strength of 1 is", list(Unit), index=1, key=_key("unit"), format_func=_unit))
        decay = third.selectbox("Over the layers", list(recipes.Decay), key=_key("decay"))
    n_texts = first.number_input("Texts a point", 1, method.MAX_TEXTS, 4, key=_key("texts"))
    n_new = second.number_input("Tokens", 4, 200, 36, key=_key("tokens"))
    temperature = third.number_input("Temperature", 0.0, 3.0, 1.27, key=_key("temperature"))
    with st.expander("More measures of behaviour, and a judge"):
        theme_texts = st.text_area("Texts on the theme, one a line", key=_key("reference"))
        others = st.text_area("Other texts, one a line (with those above they train a classifier)", key=_key("others"))
        held_out = st.text_input("Held-out latents that read the texts back, with commas", key=_key("held_out"))
        one, two, three = st.columns(3)
        address = one.text_input("Judge's address", placeholder="http://127.0.0.1:8000/v1", key=_key("judge"))
        model = two.text_input("Its model", key=_key("judge_model"))
        secret = three.text_input("Its key", type="password", key=_key("judge_key"), help="Sent to that address only, and kept nowhere.")

    def ask() -> method.FlowSteeringAsk:
        catalog = get_catalog()
        lines, other_lines = _lines(theme_texts), _lines(others)
        lexicon = Lexicon(tuple(word.strip() for word in words.split(",")), lines) if words.strip() else None
        classifier = Classifier(lines, other_lines) if other_lines else None
        latents = tuple(catalog.latent(LatentId.parse(name.strip())) for name in held_out.split(",") if name.strip())
        behaviour = method.Behaviour(theme, lexicon, classifier, latents, lines)
        recipe = recipes.Recipe(goal, decay=recipes.Decay.CONSTANT if goal is recipes.Goal.DEACTIVATE else decay, unit=unit)
        seed = recipes.PlacedLatent(graph.ask.seed, catalog.get(graph.ask.seed.sae).site.layer)
        settings = recipes.settings_of((seed,), tuple(dict.fromkeys((seed, *recipes.path_latents(graph)))), recipe)
        sampling = Sampling(int(n_new), float(temperature), _TOP_P)
        if temperature == 0 and n_texts > 1:
            raise BadAsk(f"At temperature 0 all {n_texts} texts are the same. Ask for 1, or raise the temperature.")
        return method.FlowSteeringAsk(Prompt(prompt), settings, tuple(sorted(numbers(strengths))), int(n_texts), sampling, behaviour)

    def plan() -> Plan:
        wanted = ask()
        grader = Judge(address, model, secret) if address.strip() else None
        judged = {"judge": address.strip(), "judge_model": model} if grader else {}

        def steps(study: StudyRunner) -> Iterator[method.FlowSteering]:
            return method.flow_steering(study, wanted, None if grader is None else grader.scores)

        about = f"{graph.ask.seed}: {goal.value}, {len(wanted.settings)} settings at {len(wanted.strengths)} strengths, "
        about += f"texts at each: {wanted.n_texts}"
        asked = wanted.plain_data() | judged
        return Plan("flow steer", about, asked, wanted.saes, _command(graph, wanted, judged), wanted.n_total, steps)

    return plan


def _command(graph: FlowGraph, ask: method.FlowSteeringAsk, judged: dict[str, str]) -> str:
    """The same in a shell. Texts go through files, the judge's key through the environment: both stand as comments."""
    behaviour, sampling, recipe = ask.behaviour, ask.sampling, ask.settings[0].recipe
    options: dict[str, object] = {"--prompt": ask.prompt.text, "--theme": behaviour.theme}
    options |= {"--words": commas(behaviour.lexicon.words) if behaviour.lexicon else None, "--goal": recipe.goal.value}
    options |= {"--decay": recipe.decay.value, "--unit": recipe.unit.value, "--strengths": commas(ask.strengths)}
    options |= {"--held-out": [str(latent) for latent in behaviour.held_out]}
    options |= {"--reference": "theme.txt" if behaviour.reference else None, "--others": "others.txt" if behaviour.classifier else None}
    options |= {"--t-res": f"{graph.ask.t_res:g}", "--t-module": f"{graph.ask.t_module:g}", "--texts": ask.n_texts}
    options |= {"--max-new-tokens": sampling.max_new_tokens, "--temperature": f"{sampling.temperature:g}", "--top-p": sampling.top_p}
    options |= {"--judge": judged.get("judge"), "--judge-model": judged.get("judge_model")}
    files = "# theme.txt and others.txt: the texts on the theme and the others, one a line\n" if behaviour.reference else ""
    key = "# LATENTS_JUDGE_KEY in the environment: the judge's key\n" if judged else ""
    return command(("flow", "steer", str(graph.ask.seed)), options, f"{files}{key}{shell()}")


def _unit(unit: Unit) -> str:
    return {Unit.RAW: "one decoder row", Unit.MAX: "the latent's largest activation", Unit.NORM: "the site's mean norm"}[unit]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _draw(found: method.FlowSteering) -> None:
    if not found.points:
        st.caption("Writing unsteered texts first: coherence is measured against them.")
        return
    goal = found.points[0].setting.recipe.goal
    measures = list(found.points[0].behaviour)
    by = st.segmented_control("Behaviour by", measures, default=measures[0], key=_key("by"), required=True)
    by = by if by in measures else measures[0]
    off = goal is recipes.Goal.DEACTIVATE
    titles = {**_TITLES, "total": "total (1 - B) C" if off else "total B C"}
    x_title = "r" if off else "strength s"
    clicks: dict[str, str | None] = {}
    for column, (which, title) in zip(st.columns(3), titles.items(), strict=True):
        figure = dose_curves(present.score_curves(found.points, by, which), y_title=title, x_title=x_title, x_name=x_title[-1])
        figure.update_yaxes(rangemode="tozero")
        with column:
            dose = dose_chart(figure, kept.STEERING, f"figure_{which}")
        clicks[which] = dose and present.dose_name(*dose)
    picked = kept.latest(kept.STEERING, clicks)
    st.caption(
        "Single layer: at each strength the layer with the best total, chosen on these same texts, which flatters it. "
        f"Coherence is against {len(found.plain)} unsteered texts (median loss {found.fluency.nll:.2f} nats a token, spread "
        f"{found.fluency.tau:.2f}). Bars: 95 % over texts. Click a point for its texts."
    )
    with st.expander("Table"):
        st.dataframe(method.table(found.points), hide_index=True)
    behind = present.points_behind(found.points, by, picked)
    with st.expander(f"Texts: {picked}" if picked else "Texts", expanded=bool(picked)):
        wide = st.column_config.TextColumn(width="large")
        st.dataframe(present.text_rows(behind), hide_index=True, row_height=64, column_config={"text": wide})
