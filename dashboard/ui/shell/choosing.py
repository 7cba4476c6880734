"""Which model a tab shows: chosen in the sidebar or by `?model=`, loaded when it can be; pages are drawn once it is."""

import streamlit as st
from streamlit.navigation.page import Page

from dashboard.analysis.errors import AnalysisError, BadAsk, ModelBusy, ModelNotLoaded
from dashboard.analysis.roster.models import Choice, remember_model
from dashboard.analysis.settings import Dtype
from dashboard.ui.shell import address, failures, sidebar, tab
from dashboard.ui.shell.resources import cancel_all, choice, choices, get_catalog, get_pool, open_chosen, own_settings

PICK, LOAD, CANCEL, PAGE = "model_pick", "model_load", "model_cancel", "app_pages/models.py"
_CLAIMS, _SAID = "model_claims", "model_said"


def settle() -> None:
    """Take over the model that the address names when a tab opens it or goes back to it. To be called before any page."""
    known = {str(one): one for one in choices()}
    named, is_new = st.query_params.get(address.MODEL), tab.model() is None
    first, loaded = next(iter(known)), get_pool().loaded
    if is_new:
        # An address that says something, but no model, was written when there was only the first.
        otherwise = first if address.said() or loaded is None else str(loaded)
        _take(named or otherwise, known)
    elif not tab.is_acting():
        if named is None and address.said() and address.named() and tab.model() != first:
            named = first
        if named and named != tab.model():
            _take(named, known)
    if tab.model() not in known:
        _take(first, known)


def choose(name: str) -> None:
    """Callback: this tab looks at another model from now on; every page opens as for the first time."""
    tab.start_anew(name)
    st.query_params.clear()
    address.name_model(name)
    st.session_state[_CLAIMS] = True


def read_so(own: Choice, bos: bool, dtype: Dtype) -> None:
    """Change how texts are read with a model, and reload it.

    Raises:
        BadAsk: if an environment variable overrides the setting.
    """
    now = remember_model(own.given, own_settings(), bos=bos, dtype=dtype)
    if (now.bos, now.dtype) != (bos, dtype):
        raise BadAsk(f"LATENTS_BOS or LATENTS_DTYPE overrides the setting for {own}. Unset it and restart the dashboard.")
    choose(str(own))
    st.rerun()


def sidebar_choice() -> None:
    """The models of this installation."""
    names = [str(one) for one in choices()]
    st.session_state[PICK] = tab.model()
    with st.sidebar:
        st.selectbox("Model", names, key=PICK, on_change=lambda: choose(st.session_state[PICK]))
        if said := st.session_state.pop(_SAID, None):
            st.warning(failures.plain(said), icon=":material/link_off:")


def is_ready() -> bool:
    """Whether pages can ask the tab's model; if not, why, and the way to load it, is drawn in their place."""
    wanted, pool, claims = choice(), get_pool(), st.session_state.pop(_CLAIMS, False)
    if pool.loaded == wanted:
        return True
    if pool.loaded is None or claims:
        try:
            open_chosen(wanted)
            return True
        except ModelBusy as error:
            _offer(error, wanted, can_cancel=True)
        except AnalysisError as error:
            st.error(failures.plain(str(error)), icon=":material/error:")
    else:
        _offer(ModelNotLoaded(str(wanted), str(pool.loaded)), wanted, can_cancel=False)
    return False


def has_saes(models: Page) -> bool:
    """Whether this model has an SAE here; if not, what to do is drawn in the page's place."""
    catalog, wanted = get_catalog(), choice()
    if catalog.specs:
        return True
    for error in catalog.broken.values():
        st.warning(failures.plain(str(error)), icon=":material/broken_image:")
    said = f"No SAE of {wanted} is installed, so there are no latents to inspect. Get one on the page Models and SAEs, or run:"
    st.info(failures.plain(said), icon=":material/deployed_code:")
    name = wanted.id.repo.rpartition("/")[2].lower()
    st.code(f"latents sae find {name}\nlatents sae get RELEASE/ID\nlatents open FOLDER", language="bash")
    st.page_link(models, label="Models and SAEs", icon=":material/arrow_forward:", query_params=address.to({}))
    address.clear()
    sidebar.jobs()
    return False


def _offer(error: AnalysisError, wanted: Choice, *, can_cancel: bool) -> None:
    st.warning(failures.plain(str(error)), icon=":material/swap_horiz:")
    with st.container(horizontal=True):
        st.button(f"Load {failures.plain(str(wanted))}", key=LOAD, on_click=_claim, type="primary", icon=":material/play_arrow:")
        if can_cancel:
            st.button("Cancel these jobs", key=CANCEL, on_click=_cancel, icon=":material/close:")


def _claim() -> None:
    st.session_state[_CLAIMS] = True


def _cancel() -> None:
    cancel_all()
    _claim()


def _take(name: str, known: dict[str, Choice]) -> None:
    first = next(iter(known))
    if name not in known:
        said = f"No model {name[:80]!r} in this installation; {tab.model() or first} is shown. Get it on the page Models and SAEs."
        name = tab.model() or first
        st.session_state[_SAID] = said
        if tab.model() == name:
            return
    keeps_silent = tab.model() is None and name == first
    if tab.model() is None:
        tab.set_model(name)
    else:
        said = st.session_state.get(_SAID)
        tab.start_anew(name)
        st.session_state[_SAID] = said
    st.session_state[_CLAIMS] = True
    if not keeps_silent:
        address.name_model(name)
