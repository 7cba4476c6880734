"""Everything the core may refuse, as one tree. A message says what was asked, what is possible and what to do.

AnalysisError
|-- BadAsk                      the request itself cannot be answered
|   |-- BadName                 a name that does not parse
|   |-- EmptyPrompt
|   |-- PromptTooLong
|   |-- UnknownSae
|   |-- UnknownLatent
|   |-- UnknownModel
|   |-- UnknownKind
|   `-- UnknownResult
|-- NotUsable                   a file or folder that cannot be read as what it should be
|   |-- BrokenSaeFile
|   |-- WidthMismatch
|   |-- OtherModel
|   |-- OtherBos
|   |-- NotMeasured
|   |-- BrokenText
|   |-- BrokenLens
|   |-- BrokenEntityFile
|   `-- RunMismatch
|-- NotAvailable                something outside the ask is missing
|   |-- ModelUnavailable
|   |   |-- ModelTooLarge
|   |   `-- ModelNotLoaded
|   |-- HubRefused
|   |-- DeviceUnavailable
|   |-- CacheUnwritable
|   |-- ServiceUnavailable
|   |-- JudgeFailed
|   |-- NoSae
|   `-- NoLens
`-- NotDone                     the engine gave up
    |-- Cancelled
    |-- ModelBusy
    |-- ModelClosed
    |-- QueueFull
    `-- OutOfMemory
        `-- ShelfTooSmall
"""

from collections.abc import Sequence
from pathlib import Path


class AnalysisError(Exception):
    """Base of every refusal. `str(error)` is user-facing: numbers first, then the cure."""


class BadAsk(AnalysisError):
    """The request cannot be answered in this form."""


class BadName(BadAsk):
    """A name that does not parse."""

    def __init__(self, what: str, given: str, form: str) -> None:
        self.what, self.given, self.form = what, given, form
        super().__init__(f"{given[:80]!r} is not {what}. The form is {form}.")


class EmptyPrompt(BadAsk):
    """Nothing to read."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty: it has 0 tokens. Type at least one character.")


class PromptTooLong(BadAsk):
    """More tokens than the limit of the settings."""

    def __init__(self, n_tokens: int, limit: int) -> None:
        self.n_tokens, self.limit = n_tokens, limit
        super().__init__(
            f"This prompt is {n_tokens:,} tokens; the limit is {limit:,}. "
            f"Shorten it by {n_tokens - limit:,} tokens or raise LATENTS_MAX_TOKENS."
        )


class UnknownSae(BadAsk):
    """No SAE of that name in the catalogue."""

    def __init__(self, given: str, nearest: Sequence[str]) -> None:
        self.given, self.nearest = given, tuple(nearest)
        known = ", ".join(nearest) or "none is installed"
        super().__init__(f"No SAE {given[:80]!r}. Nearest: {known}. `latents sae list` shows all.")


class UnknownLatent(BadAsk):
    """A latent index outside its SAE."""

    def __init__(self, index: int, sae: str, n_latents: int) -> None:
        self.index, self.sae, self.n_latents = index, sae, n_latents
        super().__init__(f"Latent {index} is not in {sae}: it has {n_latents:,} latents (0 to {n_latents - 1}).")


class UnknownModel(BadAsk):
    """No model of that name in this installation."""

    def __init__(self, given: str, known: Sequence[str]) -> None:
        self.given, self.known = given, tuple(known)
        super().__init__(
            f"No model {given[:80]!r} in this installation; it has {', '.join(known)}. Get it on the page Models and SAEs, "
            "or with `latents model prepare NAME`."
        )


class UnknownKind(BadAsk):
    """No type of entity, or no attribute of a type, of that name."""

    def __init__(self, what: str, given: str, nearest: Sequence[str]) -> None:
        self.given, self.nearest = given, tuple(nearest)
        known = ", ".join(nearest) or "none is installed"
        super().__init__(f"No {what} {given[:80]!r}. Nearest: {known}. `latents entities list` shows all.")


class UnknownResult(BadAsk):
    """No result of that key in the store."""

    def __init__(self, kind: str, key: str, there_are: int) -> None:
        self.kind, self.key = kind, key
        super().__init__(
            f"No readable {kind} result {key} on this machine; there are {there_are} of this kind. "
            "Results stay on the machine on which they were saved."
        )


class NotUsable(AnalysisError):
    """A file or folder exists but cannot be used."""


class BrokenSaeFile(NotUsable):
    """SAE files that cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path.name} cannot be read as an SAE: {reason}. Copy or download it again; "
            "it must hold cfg.json and sae_weights.safetensors as sae-lens writes them."
        )


