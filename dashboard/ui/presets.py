"""Worked examples of the steer page: what each does was tried on the default model, and is said as it is."""

from dataclasses import dataclass, field

from dashboard.analysis.asks import Intervention, Sampling, Where


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


PRESETS = {
    "Cities": Preset(
        "My favourite thing about the weekend is",
        ("smollm2-135m/15.resid_post/549:add:0.4:norm",),
        "Adding the latent that fires on cities turns the text to places.",
    ),
}
