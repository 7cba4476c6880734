"""The left column of the latent page: what is known of the latent without reading a text."""

from collections.abc import Sequence

import streamlit as st

from components.histogram import histogram
from components.latent_list import latent_list
from components.token_columns import token_columns
from dashboard.analysis.asks.weights import NeighbourAsk, PromotedAsk, VocabularyAsk
from dashboard.analysis.index.facts import N_NEIGHBOURS, QUANTILES, LatentFacts
from dashboard.analysis.index.latent import frequency
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.ui.latent import present as present_latent
from dashboard.ui.parts import figures, latent_rows
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_engine
from dashboard.ui.views import latent as latents
from dashboard.ui.views.latent import PAGE


def column(catalog: Catalog, spec: SaeSpec, view: latents.LatentView, facts: LatentFacts | None) -> None:
    """Everything, or without an index what the weights alone say."""
    with failures.shown():
        _logits(view.latent, facts)
    if facts is not None:
        _statistics(view, facts)
    with failures.shown():
        _related(catalog, view.latent, facts)
    with st.expander("The SAE", icon=":material/info:"):
        lines = [f":gray[{failures.plain(name)}] {failures.plain(value)}" for name, value in present_latent.record_table(spec)]
        st.markdown("  \n".join(lines), help=" ".join(f"**{name}** {TERMS[name]}" for name in ("L0", "FVU", "CE recovered")))


def _logits(latent: LatentId, facts: LatentFacts | None) -> None:
    st.markdown("**Promoted tokens**", help=TERMS["logit"])
    engine = get_engine()
    if facts is None:
        texts = engine.ask(PromotedAsk(latent, 10))
        st.caption(failures.plain("Likelier: " + "  ".join(map(repr, texts))))
        return
    ids = tuple(dict.fromkeys(token.token_id for token in (*facts.promoted, *facts.suppressed)))
    shown = dict(zip(ids, engine.ask(VocabularyAsk(ids)).texts, strict=True))
    columns = (("likelier", facts.promoted), ("less likely", facts.suppressed))
    token_columns([(title, latent_rows.weights(tokens, shown)) for title, tokens in columns], key=PAGE.key("logits"))


def _statistics(view: latents.LatentView, facts: LatentFacts) -> None:
    share, counted = figures.density(frequency(facts))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("**How often it fires**", help=TERMS["density"], width="content")
        st.toggle("Log", **PAGE.bind("is_log"))
    st.markdown(f"{failures.plain(share)} :gray[{failures.plain(counted)}]")
    if not facts.is_dead:
        follows = str(view.latent)
        bins = present_latent.activation_bins(facts)
        histogram(bins, log=view.is_log, selected=view.bin, follows=follows, key=PAGE.key("bins"), on_pick=latents.pick_bin)
        middle = dict(zip(QUANTILES, facts.quantiles, strict=True))
        line = f"mean {facts.mean:.2f} · median {middle[0.5]:.2f} · 95 % below {middle[0.95]:.2f}"
        st.caption(failures.plain(line), help=TERMS["quantiles"])
    st.markdown("**Effect on the vocabulary**", help=TERMS["logit"])
    histogram(present_latent.logit_bins(facts), log=view.is_log, key=PAGE.key("logit bins"))


def _related(catalog: Catalog, latent: LatentId, facts: LatentFacts | None) -> None:
    if facts is None:
        others = tuple(spec.id for spec in catalog.release_of(latent.sae))
        found = get_engine().ask(NeighbourAsk(latent, others))
        groups = {"Nearest in each SAE": ("within", [(one.latent, one.cosine) for one in found], "cosine")}
    else:
        near = [(one.latent, one.cosine) for one in facts.neighbours]
        within = [pair for pair in near if pair[0].sae == latent.sae][:N_NEIGHBOURS]
        groups = {
            "In this SAE": ("within", within, "cosine"),
            "In others": ("across", [pair for pair in near if pair[0].sae != latent.sae], "cosine"),
            "Fires together": ("together", [(one.latent, one.share) for one in facts.cofiring], "share"),
        }
    st.markdown("**Related latents**", help=f"{TERMS['neighbour']} {TERMS['cofiring']}")
    for tab, (name, (key, related, measure)) in zip(st.tabs(list(groups)), groups.items(), strict=True):
        with tab:
            _list(name, key, related, measure, latent, catalog)


def _list(name: str, key: str, related: Sequence[tuple[LatentId, float]], measure: str, latent: LatentId, catalog: Catalog) -> None:
    if not related:
        st.caption(f"{name}: none.")
        return
    rows = latent_rows.related_rows(related, latent, names(catalog), measure)
    latent_list(rows, key=PAGE.key(key), on_show=lambda: latents.go_listed(key))