class WidthMismatch(NotUsable):
    """An SAE made for a model of another width or depth."""

    def __init__(self, sae: str, what: str, sae_has: int, model: str, model_has: int) -> None:
        self.sae, self.sae_has, self.model_has = sae, sae_has, model_has
        super().__init__(
            f"{sae} needs {what} {sae_has:,}; {model} has {model_has:,}. "
            "It was trained on another model: choose an SAE of this model, or load the model it was trained on."
        )


class OtherModel(NotUsable):
    """An SAE that says it was made for another model."""

    def __init__(self, sae: str, wants: str, model: str) -> None:
        self.sae, self.wants = sae, wants
        super().__init__(
            f"{sae} was trained on {wants}; {model} is loaded. Its latents mean nothing here: "
            f"choose an SAE of this model, or set LATENTS_MODEL={wants}."
        )


class OtherBos(NotUsable):
    """An SAE that was trained on texts with a BOS token before them where none is added now, or the other way round."""

    def __init__(self, sae: str, wants: bool) -> None:
        trained, here = ("with", "without") if wants else ("without", "with")
        super().__init__(
            f"{sae} was trained on texts {trained} a BOS token before them; here they are read {here} one, which changes what "
            f'its latents do. Set LATENTS_BOS={int(wants)} and start again, or switch "Texts begin with BOS" {"on" if wants else "off"} '
            'under "How texts are read" on the page Models and SAEs, or choose another SAE.'
        )


class NotMeasured(NotUsable):
    """A figure that has not been measured yet."""


class BrokenText(NotUsable):
    """Training text that cannot be read or is too short."""


class BrokenLens(NotUsable):
    """A Jacobian lens whose files cannot be read."""

    def __init__(self, stem: Path, reason: str) -> None:
        self.stem = stem
        super().__init__(
            f"The Jacobian lens {stem.name} in {stem.parent} cannot be read: {reason}. Fit it again with `latents model fit-lens`."
        )


class BrokenEntityFile(NotUsable):
    """A file of entities, or of a type of them, with mistakes in it."""

    def __init__(self, path: Path, problems: Sequence[str], most: int = 10) -> None:
        self.path, self.problems = path, tuple(problems)
        more = f" And {len(self.problems) - most:,} more." if len(self.problems) > most else ""
        n = len(self.problems)
        super().__init__(f"{path.name}: {n:,} {'thing' if n == 1 else 'things'} to correct. {'; '.join(self.problems[:most])}.{more}")


class RunMismatch(NotUsable):
    """A run folder that belongs to other settings or is in use."""


class NotAvailable(AnalysisError):
    """Something that should be on this machine is not."""


class ModelUnavailable(NotAvailable):
    """The model is neither in the cache nor available from the hub."""


class ModelTooLarge(ModelUnavailable):
    """A model whose weights do not fit on the device."""

    def __init__(self, model: str, needed_bytes: int, free_bytes: int, device: str, dtype: str, fits: str) -> None:
        self.needed_bytes, self.free_bytes, self.device = needed_bytes, free_bytes, device
        super().__init__(
            f"{model} needs about {needed_bytes / 2**20:,.0f} MiB on {device} in {dtype}; {free_bytes / 2**20:,.0f} MiB are free. {fits}"
        )


