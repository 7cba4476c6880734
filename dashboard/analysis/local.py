"""LocalRunner: answers in the caller's thread. One thread at a time may use it; the Engine sees to that."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks import (
    AssembleAsk,
    CaptureAsk,
    Direction,
    GenerationAsk,
    Intervention,
    NamedVector,
    NeighbourAsk,
    PromotedAsk,
    ScoreAsk,
    TraceAsk,
    Unit,
    VocabularyAsk,
    Where,
)
from dashboard.analysis.errors import BadAsk, PromptTooLong, WidthMismatch
from dashboard.analysis.flow_asks import ActivityAsk, RescaleAsk, Rescaled, SampledActivity
from dashboard.analysis.flow_types import MatchAsk, MatchTable
from dashboard.analysis.index import read_index
from dashboard.analysis.model.answering import Answering
from dashboard.analysis.model.attention import read_attention
from dashboard.analysis.model.bridge import LoadedModel, token_texts, tokenise
from dashboard.analysis.model.edits import LoadedDirection
from dashboard.analysis.model.generation import Decoder, PlacedEdit, Step
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.model.likelihood import score_choices
from dashboard.analysis.model.marking import PartPlacedEdit
from dashboard.analysis.model.orthogonal import without_direction
from dashboard.analysis.model.reading import read_texts
from dashboard.analysis.model.rescaling import PlacedSae, Plan, rescale_at
from dashboard.analysis.model.scoring import score_text
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.results import (
    Capture,
    Dose,
    Fidelity,
    LatentActivations,
    ModelCard,
    Neighbour,
    TextScore,
    TokenDelta,
    TracedRow,
    Vocabulary,
)
from dashboard.analysis.sae.activity import sampled_activity
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.loading import check_fits, load_sae
from dashboard.analysis.sae.matcher import Matcher
from dashboard.analysis.sae.measures import constant, cross_entropies, reconstruction, within_norm
from dashboard.analysis.settings import ASSETS
from dashboard.analysis.study_asks import (
    Answer,
    AnsweringAsk,
    AttentionAsk,
    AttentionChunk,
    ChoiceAsk,
    ChoiceScores,
    PartEdit,
    ReadChunk,
    ReadingAsk,
)
from dashboard.analysis.tokens import Prompt, TokenizedPrompt

log = logging.getLogger(__name__)

CALIBRATION = ASSETS / "prompts" / "calibration.txt"
"""The text over which a site's mean norm is taken."""


