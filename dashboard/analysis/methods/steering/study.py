"""The study of dose and response: the ask with its options, what is kept, and what its command prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboard.analysis.asks.edits import VECTOR, Intervention, parse_where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.steering import dose_response as dose
from dashboard.analysis.methods.steering.dose_response import SweepProgress
from dashboard.analysis.names import SaeId
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.settings import get_settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study
from dashboard.analysis.tokens import Prompt

TOGETHER = "all together"
"""What the curve of all edits is called."""
_SHOWN = ("curve", "factor", "kl", "word_logprob", "matched", "perplexity", "repeated_4grams")
EDIT = (
    "An edit, for example smollm2-135m/15.resid_post/501:add:0.4:norm; may be given more than once. OP: add, clamp, cap, scale, "
    "ablate, project_out. UNIT: raw (AMOUNT times the decoder row), max (of the latent's largest activation), norm (of the site's mean "
    "norm). vector/NAME stands for a vector that was saved on the steer page."
)


def read_edit(text: str) -> Intervention:
    """An edit; a vector in it is one of those that are kept on this machine.

    Raises:
        BadName, BadAsk: if it is none, or the vector is not there.
    """
    vectors = VectorFolder(get_settings().cache / "vectors").all() if text.startswith(VECTOR) else {}
    return Intervention.parse(text, vectors=vectors)


@dataclass(frozen=True)
class DoseAsk:
    """How KL, a word's probability, matches of a rule and fluency answer to the dose of some edits."""

    prompt: str = option("", "Beginning of every text.", argument="PROMPT")
    edits: tuple[Intervention, ...] = option((), EDIT, flag="--set", many=Many.REPEATED, reads=read_edit)
    """At `where`, whatever each says itself."""
    factors: tuple[float, ...] = option((-2.0, -1.0, 0.0, 1.0, 2.0), "Factors on every amount, separated by commas.")
    seeds: int = option(1, "Texts at each point.", low=1, high=dose.MAX_SEEDS, label="Seeds")
    together: bool = option(False, "All edits as one curve; otherwise one curve per edit.")
    numbered: bool = option(False, "Curves are called by their edit's number and direction, as on the steer page.")
    word: str | None = option(None, "Word whose log-probability as the first new token is measured.")
    words: str | None = option(None, "A text matches if it has one of these words (commas).")
    regex: str | None = option(None, "A text matches if this regular expression is found in it.")
    refusal: bool = option(False, "A text matches if it declines to answer.")
    where: str = option("everywhere", "Edited tokens: prompt, generated, everywhere, START: or START:END.")
    max_new_tokens: int = option(40, "1 to 512.")
    temperature: float = option(0.0, "0 takes the most likely token.")
    top_p: float = option(1.0, "Draw from the smallest set of tokens with this much probability.")
    seed: int = option(0, "Seed of the first text at each point.", low=0)
    chat: bool = option(False, "Put the prompt through the chat template as a user message.")

    def rule(self) -> dose.Rule | None:
        """What a text is judged by.

        Raises:
            BadAsk: if there are several, or it cannot be read.
        """
        texts = {dose.RuleKind.WORDS: self.words, dose.RuleKind.REGEX: self.regex, dose.RuleKind.REFUSAL: "" if self.refusal else None}
        rules = [dose.Rule(kind, text) for kind, text in texts.items() if text is not None]
        if len(rules) > 1:
            raise BadAsk(f"{len(rules)} rules were given; a text is judged by one of --words, --regex, --refusal.")
        return rules[0] if rules else None

    def curves(self) -> tuple[dose.Curve, ...]:
        """One an edit, or one of all."""
        where = parse_where(self.where)
        edits = tuple(replace(edit, where=where) for edit in self.edits)
        if not edits:
            raise BadAsk("A sweep needs at least 1 edit; 0 were given with --set.")
        if self.together:
            return (dose.Curve(TOGETHER, edits),)
        labels = [f"{place + 1}: {edit.direction}" if self.numbered else str(edit) for place, edit in enumerate(edits)]
        return tuple(dose.Curve(label, (edit,)) for label, edit in zip(labels, edits, strict=True))

    def sweep(self) -> dose.SweepAsk:
        """All that is written and measured.

        Raises:
            BadAsk, BadName: if it cannot be done.
        """
        sampling = Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)
        prompt = Prompt(self.prompt, self.chat)
        return dose.SweepAsk(prompt, self.curves(), self.factors, self.seeds, sampling, self.word, self.rule())


def _asked(bench: Bench, ask: DoseAsk) -> dict[str, Any]:
    del bench
    return ask.sweep().plain_data()


def _saes(bench: Bench, ask: DoseAsk) -> tuple[SaeId, ...]:
    del bench
    return ask.sweep().saes


def _steps(bench: Bench, ask: DoseAsk) -> Iterator[Progress[SweepProgress]]:
    for found in dose.sweep(bench.runner, ask.sweep(), keep=bench):
        yield Progress(found.done, found.total, result=found)


def _title(ask: DoseAsk) -> str:
    prompt = ask.prompt if len(ask.prompt) <= 40 else f"{ask.prompt[:40]}..."
    return f"{len(ask.edits)} edit{'s' * (len(ask.edits) != 1)} at {len(ask.factors)} factors, seeds: {ask.seeds}, {prompt!r}"


def text_rows(found: SweepProgress) -> list[dict[str, Any]]:
    """Every text with its point."""
    return [{"curve": at.curve, "factor": at.factor, "seed": text.seed, "text": text.text} for at in found.points for text in at.texts]


def _answer(made: Made[DoseAsk, SweepProgress]) -> dict[str, Any]:
    return {"points": dose.table(made.result.points), "texts": text_rows(made.result), "record": made.record.__dict__}


def _tables(made: Made[DoseAsk, SweepProgress]) -> dict[str, Rows]:
    return {"points": dose.table(made.result.points), "texts": text_rows(made.result)}


def _printed(made: Made[DoseAsk, SweepProgress]) -> Sequence[Rows | str]:
    rows = dose.table(made.result.points)
    columns = [name for name in _SHOWN if any(row[name] is not None for row in rows)]
    return ([{name: row[name] for name in columns} for row in rows],)


STUDY = Study(
    kind="sweep",
    about="How KL, a word's probability, matches of a rule and fluency answer to the dose.",
    ask=DoseAsk,
    result=SweepProgress,
    unit="texts",
    steps=_steps,
    title=_title,
    command=("sweep",),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    answer=_answer,
    printed=_printed,
)
