"""The frame of every page: configuration, the sidebar, navigation; and no page before its model can answer."""

import streamlit as st

from dashboard.analysis.settings import ASSETS
from dashboard.ui.shell import address, choosing, failures, sidebar

st.set_page_config(page_title="Latents", page_icon=str(ASSETS / "icon.png"), layout="wide")
sidebar.style()

models = st.Page(choosing.PAGE, title="Models and SAEs", icon=":material/deployed_code:")
page = st.navigation(
    {
        "Look": [
            st.Page("app_pages/highlight.py", title="Highlight", icon=":material/format_ink_highlighter:", default=True),
            st.Page("app_pages/latent.py", title="Latent", icon=":material/center_focus_strong:"),
            st.Page("app_pages/search.py", title="Search", icon=":material/search:"),
            st.Page("app_pages/lists.py", title="Lists", icon=":material/list:"),
        ],
        "Ask": [
            st.Page("app_pages/known_unknown.py", title="Known or unknown", icon=":material/psychology_alt:"),
            st.Page("app_pages/flow.py", title="Flow", icon=":material/conversion_path:"),
        ],
        "Act": [st.Page("app_pages/steer.py", title="Steer", icon=":material/tune:")],
        "Bring": [models],
    }
)
with failures.shown():
    choosing.settle()
    address.enter(page.url_path)
    choosing.sidebar_choice()
    if page.url_path == models.url_path or (choosing.is_ready() and choosing.has_saes(models)):
        page.run()
