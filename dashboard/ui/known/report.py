"""A study as one HTML file that opens without a network: every figure, what speaks for and against it, and what made it."""

import json
from collections.abc import Callable
from dataclasses import asdict

from components.figures.answers import detector_dots, outcome_boxes, rate_bars
from components.figures.known import entity_strip, frequency_scatter, kind_bars, layer_curves, norm_curves
from components.pages.report import Section, page
from dashboard.analysis.methods.known.effects import Causality, Uncertainty
from dashboard.analysis.methods.known.results import EntityActivations, KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId
from dashboard.ui.known import present as present_known
from dashboard.ui.known import present_effects, present_entities
from dashboard.ui.parts import figures

SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)
TITLE = "Which latents fire on what the model knows?"


def report(
    study: KnownUnknownStudy,
    activations_of: Callable[[LatentId], EntityActivations] | None = None,
    causality: Causality | None = None,
    uncertainty: Uncertainty | None = None,
) -> str:
    """The page. Nothing is loaded, only what is written here may run. Strips need `activations_of`."""
    sections = [*_overview(study), *_figures(study, activations_of)]
    if causality is not None:
        sections += _causality(causality)
    if uncertainty is not None:
        sections += _uncertainty(uncertainty)
    records = {"study": study.record}
    records |= {"causality": causality.record} if causality is not None else {}
    records |= {"uncertainty": uncertainty.record} if uncertainty is not None else {}
    said = {name: json.dumps(asdict(record), ensure_ascii=False, indent=1) for name, record in records.items()}
    return page(TITLE, sections, said)


def _overview(study: KnownUnknownStudy) -> list[Section]:
    lines = [line for line in (*(present_known.headline(study, side) for side in SIDES), present_known.best_single(study)) if line]
    lines += study.notes
    if study.n_overruled:
        lines.append(f"{study.n_overruled} grades were overruled by a person.")
    way = present_known.WAYS[study.ask.settings.way]
    n = figures.grouped(len(study.entities))
    text = f"{n} entities of {len(study.types)} types, labelled {way}; "
    text += f"{len(study.ask.saes)} SAEs with {figures.grouped(study.columns.n)} latents."
    return [
        Section("What was found", "\n".join([text, *lines])),
        Section("Entities", tables=(("", present_known.type_rows(study)),)),
    ]


def _figures(study: KnownUnknownStudy, activations_of: Callable[[LatentId], EntityActivations] | None) -> list[Section]:
    sections: list[Section] = []
    best = {side: study.chosen(side)[0].latent for side in SIDES if study.chosen(side)}
    for kind in present_known.kinds_of(study):
        found = present_known.scatter(study, kind, Split.TEST)
        figure = frequency_scatter(found.points) if found.points else None
        sections.append(Section(f"Known against unknown: {kind}", found.caption, figure))
    for side in SIDES:
        if lines := present_known.curves(study, side):
            figure = layer_curves(lines, y_title="separation on test entities")
            text = f"Latents for {side.value} entities, chosen on train: mean of the 5 best of each layer and type, "
            text += "bars span the smallest to the largest."
            sections.append(Section(f"Layers, {side.value}", text, figure))
    for side, latent in best.items():
        rows = present_known.chosen_rows(study, side, lambda _: "")
        tables = ((f"The best for {side.value}", [{name: value for name, value in row.items() if name != "about"} for row in rows]),)
        figure = kind_bars(present_known.kind_shares(study, latent, Split.TEST))
        sections.append(Section(f"{latent}, best for {side.value}", "Test entities, 95 % Wilson intervals.", figure, tables))
        if activations_of is not None:
            bars = present_entities.entity_bars(study, activations_of(latent), present_known.ALL)
            text = "Activation at the last token of each name; entities of all splits."
            sections.append(Section(f"Where {latent} fires", text, entity_strip(bars)))
    if study.baselines:
        sections.append(Section("Held against", tables=(("", present_known.baseline_rows(study)),)))
    if points := present_known.norm_points(study, present_known.ALL):
        sections.append(
            Section("Norm of the residual", "At the last token of each name; bars are one standard deviation.", norm_curves(points))
        )
    return sections


def _causality(found: Causality) -> list[Section]:
    sections: list[Section] = []
    for knowledge in SIDES:
        for what in (present_effects.REFUSED, present_effects.HALLUCINATED):
            if bars := present_effects.rates(found, knowledge, what):
                title = f"Causality: {what}, {knowledge.value} entities"
                part = found.settings.part.value.replace("_", " ")
                text = f"+{found.settings.amount:g} x the mean residual norm on {part}; bars 95 %, of random latents one sd over them."
                sections.append(Section(title, text, rate_bars(bars, y_title=f"share {what}")))
        if bars := present_effects.self_reports(found, knowledge):
            figure = rate_bars(bars, y_title="log-odds of Yes, nats", is_share=False)
            sections.append(Section(f"Causality: does it say that it knows? {knowledge.value} entities", "", figure))
    for test in found.attention:
        figure = rate_bars(present_effects.head_bars(test), y_title="change of attention", is_share=False)
        tables = (("Against random latents", present_effects.test_rows(test)),)
        sections.append(
            Section(f"Causality: attention, {test.side.value} latent", present_effects.attention_sentence(test), figure, tables)
        )
    conditions = list(dict.fromkeys(one.condition for one in found.generations))
    tables = tuple(
        (f"Answers on {side.value} entities, side by side", present_effects.generation_rows(found.generations, side, conditions))
        for side in SIDES
    )
    sections.append(
        Section("Causality: figures and answers", "\n".join(found.notes), None, (("", present_effects.rate_rows(found)), *tables))
    )
    return sections


def _uncertainty(found: Uncertainty) -> list[Section]:
    sections = [Section("Uncertainty", "\n".join(line for line in (present_effects.uncertainty_sentence(found), *found.notes) if line),
                        tables=(("", present_effects.tally_rows(found)),))]  # fmt: skip
    if scores := present_effects.detectors(found):
        rows = present_effects.uncertainty_rows(found)
        sections.append(Section("Which score separates wrong from right answers?", "", detector_dots(scores), (("Figures", rows),)))
    if found.test and found.latents:
        best = found.latents[0]
        values = present_effects.outcomes(found)
        lines = {} if best.figures is None else dict.fromkeys((one.group for one in values), best.figures.threshold)
        promoted = ", ".join(repr(token) for token in found.promoted)
        text = f"Dashed: the threshold set on validation. Promoted tokens: {promoted or 'not known'}."
        figure = outcome_boxes(values, thresholds=lines, y_title="activation")
        sections.append(Section(f"{best.latent} before right and wrong answers", text, figure))
    return sections
