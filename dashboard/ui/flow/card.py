"""What is said of the chosen node or link, beside the graph."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from components.example_list import example_list
from components.latent_list import latent_list
from components.token_columns import token_columns
from dashboard.analysis.asks.capture import TraceAsk, TracedRow
from dashboard.analysis.asks.weights import PromotedAsk, VocabularyAsk
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.contexts import fold, read_contexts
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.index.file import read_facts
from dashboard.analysis.index.latent import frequency
from dashboard.analysis.methods.flow.pair import firing_together, shared_promoted
from dashboard.analysis.methods.flow.recipe import FlowPathAsk, path_edits
from dashboard.analysis.methods.flow.results import FlowEdge, FlowGraph, FlowNode, LitGraph
from dashboard.analysis.methods.flow.without import without_predecessors
from dashboard.analysis.names import LatentId
from dashboard.ui.flow import present as present_flow
from dashboard.ui.parts import figures, latent_rows
from dashboard.ui.parts.list_box import list_box
from dashboard.ui.parts.naming import Named, names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog, get_corpus, get_engine
from dashboard.ui.views import flow, steer
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.flow import PAGE

N_EXAMPLES, N_LOGITS = 4, 5


Later = Callable[[], None]
"""Draws what takes a pass of the model, after the rest is drawn."""


def chosen_card(view: flow.FlowView, graphs: Sequence[FlowGraph], lit: LitGraph | None) -> Later:
    """The chosen link or node; the seed if nothing that is drawn is chosen."""
    edges = [edge for graph in graphs for edge in graph.edges if f"{edge.source} {edge.target}" == view.selected]
    if edges:
        return edge_card(edges[0], lit)
    found = [(graph, node) for graph in graphs for node in graph.nodes if node.id == view.selected]
    graph, node = found[0] if found else (graphs[0], graphs[0].node(view.seed))
    assert node is not None
    return node_card(view, graph, node)


def node_card(view: flow.FlowView, graph: FlowGraph, node: FlowNode) -> Later:
    """A latent: what it is, how it is linked, what can be done with it; its strongest texts come later."""
    named = names(get_catalog())
    st.markdown(f"##### {failures.plain(named(node.latent) or 'No label')}", help=TERMS["label"])
    st.caption(f"`{node.latent}`")
    _buttons(view, graph, node)
    if scores := present_flow.scores(node):
        for column, (name, value) in zip(st.columns(3), scores, strict=True):
            column.metric(name, value, help=TERMS[name])
    facts = _facts(node.latent)
    if facts is None:
        texts = get_engine().ask(PromotedAsk(node.latent, 10))
        st.caption(failures.plain("Promotes: " + "  ".join(map(repr, texts))))
        return partial(_without, view, graph, node.latent)
    share, counted = figures.density(frequency(facts))
    st.markdown(f"Fires on {failures.plain(share)} :gray[{failures.plain(counted)}]", help=TERMS["density"])
    ids = tuple(dict.fromkeys(token.token_id for token in (*facts.promoted[:N_LOGITS], *facts.suppressed[:N_LOGITS])))
    shown = dict(zip(ids, get_engine().ask(VocabularyAsk(ids)).texts, strict=True))
    columns = (("likelier", facts.promoted[:N_LOGITS]), ("less likely", facts.suppressed[:N_LOGITS]))
    token_columns([(title, latent_rows.weights(tokens, shown)) for title, tokens in columns], key=PAGE.key("logits"))
    return partial(_node_later, view, graph, facts)


def _node_later(view: flow.FlowView, graph: FlowGraph, facts: LatentFacts) -> None:
    _without(view, graph, facts.latent)
    if facts.is_dead:
        st.caption(f"It never fired on the {figures.grouped(facts.head.n_tokens)} tokens of the index; only its weights can be inspected.")
    else:
        _examples(facts)


def _without(view: flow.FlowView, graph: FlowGraph, latent: LatentId) -> None:
    """What is left of a latent on the chosen token when those that lead into it are removed there."""
    with st.expander("Deactivate its predecessors", icon=":material/backspace:", key=PAGE.key("without"), on_change="rerun") as box:
        if not box.open:
            return
        if not view.prompt.text.strip():
            st.caption("Enter a text below the graph; predecessors are removed at one of its tokens.")
            return
        with failures.shown(), st.spinner("removing predecessors"):
            found = without_predecessors(get_engine(), graph, latent, view.prompt, view.token)
            first, *further = map(failures.plain, present_flow.without(found))
            st.markdown(first)
            if rows := present_flow.removed_rows(found, names(get_catalog())):
                latent_list(rows, key=PAGE.key("removed"), on_show=flow.choose_removed)
            for line in further:
                st.markdown(line)


def _nothing() -> None:
    """What comes later where there is nothing more to say."""


def _examples(facts: LatentFacts) -> None:
    corpus = get_corpus(facts.head)
    contexts = read_contexts(_trace, corpus, facts.latent, fold(corpus, facts.top)[:N_EXAMPLES])
    rows, scale = latent_rows.example_rows(contexts), latent_rows.scale_of(facts.latent, facts, [])
    example_list(rows, scale, legend=True, wrapped=False, action="", key=PAGE.key("examples"), on_act=PAGE.touch)


def _buttons(view: flow.FlowView, graph: FlowGraph, node: FlowNode) -> None:
    with st.container(horizontal=True, gap="small"):
        if st.button("Open", key=PAGE.key("open"), icon=":material/center_focus_strong:", help="Open the page of this latent."):
            latent_state.show(node.latent, view.prompt)
        if st.button(
            "Steer", key=PAGE.key("steer"), icon=":material/tune:", help="Add this latent to the edits of the steer page (key: s)"
        ):
            steer.go_with([node.latent])
        if st.button("Steer path", key=PAGE.key("steer path"), icon=":material/conversion_path:", help=TERMS["steer path"]):
            steer_path(graph)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        pin, said = (":material/keep_off:", "Unpin it") if node.latent in view.pins else (":material/keep:", "Pin it")
        said += ": Shift and click on the graph, or p there"
        st.button("", key=PAGE.key("pin"), icon=pin, on_click=PAGE.toggle, args=("pins", node.latent), help=said)
        said, is_seed = "Follow this latent (on the graph: double-click or Ctrl+Enter)", node.latent == graph.ask.seed
        st.button(
            "", key=PAGE.key("follow"), icon=":material/route:", on_click=flow.follow, args=(node.latent,), disabled=is_seed, help=said
        )
        list_box(PAGE, "lists", (node.latent,), "Add to a list")


def steer_path(graph: FlowGraph) -> None:
    """Leave for the steer page with the residual latents of the span, as the recipe makes edits of them."""
    steer.go_with_recipe(path_edits(graph, FlowPathAsk(graph.ask.seed, most=steer.MAX_EDITS, t_res=graph.ask.t_res)).edits)


def edge_card(edge: FlowEdge, lit: LitGraph | None) -> Later:
    """A link: its two latents compared; whether they fire together is counted later."""
    named = names(get_catalog())
    st.markdown(f"#### {failures.plain(f'Cosine {edge.cosine:.2f}')}", help=TERMS["link"])
    for end, latent in (("from", edge.source), ("to", edge.target)):
        st.markdown(f":gray[{end}] `{latent}`  \n{failures.plain(named(latent) or 'no label')}")
        go, follow = st.columns(2)
        go.button("Show", key=PAGE.key(end), on_click=PAGE.change, kwargs={"selected": str(latent)}, width="stretch")
        if follow.button("Open", key=PAGE.key(f"{end} open"), width="stretch"):
            latent_state.show(latent)
    if not edge.mutual or edge.gap:
        st.caption(failures.plain(present_flow.edge_note(edge).partition("\n")[2]).replace("\n", "  \n"))
    if lit is not None:
        st.caption(failures.plain(present_flow.together_on(lit, edge.source, edge.target)))
    first, second = _facts(edge.source), _facts(edge.target)
    if first is None or second is None:
        return _nothing
    shared = shared_promoted(first, second)
    texts = get_engine().ask(VocabularyAsk(shared)).texts if shared else ()
    said = "  ".join(map(repr, texts)) if texts else "none of their ten strongest"
    st.markdown(f"**Promoted by both** {failures.plain(said)}", help=TERMS["logit"])
    return partial(_together, first, second)


def _together(first: LatentFacts, second: LatentFacts) -> None:
    st.markdown(failures.plain(present_flow.together(firing_together(_trace, get_corpus(first.head), first, second))))


def pins(view: flow.FlowView, graph: FlowGraph, named: Named) -> None:
    """What is pinned, whether it is in this graph or not."""
    if not view.pins:
        return
    here = {node.latent for node in graph.nodes}
    ends = [(edge.cosine, {edge.source, edge.target}) for edge in graph.edges]
    pairs = [(pin, max((cosine for cosine, pair in ends if pin in pair), default=0.0)) for pin in view.pins if pin in here]
    heading, clear = st.columns([3, 1], vertical_alignment="center")
    heading.markdown("**Pinned** :gray[bars show the strongest link in this graph]")
    clear.button("Unpin all", key=PAGE.key("unpin all"), on_click=PAGE.change, kwargs={"pins": ()}, type="tertiary")
    if pairs:
        rows = latent_rows.related_rows(pairs, graph.ask.seed, named, "strongest link in this graph")
        latent_list(rows, key=PAGE.key("pinned"), on_show=flow.act_on_pin, on_pin=flow.act_on_pin, keep="unpin")
    if away := [str(pin) for pin in view.pins if pin not in here]:
        st.caption(failures.plain(f"Not in this graph: {', '.join(away)}."))
    list_box(PAGE, "lists of pins", view.pins, "Add all pinned to a list")


def _facts(latent: LatentId) -> LatentFacts | None:
    try:
        return read_facts(get_catalog().get(latent.sae), latent.index)
    except AnalysisError:
        return None


def _trace(ask: TraceAsk) -> Sequence[TracedRow]:
    return failures.answer(get_engine().ticket(ask), f"reading {len(ask.rows)} texts")
