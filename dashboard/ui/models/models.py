"""The part on models of the page Models and SAEs: those that are here, another one, and how texts are read."""

from functools import partial
from typing import Any, get_args

import streamlit as st

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.model.downloads import fetch_steps, total_of
from dashboard.analysis.model.sizing import ModelSize, size_of
from dashboard.analysis.model.sources import cached_folder
from dashboard.analysis.roster.models import Choice, remember_model
from dashboard.analysis.sae.public.families import FAMILIES, Family
from dashboard.analysis.settings import Dtype
from dashboard.ui.shell import choosing, failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import catalog_of, choice, choices, get_downloads, get_pool, own_settings
from dashboard.ui.views import models as bring
from dashboard.ui.views.models import PAGE

_POLL_S = 0.7
_BY_TITLE = {family.title: family for family in FAMILIES}


def installed() -> None:
    """Every model of this installation: its size, whether it fits, its SAEs."""
    st.dataframe([_row(one) for one in choices()], hide_index=True, height="content")


def _row(one: Choice) -> dict[str, Any]:
    own = one.settings(own_settings())
    size = None
    if cached_folder(own) is not None:
        try:
            size = size_of(own)
        except AnalysisError as error:
            return {"model": str(one), "state": str(error)}
    said = "loaded" if get_pool().loaded == one else "here" if size else "to be fetched"
    row: dict[str, Any] = {"model": str(one), "state": said, "SAEs here": len(catalog_of(one).specs)}
    if size is not None and size.n_parameters and size.weight_bytes:
        row |= {"million parameters": round(size.n_parameters / 1e6, 1), "MiB": round(size.weight_bytes / 2**20), "in": size.dtype}
        row["MiB free"] = round(size.free_bytes / 2**20)
        row["fits"] = "loaded" if said == "loaded" else "yes" if size.fits else "no"
    return row | {"BOS": "yes" if one.bos else "no"}


def another() -> None:
    """A model by name or folder, or that of a family: its size first, then it is fetched and loaded."""
    st.markdown("**Another model**")
    field, families, button = st.columns([5, 4, 2], vertical_alignment="bottom")
    view = PAGE.view
    families.selectbox(
        "or the model of a suite", list(_BY_TITLE), index=None, placeholder="Gemma Scope, Llama Scope ...",
        **PAGE.widget("family", view.family, lambda title: bring.take_family(title, _BY_TITLE[title].model if title else "")),
    )  # fmt: skip
    field.text_input("Hugging Face name or folder", placeholder="google/gemma-3-270m or /my/model", **PAGE.bind("given"))
    given, picked = view.given.strip(), view.family
    family = _BY_TITLE[picked] if picked and _BY_TITLE[picked].model == given else None
    if family is not None:
        st.caption(failures.plain(in_words(family)))
    if button.button("Check size", key=PAGE.key("look"), icon=":material/straighten:", width="stretch", disabled=not given):
        bring.keep_looked("", None)
        with st.spinner("looking it up"):
            bring.keep_looked(given, size_of(_own(given, family)))
    looked = bring.looked()
    if looked is not None and looked[0] == given:
        _offer(given, looked[1], family)
    _watch()


def in_words(family: Family) -> str:
    """How texts are to be read for a suite, in a sentence."""
    bos = "with" if family.bos else "without"
    sites = ", ".join(family.sites)
    return f"{family.title}: {family.model} in {family.dtype}, texts {bos} BOS, at {sites}; normalisation {family.normalisation}."


def reading() -> None:
    """How texts are read with the chosen model."""
    own = choice()
    with st.expander("How texts are read", icon=":material/tune:"):
        first, second = st.columns(2, vertical_alignment="bottom")
        bos = first.toggle("Texts begin with BOS", own.bos, key=PAGE.key(f"BOS {own}"), help=TERMS["BOS"])
        dtypes: list[Dtype] = list(get_args(Dtype))
        at, tip = dtypes.index(own.dtype), TERMS["dtype"]
        dtype = second.selectbox("Number format", dtypes, at, key=PAGE.key(f"dtype {own}"), help=tip) or own.dtype
        if (bos, dtype) != (own.bos, own.dtype) and st.button("Apply and reload", icon=":material/refresh:"):
            choosing.read_so(own, bos, dtype)


def _own(given: str, family: Family | None) -> Any:
    update: dict[str, Any] = {"model": given}
    return own_settings().model_copy(update=update if family is None else update | {"bos": family.bos, "dtype": family.dtype})


def _offer(given: str, size: ModelSize, family: Family | None) -> None:
    st.info(failures.plain(size.in_words()), icon=":material/straighten:")
    loaded = get_pool().loaded
    if not size.fits and size.fits is not None and loaded is not None:
        st.caption(failures.plain(f"Closing {loaded} frees its memory."))
    label = "Load it" if size.is_here else "Fetch it"
    if st.button(label, key=PAGE.key("take"), type="primary", icon=":material/download:"):
        if size.is_here:
            _take(given, family)
        else:
            _remember(given, family)
            steps = partial(fetch_steps, given, size)
            PAGE.remember("download", get_downloads().submit(f"fetch {size.model}", total_of(size), steps, key=f"fetch {size.model}"))


def _remember(given: str, family: Family | None) -> Choice:
    how: dict[str, Any] = {} if family is None else {"bos": family.bos, "dtype": family.dtype}
    return remember_model(given, own_settings(), **how)


def _take(given: str, family: Family | None) -> None:
    taken = _remember(given, family)
    choosing.choose(str(taken))
    st.rerun()


def _watch() -> None:
    """How far the download of this tab is."""
    id = PAGE.recall("download")
    if id is None:
        return

    @st.fragment(run_every=_POLL_S if not get_downloads().get(id).state.ended else None)
    def draw() -> None:
        job = get_downloads().get(id)
        if not job.state.ended:
            bar, cancel = st.columns([6, 1], vertical_alignment="center")
            bar.progress(job.done / max(1, job.total), text=failures.plain(getattr(job.latest, "words", "waiting in the queue")))
            cancel.button("Cancel", key=PAGE.key("cancel download"), on_click=get_downloads().cancel, args=(id,), icon=":material/close:")
        elif job.error:
            st.error(failures.plain(job.error), icon=":material/error:")
        else:
            name = job.title.removeprefix("fetch ")
            st.success(failures.plain(f"{name}: {job.state.value}. Choose it in the sidebar."), icon=":material/download_done:")

    draw()
