"""Worked examples of the steer page: what each does was tried on the default model, and is said as it is."""

from dataclasses import dataclass, field

from dashboard.analysis.asks.edits import Intervention, Where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.steering.comparison import SteeringAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
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


PRESETS = {
    "Titles": Preset(
        "Tell me about your day.",
        ("smollm2-135m/19.resid_post/1102:add:0.4:norm",),
        "One latent, which fires on titles of films and songs, added at every token: the greedy answer turns from a Monday in the life of "
        "a magical creature to the weight of a world of shadows, as on the back of a novel. One text shows that it can happen, not how "
        "often: see the dose response.",
        chat=True,
    ),
    "Another script": Preset(
        "My favourite thing about the weekend is",
        ("smollm2-135m/15.resid_post/494:add:0.4:norm",),
        "One latent, which fires on Korean, added at every token: the greedy text leaves English for Chinese characters. At 0.7 it only "
        "stutters. One text.",
    ),
    "Places": Preset(
        "My favourite thing about the weekend is",
        ("smollm2-135m/15.resid_post/501:add:0.4:norm",),
        "One latent, which fires on cities, added at every token: the greedy text leaves the family for exploring new places. One text.",
    ),
    "Without cities": Preset(
        "Paris, London and",
        ("smollm2-135m/15.resid_post/501:ablate",),
        "The same latent set to 0 at every token: the greedy list continues with the United States where it had New York. One text.",
    ),
}


def presets_of(catalog: Catalog) -> dict[str, Preset]:
    """Those whose latents are here: on another model there are none."""

    def is_here(preset: Preset) -> bool:
        try:
            for edit in preset.interventions:
                catalog.latent(LatentId.parse(str(edit.direction)))
        except AnalysisError:
            return False
        return True

    return {name: preset for name, preset in PRESETS.items() if is_here(preset)}


def caption_of(prompt: str, edits: tuple[Intervention, ...]) -> str | None:
    """What is said of a preset, while its prompt and edits are unchanged."""
    return next((preset.caption for preset in PRESETS.values() if preset.prompt == prompt and preset.interventions == edits), None)
