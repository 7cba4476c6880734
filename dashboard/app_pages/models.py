"""Models and SAEs: which model is in use, and with which dictionaries?"""

import streamlit as st

from dashboard.ui.models import models as model_box
from dashboard.ui.models import saes as sae_box
from dashboard.ui.shell import address, failures, sidebar
from dashboard.ui.shell.resources import choice, get_pool
from dashboard.ui.views.models import begin

begin()
st.title("Which model, and which of its SAEs?")
loaded = get_pool().loaded
st.caption(
    failures.plain(
        f"{choice()} is chosen here; {f'{loaded} is' if loaded else 'no model is'} loaded. "
        "One model is loaded at a time: choosing another one closes it."
    )
)
with failures.shown():
    model_box.installed()
with failures.shown():
    model_box.another()
with failures.shown():
    model_box.reading()
st.subheader(f"SAEs of {failures.plain(str(choice()))}")
with failures.shown():
    sae_box.here()
with failures.shown():
    sae_box.directory()
with failures.shown():
    sae_box.given()
with failures.shown():
    sae_box.progress()
sidebar.jobs()
sidebar.keys()
address.clear()
