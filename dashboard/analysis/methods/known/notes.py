"""What became of each type, and what a reader must know before believing a figure of a study."""

from collections.abc import Sequence

from dashboard.analysis.methods.known.asking import Questions, guessing
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.entity_scores import Scores
from dashboard.analysis.methods.known.results import SplitSize, StudyAsk, StudySettings, TypeSummary
from dashboard.analysis.methods.known.statistics.entity_counts import SPLITS, Counts, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge, Label, LabelWay, tally
from dashboard.analysis.methods.known.statistics.latent_choice import NoiseRates
from dashboard.analysis.methods.known.statistics.separation import separation, smallest_separation

FEW = 20
"""Entities of one side in the test split under which a type is called small."""


def summaries(
    taken: Sequence[Taken], labels: Sequence[Label], counts: Counts, asked: Questions, settings: StudySettings
) -> tuple[TypeSummary, ...]:
    """One a type, in the order of the study."""
    kinds = {one.kind.name: one.kind for one in taken}
    n_questions = dict.fromkeys(kinds, 0)
    for question in asked.asked:
        n_questions[question.taken.kind.name] += 1
    found: list[TypeSummary] = []
    for name, kind in kinds.items():
        own = tally(label for one, label in zip(taken, labels, strict=True) if one.kind.name == name)
        place = counts.kinds.index(name)
        splits: list[SplitSize] = []
        for split in SPLITS:
            n_known, n_unknown = (int(counts.n_of(side, split)[place]) for side in (Knowledge.KNOWN, Knowledge.UNKNOWN))
            splits.append(SplitSize(split, n_known, n_unknown, smallest_separation(n_known, n_unknown)))
        away, chance = asked.given_away.get(name, 0), guessing(asked, settings, name)
        found.append(TypeSummary(name, kind.title, kind.word, own, tuple(splits), n_questions[name], away, chance))
    return tuple(found)


def notes_on(ask: StudyAsk, types: Sequence[TypeSummary], scores: Scores, noise: NoiseRates, n_shared: int = 0) -> tuple[str, ...]:
    """Sentences, the weightiest first. `n_shared` texts are those of entities of two types or more."""
    notes: list[str] = []
    if ask.settings.way is LabelWay.FILE:
        notes.append("Labels are what the file says of the world (famous and known against obscure and invented): the model was not asked.")
    else:
        certain = sum(1 for one in scores.roster.members if one.knowledge is Knowledge.UNKNOWN)
        way = "answers" if ask.settings.way is LabelWay.ANSWERS else "choices"
        if ask.settings.invented_unknown and certain:
            notes.append(f"Labels are by the model's {way}; entities that the file calls invented count as unknown without being asked.")
    for one in types:
        size = one.size(Split.TEST)
        if not one.tally.n_known or not one.tally.n_unknown:
            notes.append(f"{one.title}: {one.tally.n_known} known and {one.tally.n_unknown} unknown; without both it counts in no score.")
        elif min(size.n_known, size.n_unknown) < FEW:
            least = "even 1 would be missed" if size.smallest is None else f"only separations from {size.smallest:.2f} on show"
            notes.append(f"{one.title}: {size.n_known} known and {size.n_unknown} unknown in the test split, so {least}.")
        if one.chance is not None:
            notes.append(f"{one.title}: by guessing {one.chance.known:.0%} would come out known and {one.chance.unknown:.0%} unknown.")
    if n_shared:
        notes.append(
            f"{n_shared:,} names stand in two types and are read in the same words: read once, in one split, counted in both. "
            "These types are not apart from each other, so p over all types is too small: give the types words of their own."
        )
    if not separation(scores.counts, Split.TRAIN).kinds:
        notes.append("No type has known and unknown entities in the train split, so no latent could be chosen.")
    n_left_out = int((~noise.kept(ask.settings.most_noise)).sum())
    if noise.n and n_left_out:
        least = f"more than {ask.settings.most_noise:.0%} of {noise.n:,} random tokens"
        notes.append(f"{n_left_out:,} of {len(noise.fires):,} latents fire on {least}: none of them is chosen.")
    return tuple(notes)