class ModelNotLoaded(ModelUnavailable):
    """A model that was replaced by another one."""

    def __init__(self, model: str, loaded: str | None) -> None:
        self.model, self.loaded = model, loaded
        instead = f"{loaded} was chosen since" if loaded else "no model is loaded"
        super().__init__(f"{model} is not loaded: {instead}. Only one model is loaded at a time; choose {model} again in the sidebar.")


class HubRefused(NotAvailable):
    """The Hugging Face hub refused a request or did not answer it."""


class DeviceUnavailable(NotAvailable):
    """The requested device is not present on this machine."""


class CacheUnwritable(NotAvailable):
    """The cache folder cannot be used."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(f"The cache folder {folder} cannot be written: {error}. Set LATENTS_CACHE to a folder that you can write to.")


class ServiceUnavailable(NotAvailable):
    """A network service that does not answer, or answers incorrectly."""


class JudgeFailed(NotAvailable):
    """The judge did not answer, or not with two numbers."""


class NoSae(NotAvailable):
    """An installation without a single SAE."""

    def __init__(self) -> None:
        super().__init__("0 SAEs are installed. Restore assets/saes from the repository, or set LATENTS_SAE_FOLDERS to folders of SAEs.")


class NoLens(NotAvailable):
    """A model for which no Jacobian lens was fitted."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"No Jacobian lens has been fitted for {model}. `latents model fit-lens` makes one; the logit lens needs none.")


class NotDone(AnalysisError):
    """The engine stopped before an answer."""


class Cancelled(NotDone):
    """The request was withdrawn."""

    def __init__(self) -> None:
        super().__init__("Cancelled: the request was stopped or its page was closed.")


class ModelBusy(NotDone):
    """A model that cannot be unloaded yet."""

    def __init__(self, loaded: str, wanted: str, doing: Sequence[str]) -> None:
        self.loaded, self.wanted, self.doing = loaded, wanted, tuple(doing)
        n = len(doing)
        super().__init__(
            f"{wanted} is not loaded: {loaded} is at work ({n} {'job' if n == 1 else 'jobs'}: {'; '.join(doing)[:300]}), and one model is "
            "loaded at a time. Wait until that is done, or cancel it."
        )


class ModelClosed(NotDone):
    """A model that was unloaded while requests were waiting."""

    def __init__(self) -> None:
        super().__init__("The model was unloaded because another one was chosen. Choose it again in the sidebar.")


class QueueFull(NotDone):
    """Too many jobs are waiting."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} jobs are waiting, which is the limit. Try again in a moment.")


class OutOfMemory(NotDone):
    """A request that needs more memory than is free."""

    def __init__(self, needed_bytes: int | None, free_bytes: int, device: str, cure: str | None = None) -> None:
        self.needed_bytes, self.free_bytes, self.device = needed_bytes, free_bytes, device
        needs = "more memory than there is" if needed_bytes is None else f"about {needed_bytes / 2**20:,.0f} MiB"
        super().__init__(
            f"This needs {needs} on {device}; {free_bytes / 2**20:,.0f} MiB are free. "
            f"{cure or 'Shorten the prompt or ask for fewer sites.'}"
        )


class ShelfTooSmall(OutOfMemory):
    """Dictionaries that do not fit into their memory budget together."""

    def __init__(self, asked: str, needed_bytes: int, budget_bytes: int, device: str) -> None:
        self.needed_bytes, self.free_bytes, self.device = needed_bytes, budget_bytes, device
        NotDone.__init__(
            self,
            f"{asked} needs {needed_bytes / 2**20:,.1f} MiB on {device}; the budget for dictionaries is {budget_bytes / 2**20:,.1f} MiB. "
            "Raise LATENTS_SAE_MEMORY, or use fewer dictionaries at once.",
        )
