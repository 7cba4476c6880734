"""Worked examples of the steer page: what each does was tried on the default model, and is said as it is."""

from dataclasses import dataclass, field

from dashboard.analysis.asks import Intervention, Sampling, Where
from dashboard.analysis.methods.steering import SteeringAsk
from dashboard.analysis.tokens import Prompt


@dataclass(frozen=True)
class Preset:
    """A prompt, edits and sampling worth a look."""

    prompt: str
    edits: tuple[str, ...]
    """LATENT:OP:AMOUNT:UNIT."""
    caption: str
    """What is seen, in one sentence."""
    chat: bool = False
    where: Where = Where.EVERYWHERE
    sampling: Sampling = field(default_factory=lambda: Sampling(48))

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """The edits as the core takes them."""
        return tuple(Intervention.parse(edit, self.where) for edit in self.edits)

    @property
    def ask(self) -> SteeringAsk:
        """All of it as one ask."""
        return SteeringAsk(Prompt(self.prompt, self.chat), self.interventions, self.sampling)


_TONE = (
    "Three latents that latents contrast found to fire differently on 40 friendly and 40 hostile sentences, pushed at every token. "
    "Over four prompts, 48 texts each at temperature 0.7, {share}, and ten sets of equally frequent random latents at the same norms did "
    "nothing of the kind. The price is fluency: perplexity 7 rises to {perplexity}."
)
PRESETS = {
    "Warmer": Preset(
        "he is such a",
        (
            "smollm2-135m/19.resid_post/91:add:0.3:norm",
            "smollm2-135m/15.resid_post/2026:add:0.08:norm",
            "smollm2-135m/11.resid_post/1155:add:-0.15:norm",
        ),
        _TONE.format(share="88 % had more friendly than hostile words (33 % without)", perplexity=12),
        sampling=Sampling(48, 0.7, seed=1000),
    ),
    "Darker": Preset(
        "he is such a",
        (
            "smollm2-135m/11.resid_post/1155:add:0.25:norm",
            "smollm2-135m/15.resid_post/2026:add:-0.1:norm",
            "smollm2-135m/19.resid_post/91:add:-0.15:norm",
        ),
        _TONE.format(share="46 % had more hostile than friendly words (4 % without), monsters more than rudeness", perplexity=15),
        sampling=Sampling(48, 0.7, seed=1000),
    ),
    "Places": Preset(
        "My favourite thing about the weekend is",
        ("smollm2-135m/15.resid_post/549:add:0.4:norm",),
        "One latent, which fires on cities, added at every token: the greedy text leaves the family for a festival on an island that does "
        "not exist. One text shows that it can happen, not how often: see the dose response.",
    ),
    "Without cities": Preset(
        "Paris, London and",
        ("smollm2-135m/15.resid_post/549:ablate",),
        "The same latent brought to 0 at every token: the greedy list goes on with the United States where it had New York. One text.",
    ),
}


def caption_of(prompt: str, edits: tuple[Intervention, ...]) -> str | None:
    """What is said of a preset, while its prompt and edits are unchanged."""
    return next((preset.caption for preset in PRESETS.values() if preset.prompt == prompt and preset.interventions == edits), None)
