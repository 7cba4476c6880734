"""LocalRunner: answers in the caller's thread. One thread at a time may use it; the Engine sees to that."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import Capture, CaptureAsk, TraceAsk, TracedRow
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, RescaleAsk, Rescaled, SampledActivity
from dashboard.analysis.asks.edits import Direction, Intervention, NamedVector
from dashboard.analysis.asks.generation import GenerationAsk, ScoreAsk, TextScore, TokenDelta
from dashboard.analysis.asks.many_texts import (
    Answer,
    AnsweringAsk,
    AttentionAsk,
    AttentionChunk,
    ChoiceAsk,
    ChoiceScores,
    ReadChunk,
    ReadingAsk,
    each_of,
)
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.asks.weights import AssembleAsk, Dose, Neighbour, NeighbourAsk, PromotedAsk, Vocabulary, VocabularyAsk
from dashboard.analysis.engine.placing import CALIBRATION as CALIBRATION
from dashboard.analysis.engine.placing import Placing
from dashboard.analysis.errors import BadAsk, PromptTooLong, WidthMismatch
from dashboard.analysis.model.answering import Answering
from dashboard.analysis.model.attention import read_attention
from dashboard.analysis.model.bridge import LoadedModel, token_texts, tokenise
from dashboard.analysis.model.generation import Decoder, Step
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.model.likelihood import score_choices
from dashboard.analysis.model.orthogonal import without_direction
from dashboard.analysis.model.reading import read_texts
from dashboard.analysis.model.rescaling import PlacedSae, Plan, rescale_at
from dashboard.analysis.model.scoring import score_text
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.sae.activity import sampled_activity
from dashboard.analysis.sae.capturing import capture_tokens
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.matcher import Matcher
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.system.memory import release
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


class LocalRunner:
    """A model, the SAEs of a catalogue (loaded when first asked for), and the questions of `Runner`."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path, sae_memory: int | None = None) -> None:
        self.model, self._cache = model, cache
        self.shelf = Shelf(model, catalog, cache, sae_memory)
        self.renew(catalog)
        self._decoders: dict[int, Decoder] = {}

    @property
    def cautions(self) -> Mapping[SaeId, str]:
        """Of the SAEs that were used, what a reader must know before believing them."""
        return self.shelf.cautions

    def sae(self, sae: SaeId) -> SAE:
        """The SAE itself, checked against the model; see `Shelf.take`."""
        return self.shelf.take(sae)

    def release_memory(self) -> None:
        """Page out every dictionary that no job holds, and give back what nothing holds."""
        self.shelf.put_away()
        release()

    def renew(self, catalog: Catalog) -> None:
        """Answer for the SAEs of another catalogue from now on; those that are loaded stay."""
        self.catalog = catalog
        self.shelf.renew(catalog)
        self.matcher = Matcher(self.model, catalog, self._cache, self.shelf.decoder)
        self._placing = Placing(self.model, catalog, self.shelf)

    def tokens(self, prompt: Prompt) -> TokenizedPrompt:
        """The prompt as the model reads it."""
        return tokenise(self.model, prompt)

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        model = self.model
        dtype = str(model.dtype).removeprefix("torch.") + ("" if model.quantize == "none" else f", {model.quantize}")
        return ModelCard(model.id, model.path, model.device, dtype, model.n_layers, model.d_model, model.max_tokens)

    def capture(self, ask: CaptureAsk) -> Capture:
        """See `Runner.capture`."""
        tokens = self.tokens(ask.prompt)
        sites = {name: self.shelf.spec(name).site for name in ask.saes}
        return capture_tokens(self.model, tokens, sites, self._use, ask.fidelity)

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
        sites = {name: self.shelf.spec(name).site for name in dict.fromkeys(latent.sae for latent in ask.latents)}
        values = read_sites(model.bridge, ids, list(dict.fromkeys(sites.values()))) if rows and sites else {}
        acts: dict[LatentId, torch.Tensor] = {}
        for name, site in sites.items() if rows else ():
            wanted = list(dict.fromkeys(latent for latent in ask.latents if latent.sae == name))
            with self._use(name) as sae, torch.inference_mode():
                dense = sae.encode(values[site].float())
                acts |= {latent: dense[..., latent.index].cpu() for latent in wanted}
        traced: list[TracedRow] = []
        for place, (row, given) in enumerate(zip(rows, ask.rows, strict=True)):
            of_latents = [acts[latent][place, len(row) - len(given) : len(row)].numpy() for latent in ask.latents]
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
        own = torch.nn.functional.normalize(self.shelf.row(ask.latent), dim=0)
        found: list[Neighbour] = []
        for name in ask.among:
            with torch.inference_mode():
                rows = self.shelf.decoder(name).rows
                cosines = (rows @ own.to(rows.device)) / rows.norm(dim=1).clamp(min=1e-12)
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

        The dictionaries that its edits read are held on the shelf until it has ended or is closed.

        Raises:
            UnknownSae, UnknownLatent, NotMeasured, ShelfTooSmall: before anything is read.
        """
        tokens = self.tokens(ask.prompt)
        if len(tokens) + ask.sampling.max_new_tokens > self.model.max_tokens:
            raise PromptTooLong(len(tokens) + ask.sampling.max_new_tokens, self.model.max_tokens)
        seed = ask.sampling.seed
        with ExitStack() as held:
            edits = [held.enter_context(self._placing.placed(variant.interventions)) for variant in ask.variants]
            rows = [
                (variant.label, placed, seed if variant.seed is None else variant.seed)
                for variant, placed in zip(ask.variants, edits, strict=True)
            ]
            decoder = self._decoders.setdefault(lane, Decoder(self.model))
            yield from decoder.write(tokens, rows, ask.sampling)

    def score(self, ask: ScoreAsk) -> TextScore:
        """See `Runner.score`."""
        tokens = self.tokens(ask.prompt)
        before = self.tokens(replace(ask.prompt, continuation=())).text
        gap = "" if before[-1:].isspace() or not before else " "
        firsts = [self.model.tokenizer(gap + word.strip(), add_special_tokens=False)["input_ids"][0] for word in ask.words]
        with self._placing.placed(ask.interventions) as edits:
            scored, words = score_text(self.model, tokens, edits, ask.top, firsts)
            return TextScore(scored, self._placing.doses(edits), words)

    def doses(self, interventions: tuple[Intervention, ...]) -> tuple[Dose, ...]:
        """See `Runner.doses`."""
        with self._placing.placed(interventions) as edits:
            return self._placing.doses(edits)

    def mean_norm(self, site: Site) -> float:
        """See `Placing.mean_norm`."""
        return self._placing.mean_norm(site)

    def promoted(self, ask: PromotedAsk) -> tuple[str, ...]:
        """See `Runner.promoted`."""
        row, site = self._placing.vector(ask.direction), self._placing.site(ask.direction)
        with torch.inference_mode():
            logits = self.model.unembed(self.model.to_residual(site, row[None])[0])
            best = torch.topk(logits, ask.top).indices
        return tuple(self.model.tokenizer.decode([int(token)]) for token in best)

    def assemble(self, ask: AssembleAsk) -> NamedVector:
        """See `Runner.assemble`.

        Raises:
            BadAsk: if the latents are of several sites.
        """
        sites = dict.fromkeys(self._placing.site(latent) for latent, _ in ask.parts)
        if len(sites) > 1:
            raise BadAsk(f"The latents of {ask.name} are of {len(sites)} sites ({', '.join(map(str, sites))}); a vector has one.")
        total = sum(coefficient * self.shelf.row(latent) for latent, coefficient in ask.parts)
        assert isinstance(total, torch.Tensor)
        return NamedVector(ask.name, next(iter(sites)), tuple(total.tolist()))

    def activity(self, ask: ActivityAsk) -> SampledActivity:
        """See `Runner.activity`.

        Raises:
            PromptTooLong: with both numbers.
        """
        for row in ask.rows:
            self._check_length(row)
        return sampled_activity(self.model, ask, {name: self.shelf.spec(name) for name in ask.saes}, self._use)

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
        names = dict.fromkeys(latent.sae for latent in (*ask.targets, *(latent for changed in factors for latent in changed)))
        with self.shelf.holding(names) as saes:
            return rescale_at(self.model, plan, {name: PlacedSae(sae, self.catalog.get(name).site) for name, sae in saes.items()})

    def _check_length(self, row: Sequence[int]) -> None:
        if len(row) >= self.model.max_tokens:
            raise PromptTooLong(len(row) + 1, self.model.max_tokens)

    @contextmanager
    def _use(self, name: SaeId) -> Iterator[SAE]:
        with self.shelf.holding([name]) as saes:
            yield saes[name]

    def read(self, ask: ReadingAsk) -> Iterator[ReadChunk]:
        """See `Runner.read`."""
        for site in (*ask.norms, *ask.rows):
            if site.layer >= self.model.n_layers:
                raise WidthMismatch(str(site), "layer", site.layer, str(self.model.id), self.model.n_layers)
        with self.shelf.holding(ask.saes) as saes:
            yield from read_texts(self.model, {name: (self.catalog.get(name).site, sae) for name, sae in saes.items()}, ask)

    def answer(self, ask: AnsweringAsk) -> Iterator[Answer]:
        """See `Runner.answer`."""
        return each_of(self.answer_steps(ask))

    def answer_steps(self, ask: AnsweringAsk) -> Iterator[tuple[Answer, ...]]:
        """The same, what has ended with each pass of the model at a time: often nothing."""
        with self._placing.placed_parts(ask.edits) as edits:
            yield from Answering(self._changed(ask.without), ask, edits).steps()

    def weigh(self, ask: ChoiceAsk) -> Iterator[ChoiceScores]:
        """See `Runner.weigh`."""
        return each_of(self.weigh_steps(ask))

    def weigh_steps(self, ask: ChoiceAsk) -> Iterator[tuple[ChoiceScores, ...]]:
        """The same, a batch of prompts at a time."""
        with self._placing.placed_parts(ask.edits) as edits:
            yield from score_choices(self._changed(ask.without), ask, edits)

    def attend(self, ask: AttentionAsk) -> Iterator[AttentionChunk]:
        """See `Runner.attend`."""
        with self._placing.placed_parts(ask.edits) as edits:
            yield from read_attention(self.model, ask, edits)

    def _changed(self, without: Direction | None) -> LoadedModel:
        return self.model if without is None else without_direction(self.model, self._placing.vector(without))
