"""What can be said of weights without reading a text."""

import torch

from dashboard.analysis.asks.edits import NamedVector
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.weights import AssembleAsk, Dose, DosesAsk, Neighbour, NeighbourAsk, PromotedAsk, Vocabulary, VocabularyAsk
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId


def vocabulary(at: Workspace, ask: VocabularyAsk) -> Vocabulary:
    """Texts and embedding rows of some tokens: what word search compares words by."""
    model, special = at.model, {*at.model.tokenizer.all_special_ids}
    texts = model.tokenizer.batch_decode([[token] for token in ask.ids])
    with torch.inference_mode():
        rows = model.bare.get_input_embeddings()(torch.tensor(ask.ids, dtype=torch.long, device=model.device))
    return Vocabulary(tuple(texts), tuple(token in special for token in ask.ids), rows.float().cpu().numpy())


def neighbours(at: Workspace, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
    """Decoder rows nearest to one latent's, by SAE in the order asked, nearest first."""
    own = torch.nn.functional.normalize(at.shelf.row(ask.latent), dim=0)
    found: list[Neighbour] = []
    for name in ask.among:
        with torch.inference_mode():
            rows = at.shelf.decoder(name).rows
            cosines = (rows @ own.to(rows.device)) / rows.norm(dim=1).clamp(min=1e-12)
            if name == ask.latent.sae:
                cosines[ask.latent.index] = -2.0
            best = torch.topk(cosines, min(ask.top, len(rows) - (name == ask.latent.sae)))
            found += [Neighbour(LatentId(name, int(i)), float(c)) for c, i in zip(best.values, best.indices, strict=True)]
    return tuple(found)


def matches(at: Workspace, ask: MatchAsk) -> MatchTable:
    """Counterparts of one SAE's latents in another. Whole tables are kept on disk."""
    return at.matcher.match(ask)


def doses(at: Workspace, ask: DosesAsk) -> tuple[Dose, ...]:
    """What each intervention amounts to."""
    with at.placing.placed(ask.interventions) as edits:
        return at.placing.doses(edits)


def promoted(at: Workspace, ask: PromotedAsk) -> tuple[str, ...]:
    """The tokens that a direction promotes, strongest first."""
    row, site = at.placing.vector(ask.direction), at.placing.site(ask.direction)
    with torch.inference_mode():
        logits = at.model.unembed(at.model.to_residual(site, row[None])[0])
        best = torch.topk(logits, ask.top).indices
    return tuple(at.model.tokenizer.decode([int(token)]) for token in best)


def assemble(at: Workspace, ask: AssembleAsk) -> NamedVector:
    """A vector put together from decoder rows.

    Raises:
        BadAsk: if the latents are of several sites.
    """
    sites = dict.fromkeys(at.placing.site(latent) for latent, _ in ask.parts)
    if len(sites) > 1:
        raise BadAsk(f"The latents of {ask.name} are of {len(sites)} sites ({', '.join(map(str, sites))}); a vector has one.")
    total = sum(coefficient * at.shelf.row(latent) for latent, coefficient in ask.parts)
    assert isinstance(total, torch.Tensor)
    return NamedVector(ask.name, next(iter(sites)), tuple(total.tolist()))
