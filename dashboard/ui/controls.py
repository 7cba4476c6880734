"""Inputs that pages put above their answers."""

import streamlit as st

from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui import failures, state


def prompt_box(catalog: Catalog) -> None:
    """The prompt, its mode, and examples."""
    box, options = st.columns([4, 1], vertical_alignment="bottom")
    box.text_area(
        "Text",
        key=state.PROMPT,
        height=80,
        label_visibility="collapsed",
        on_change=state.forget_token,
        persist_state="session",
        placeholder="Type a sentence, then Ctrl+Enter",
    )
    with options:
        chat_help = "Read the text as a user message, through the model's chat template."
        st.toggle("Chat", key=state.CHAT, on_change=state.forget_token, help=chat_help, persist_state="session")
        st.button("Read", width="stretch")
    with st.container(horizontal=True):
        for name in state.EXAMPLES:
            st.button(name, on_click=state.use_example, args=(name, catalog), type="tertiary", icon=":material/notes:")


def map_choice(*, disabled: bool) -> None:
    """What the layer map is about: relatives of the chosen latent, or counts."""
    st.segmented_control(
        "Layer map",
        state.MAPS,
        key=state.MAP_SHOWS,
        required=True,
        disabled=disabled,
        on_change=state.note_change,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )


def steer_button(latent: LatentId, said: str) -> None:
    """What is said of a latent, and the way to the steer page with it."""
    caption, button = st.columns([5, 2], vertical_alignment="center")
    caption.caption(failures.plain(said))
    if button.button("Steer", icon=":material/tune:", width="stretch", help="Add this latent to the edits of the steer page."):
        st.switch_page("app_pages/steer.py", query_params={"latent": str(latent)})
