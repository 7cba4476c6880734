"""The box of recipes: each recipe of the registry with its form, the edits that it makes, and why."""

from functools import partial

import streamlit as st

from dashboard.analysis.asks.edits import print_amount
from dashboard.analysis.registry import recipes
from dashboard.analysis.studies.recipe import FoundEdits, Recipe, evidence_rows
from dashboard.ui.parts.options import inputs
from dashboard.ui.parts.panel import panel
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_engine, get_vectors
from dashboard.ui.views import steer
from dashboard.ui.views.steer import PAGE

_NAME = PAGE.key("recipe")


def recipe_box() -> None:
    """Every recipe there is, in a box that asks nothing while it is closed."""
    with st.expander("Recipes", icon=":material/experiment:", key=PAGE.key("recipes"), on_change="rerun") as box:
        if not box.open:
            return
        known = {recipe.name: recipe for recipe in recipes()}
        name = st.selectbox("Recipe", [*known], key=f"{_NAME}_name", format_func=lambda one: known[one].title)
        with failures.shown():
            _recipe(known[name])


def _recipe(recipe: Recipe[object]) -> None:
    name, study = f"{_NAME}_{recipe.word}", recipe.study()
    st.caption(failures.plain(recipe.about))
    with st.form(f"{name}_form", border=False):
        form = inputs(study.first(), name)
        started = st.form_submit_button("Compute the edits", icon=":material/experiment:")
    panel(study, name, form.ask, started, partial(_draw, recipe, name))


def _draw(recipe: Recipe[object], name: str, found: FoundEdits) -> None:
    """The edits with their evidence, and a way to use them."""
    said = {str(edit.direction): f"{edit.op.value} {print_amount(edit.amount)} {edit.unit.value}" for edit in found.edits}
    rows = [{"latent": row["latent"], "edit": said.get(row["latent"])} | row for row in evidence_rows(found)]
    if vectors := [f"`{vector}` ({said[str(vector)]})" for vector in found.vectors.values()]:
        st.markdown(f"{', '.join(vectors)}: the sum of these latents, each times its amount.")
    st.dataframe(rows, hide_index=True, height="content", column_config={"edit": None} if vectors else None)
    for note in (*found.notes, f"Source: {recipe.source}"):
        st.caption(failures.plain(note))
    if st.button("Use these edits", key=f"{name}_use", icon=":material/playlist_add:", type="primary"):
        usable = found.kept(get_vectors(), str(get_engine().describe().model))
        if problems := steer.add_all(usable):
            st.warning(failures.plain(problems[0]))
        else:
            st.rerun()