class LocalRunner:
    """A model, the SAEs of a catalogue (loaded when first asked for), and the questions of `Runner`."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path) -> None:
        self.model, self._cache = model, cache
        self.renew(catalog)
        self._loaded: dict[SaeId, SAE] = {}
        self.cautions: dict[SaeId, str] = {}
        """Of the SAEs that were loaded, what a reader must know before believing them."""
        self._norms: dict[Site, float] = {}
        self._decoders: dict[int, Decoder] = {}

    def sae(self, sae: SaeId) -> SAE:
        """The SAE itself, checked against the model.

        Raises:
            UnknownSae, BrokenSaeFile, WidthMismatch: if it cannot be used.
        """
        if sae not in self._loaded:
            spec = self.catalog.get(sae)
            if caution := check_fits(spec, self.model):
                self.cautions[sae] = caution
                log.warning("%s: %s", sae, caution)
            self._loaded[sae] = load_sae(spec, self._cache, self.model.device)
        return self._loaded[sae]

    def renew(self, catalog: Catalog) -> None:
        """Answer for the SAEs of another catalogue from now on; those that are loaded stay."""
        self.catalog, self.matcher = catalog, Matcher(self.model, catalog, self._cache, self.sae)

    def tokens(self, prompt: Prompt) -> TokenizedPrompt:
        """The prompt as the model reads it."""
        return tokenise(self.model, prompt)

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        model = self.model
        dtype = str(model.dtype).removeprefix("torch.")
        return ModelCard(model.id, model.path, model.device, dtype, model.n_layers, model.d_model, model.max_tokens)

    def capture(self, ask: CaptureAsk) -> Capture:
        """See `Runner.capture`."""
        tokens = self.tokens(ask.prompt)
        saes = {sae: self.sae(sae) for sae in ask.saes}
        sites = {sae: self.catalog.get(sae).site for sae in ask.saes}
        ids = self.model.batch(tokens.ids)
        values = read_sites(self.model.bridge, ids, list(dict.fromkeys(sites.values())))
        activations: dict[SaeId, LatentActivations] = {}
        fidelity: dict[SaeId, Fidelity] = {}
        with torch.inference_mode():
            for name, sae in saes.items():
                rows = values[sites[name]][0].float()
                acts = sae.encode(rows)
                activations[name] = _sparse(name, acts)
                fidelity[name] = self._fidelity(tokens, ids, name, sae, rows, acts, ask.fidelity)
        return Capture(tokens, activations, fidelity)

    def trace(self, ask: TraceAsk) -> tuple[TracedRow, ...]:
        """See `Runner.trace`.

        Raises:
            PromptTooLong: with both numbers.
        """
        model, special = self.model, set(self.model.tokenizer.all_special_ids)
        for row in ask.rows:
            self._check_length(row)
        for latent in ask.latents:
            self.catalog.latent(latent)
        rows = [model.with_bos(row) for row in ask.rows]
        # Padding on the right is read by no token before it.
        longest = max(map(len, rows), default=0)
        ids = model.batch(*(row + (0,) * (longest - len(row)) for row in rows))
        saes = {name: self.sae(name) for name in dict.fromkeys(latent.sae for latent in ask.latents)}
        sites = {name: self.catalog.get(name).site for name in saes}
        values = read_sites(model.bridge, ids, list(dict.fromkeys(sites.values()))) if rows and saes else {}
        with torch.inference_mode():
            acts = {name: sae.encode(values[sites[name]].float()) for name, sae in saes.items()} if rows else {}
        traced: list[TracedRow] = []
        for place, (row, given) in enumerate(zip(rows, ask.rows, strict=True)):
            of_latents = [acts[latent.sae][place, len(row) - len(given) : len(row), latent.index].cpu().numpy() for latent in ask.latents]
            dense = np.array(of_latents, dtype=np.float32).reshape(len(ask.latents), len(given))
            traced.append(TracedRow(token_texts(model.tokenizer, given), tuple(i in special for i in given), dense))
        return tuple(traced)

    def vocabulary(self, ask: VocabularyAsk) -> Vocabulary:
        """See `Runner.vocabulary`."""
        model, special = self.model, set(self.model.tokenizer.all_special_ids)
        texts = model.tokenizer.batch_decode([[token] for token in ask.ids])
        with torch.inference_mode():
            rows = model.bare.get_input_embeddings()(torch.tensor(ask.ids, dtype=torch.long, device=model.device))
        return Vocabulary(tuple(texts), tuple(token in special for token in ask.ids), rows.float().cpu().numpy())

    def neighbours(self, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
        """See `Runner.neighbours`."""
        with torch.inference_mode():
            own = torch.nn.functional.normalize(self._row(ask.latent), dim=0)
            found: list[Neighbour] = []
            for name in ask.among:
                rows = self.sae(name).W_dec
                cosines = (rows @ own) / rows.norm(dim=1).clamp(min=1e-12)
                if name == ask.latent.sae:
                    cosines[ask.latent.index] = -2.0
                best = torch.topk(cosines, min(ask.top, len(rows) - (name == ask.latent.sae)))
                found += [Neighbour(LatentId(name, int(i)), float(c)) for c, i in zip(best.values, best.indices, strict=True)]
        return tuple(found)

    def matches(self, ask: MatchAsk, show: Callable[[float], None] | None = None) -> MatchTable:
        """See `Runner.matches`."""
        return self.matcher.match(ask, show)

    def generate(self, ask: GenerationAsk) -> Iterator[TokenDelta]:
        """See `Runner.generate`."""
        for step in self.write(ask):
            yield from step

    def write(self, ask: GenerationAsk, lane: int = 0) -> Iterator[Step]:
        """A generation, one token for each of its rows at a time. Asks of one lane share their passes of the model.

        Raises:
            UnknownSae, UnknownLatent, NotMeasured: before anything is read.
        """
        tokens = self.tokens(ask.prompt)
        if len(tokens) + ask.sampling.max_new_tokens > self.model.max_tokens:
            raise PromptTooLong(len(tokens) + ask.sampling.max_new_tokens, self.model.max_tokens)
        rows = [
            (variant.label, self._placed(variant.interventions), ask.sampling.seed if variant.seed is None else variant.seed)
            for variant in ask.variants
        ]
        decoder = self._decoders.setdefault(lane, Decoder(self.model))
        return decoder.write(tokens, rows, ask.sampling)

    def score(self, ask: ScoreAsk) -> TextScore:
        """See `Runner.score`."""
        edits = self._placed(ask.interventions)
        tokens = self.tokens(ask.prompt)
        before = self.tokens(replace(ask.prompt, continuation=())).text
        gap = "" if before[-1:].isspace() or not before else " "
        firsts = [self.model.tokenizer(gap + word.strip(), add_special_tokens=False)["input_ids"][0] for word in ask.words]
        scored, words = score_text(self.model, tokens, edits, ask.top, firsts)
        return TextScore(scored, self._doses(edits), words)

    def doses(self, interventions: tuple[Intervention, ...]) -> tuple[Dose, ...]:
        """See `Runner.doses`."""
        return self._doses(self._placed(interventions))

    def promoted(self, ask: PromotedAsk) -> tuple[str, ...]:
        """See `Runner.promoted`."""
        with torch.inference_mode():
            row = self._direction(ask.direction).vector
            logits = self.model.unembed(self.model.to_residual(self._site(ask.direction), row[None])[0])
            best = torch.topk(logits, ask.top).indices
        return tuple(self.model.tokenizer.decode([int(token)]) for token in best)

    def assemble(self, ask: AssembleAsk) -> NamedVector:
        """See `Runner.assemble`.

        Raises:
            BadAsk: if the latents are of several sites.
        """
        sites = dict.fromkeys(self._site(latent) for latent, _ in ask.parts)
        if len(sites) > 1:
            raise BadAsk(f"The latents of {ask.name} are of {len(sites)} sites ({', '.join(map(str, sites))}); a vector has one.")
        total = sum(coefficient * self._row(latent) for latent, coefficient in ask.parts)
        assert isinstance(total, torch.Tensor)
        return NamedVector(ask.name, next(iter(sites)), tuple(total.tolist()))

    def activity(self, ask: ActivityAsk) -> SampledActivity:
        """See `Runner.activity`.

        Raises:
            PromptTooLong: with both numbers.
        """
        for row in ask.rows:
            self._check_length(row)
        return sampled_activity(self.model, ask, {name: self._with_site(name) for name in ask.saes})

    def rescale(self, ask: RescaleAsk) -> Rescaled:
        """See `Runner.rescale`.

        Raises:
            PromptTooLong: with both numbers.
        """
        self._check_length(ask.row)
        for latent in (*ask.targets, *(latent for variant in ask.variants for latent in variant.latents)):
            self.catalog.latent(latent)
        factors = [{} if variant.changes_nothing else dict.fromkeys(variant.latents, variant.factor) for variant in ask.variants]
        ids = self.model.with_bos(ask.row)
        plan = Plan(ids, ask.position + len(ids) - len(ask.row), factors, ask.targets, ask.n_after)
        saes = dict.fromkeys(latent.sae for latent in (*ask.targets, *(latent for changed in factors for latent in changed)))
        return rescale_at(self.model, plan, {name: self._with_site(name) for name in saes})

    def _check_length(self, row: Sequence[int]) -> None:
        if len(row) >= self.model.max_tokens:
            raise PromptTooLong(len(row) + 1, self.model.max_tokens)

    def _with_site(self, sae: SaeId) -> PlacedSae:
        return PlacedSae(self.sae(sae), self.catalog.get(sae).site)

    def read(self, ask: ReadingAsk) -> Iterator[ReadChunk]:
        """See `Runner.read`."""
        for site in (*ask.norms, *ask.rows):
            if site.layer >= self.model.n_layers:
                raise WidthMismatch(str(site), "layer", site.layer, str(self.model.id), self.model.n_layers)
        return read_texts(self.model, {name: (self.catalog.get(name).site, self.sae(name)) for name in ask.saes}, ask)

    def answer(self, ask: AnsweringAsk) -> Iterator[Answer]:
        """See `Runner.answer`."""
        for step in self.answer_steps(ask):
            yield from step

    def answer_steps(self, ask: AnsweringAsk) -> Iterator[tuple[Answer, ...]]:
        """The same, what has ended with each pass of the model at a time: often nothing."""
        return Answering(self._changed(ask.without), ask, self._placed_parts(ask.edits)).steps()

    def weigh(self, ask: ChoiceAsk) -> Iterator[ChoiceScores]:
        """See `Runner.weigh`."""
        for step in self.weigh_steps(ask):
            yield from step

    def weigh_steps(self, ask: ChoiceAsk) -> Iterator[tuple[ChoiceScores, ...]]:
        """The same, a batch of prompts at a time."""
        return score_choices(self._changed(ask.without), ask, self._placed_parts(ask.edits))

    def attend(self, ask: AttentionAsk) -> Iterator[AttentionChunk]:
        """See `Runner.attend`."""
        return read_attention(self.model, ask, self._placed_parts(ask.edits))

    def _changed(self, without: Direction | None) -> LoadedModel:
        return self.model if without is None else without_direction(self.model, self._direction(without).vector)

    def _placed_parts(self, edits: Sequence[PartEdit]) -> list[PartPlacedEdit]:
        placed = self._placed([edit.at(Where.PROMPT) for edit in edits])
        return [PartPlacedEdit(one, edit.part) for one, edit in zip(placed, edits, strict=True)]

    def _placed(self, interventions: Sequence[Intervention]) -> list[PlacedEdit]:
        return [PlacedEdit(self._site(edit.direction), edit, self._direction(edit.direction), self._amount(edit)) for edit in interventions]

    def _site(self, direction: Direction) -> Site:
        return direction.site if isinstance(direction, NamedVector) else self.catalog.get(direction.sae).site

    def _direction(self, direction: Direction) -> LoadedDirection:
        if isinstance(direction, LatentId):
            sae = self._with_latent(direction)
            return LoadedDirection(sae.W_dec[direction.index], sae, direction.index)
        if len(direction.values) != (width := self.model.width(direction.site)):
            raise WidthMismatch(str(direction), "a model of width", len(direction.values), str(self.model.id), width)
        if direction.site.layer >= self.model.n_layers:
            raise WidthMismatch(str(direction), "layer", direction.site.layer, str(self.model.id), self.model.n_layers)
        return LoadedDirection(torch.tensor(direction.values, device=self.model.device))

    def _amount(self, edit: Intervention) -> float:
        """The amount in units of the direction's strength."""
        if not edit.op.takes_unit or edit.unit is Unit.RAW:
            return edit.amount
        if edit.unit is Unit.NORM:
            return edit.amount * self.mean_norm(self._site(edit.direction)) / float(self._direction(edit.direction).vector.norm())
        assert isinstance(edit.direction, LatentId)
        return edit.amount * read_index(self.catalog.get(edit.direction.sae)).maximum_of(edit.direction)

    def _doses(self, edits: Sequence[PlacedEdit]) -> tuple[Dose, ...]:
        return tuple(
            Dose(edit.amount if edit.intervention.op.takes_unit else 0.0, float(edit.direction.vector.norm()), self.mean_norm(edit.site))
            for edit in edits
        )

    def mean_norm(self, site: Site) -> float:
        """Mean norm of the site's rows over the calibration text: special tokens and outlier-norm tokens left out."""
        if site not in self._norms:
            rows = torch.cat([read_sites(self.model.bridge, ids, [site])[site][self.model.ordinary(ids)] for ids in self._calibration()])
            self._norms[site] = float(rows[within_norm(rows)].float().norm(dim=-1).mean())
        return self._norms[site]

    def _calibration(self) -> list[torch.Tensor]:
        """The calibration text in windows [1, position] that begin like any other text."""
        start = [] if self.model.bos_id is None else [self.model.bos_id]
        ids = self.model.tokenizer(CALIBRATION.read_text(), add_special_tokens=False, verbose=False)["input_ids"]
        size = min(256, self.model.max_tokens) - len(start)
        return [self.model.batch((*start, *ids[at : at + size])) for at in range(0, len(ids), size)]

    def _with_latent(self, latent: LatentId) -> SAE:
        self.catalog.latent(latent)
        return self.sae(latent.sae)

    def _row(self, latent: LatentId) -> torch.Tensor:
        return self._with_latent(latent).W_dec[latent.index]

    def _fidelity(
        self, tokens: TokenizedPrompt, ids: torch.Tensor, name: SaeId, sae: SAE, rows: torch.Tensor, acts: torch.Tensor, with_losses: bool
    ) -> Fidelity:
        ordinary = ~torch.tensor(tokens.special, device=rows.device)
        n = int(ordinary.sum())
        if n == 0:
            return Fidelity(None, None, None, None, None)
        # Some SAEs keep each row's norm from encode for the one decode that follows, so each decode gets its own encode.
        rebuilt = sae.decode(acts)
        l0 = float((acts[ordinary] > 0).sum()) / n
        kept = rows[ordinary]
        mean = kept.mean(0)
        spread = float((kept - mean).square().sum())
        error = float((kept - rebuilt[ordinary]).square().sum())
        fvu = error / spread if spread > 0 else None
        if not with_losses or ids.shape[1] < 2:
            return Fidelity(l0, fvu, None, None, None)
        sae.encode(rows)
        all_off = sae.decode(torch.zeros_like(acts))[ordinary].mean(0)
        ways = [None, reconstruction(sae), constant(all_off)]
        sums = cross_entropies(self.model, ids, ordinary[None], self.catalog.get(name).site, ways)
        return Fidelity(l0, fvu, *(total / (ids.shape[1] - 1) for total in sums))


def _sparse(sae: SaeId, acts: torch.Tensor) -> LatentActivations:
    position, latent = acts.nonzero(as_tuple=True)
    return LatentActivations(
        sae=sae,
        n_tokens=acts.shape[0],
        n_latents=acts.shape[1],
        position=position.cpu().numpy().astype(np.int32),
        latent=latent.cpu().numpy().astype(np.int32),
        value=acts[position, latent].cpu().numpy().astype(np.float32),
    )
