"""Laws of every registered study and recipe: its form, its command and the command that makes it again say the same ask."""

import json
import shlex
import string
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from dashboard.analysis.asks.edits import Intervention, Op, Unit
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast.study import TwoSets
from dashboard.analysis.names import LatentId, Point, SaeId, Site
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.registry import RECIPES, STUDIES, recipes, studies
from dashboard.analysis.studies.option import Many, Parameter, again, parameters
from dashboard.analysis.studies.study import Study
from dashboard.cli import app
from dashboard.cli.options import command_of
from tests.analysis.studies.counting import STUDY as SUMS
from tests.analysis.studies.counting import Colour, SumAsk

EVERY = (*studies(), *(recipe.study() for recipe in recipes()), SUMS)
NAMES = [study.kind for study in EVERY]
TEXT = st.text(string.ascii_letters + string.digits + " '\"$-=.%", min_size=1).map(str.strip).filter(lambda text: text and text != "-")
LATENT = st.builds(LatentId, st.builds(SaeId, st.just("tiny"), st.sampled_from(["1.mlp_out", "3.resid_post"])), st.integers(0, 9))
WORD = st.text(string.ascii_letters + "'$é", min_size=1)


def value_of(one: Parameter) -> st.SearchStrategy[Any]:
    low, high = one.option.low, one.option.high
    by_kind: dict[Any, Any] = {
        bool: st.booleans(),
        int: st.integers(int(low or 0), int(high or 10_000)),
        float: st.floats(-1e6, 1e6) if low is None else st.floats(low, high or 1e6),
        str: WORD if one.several and one.option.many is Many.COMMAS else TEXT,
        Path: st.sampled_from([Path("a/b.parquet"), Path("own corpus")]),
        LatentId: LATENT,
        SaeId: st.builds(SaeId, st.just("tiny"), st.sampled_from(["1.mlp_out", "3.resid_post"])),
        Intervention: st.builds(Intervention, LATENT, st.sampled_from([*Op]), st.floats(-1e6, 1e6), st.sampled_from([*Unit])),
        TwoSets: st.builds(TwoSets, st.just("a"), st.lists(TEXT, max_size=2).map(tuple), st.just("b é"), st.lists(TEXT).map(tuple)),
        Site: st.builds(Site, st.integers(1, 9), st.just(Point.RESID_POST)),
    }  # fmt: skip
    return st.sampled_from(list(one.kind)) if one.is_enum else by_kind[one.kind]


@st.composite
def asks(draw: st.DrawFn, study: Study[Any, Any]) -> Any:
    """An ask with some options away from what the form begins with."""
    changed: dict[str, Any] = {}
    for one in parameters(study.ask):
        if draw(st.booleans()):
            least = 1 if one.option.argument else 0
            changed[one.name] = tuple(draw(st.lists(value_of(one), min_size=least, max_size=3))) if one.several else draw(value_of(one))
    try:
        start = study.first()
        for one in parameters(study.ask):
            if one.option.argument and one.several and not getattr(start, one.name) and one.name not in changed:
                changed[one.name] = (draw(value_of(one)),)
        return replace(start, **changed)
    except BadAsk:
        assume(False)


def parsed(study: Study[Any, Any], words: list[str]) -> Any:
    """What the command of a study asks."""
    found: list[Any] = []
    own = typer.Typer()
    own.command()(command_of(study.ask, study.about, lambda ask, around: found.append(ask)))
    result = CliRunner().invoke(own, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize("study", EVERY, ids=NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(data=st.data())
def test_the_command_that_makes_it_again_asks_the_same(study: Study[Any, Any], data: st.DataObject, tmp_path: Path) -> None:
    ask = data.draw(asks(study))
    command = again(("latents", *study.command), ask)
    for name, text in command.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert parsed(study, [_at(tmp_path, word, command.files) for word in shlex.split(str(command))[1 + len(study.command) :]]) == ask


def _at(folder: Path, word: str, files: Any) -> str:
    flag, equals, value = word.rpartition("=")
    return f"{flag}{equals}{folder / value}" if value in files else word


@pytest.mark.parametrize("study", EVERY, ids=NAMES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_every_ask_reads_back_from_json(study: Study[Any, Any], data: st.DataObject) -> None:
    ask = data.draw(asks(study))
    assert from_plain(study.ask, json.loads(json.dumps(to_plain(ask), allow_nan=False))) == ask


@pytest.mark.parametrize("study", EVERY, ids=NAMES)
def test_every_field_of_an_ask_is_an_option_with_help_and_is_at_the_commands_default(study: Study[Any, Any]) -> None:
    assert [one.name for one in parameters(study.ask)] == [field.name for field in fields(study.ask)]
    assert all(one.option.help.endswith(".") for one in parameters(study.ask)) and study.about.endswith((".", "?"))
    assert study.first() == study.first() and isinstance(study.first(), study.ask)


@pytest.mark.parametrize("entry", (*STUDIES, *RECIPES), ids=lambda entry: " ".join(entry.command))
def test_every_registered_study_has_its_command_with_help(entry: Any) -> None:
    study = entry.study()
    assert study.command == entry.command
    shown = CliRunner().invoke(app, [*entry.command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    said = " ".join(shown.output.split())
    for one in parameters(study.ask):
        assert all(flag in said for flag in one.flags), one.name


def test_what_is_out_of_its_limits_or_of_another_form_is_refused() -> None:
    own = typer.Typer()
    own.command()(command_of(SumAsk, "Adds.", lambda ask, around: None))
    assert "less than or equal to 50" in CliRunner().invoke(own, ["a/b/1", "--parts", "51"]).output
    for words, said in (
        (("--factors=a",), "--factors 'a' is not a list of numbers. Write for example -1,0,1."),
        (("--layers=1,b",), "--layers 'b' is not a list of whole numbers"),
        (("--colour=green",), "--colour 'green' names no colour. It is dark_red or blue."),
        (("--texts=/nowhere",), "--texts /nowhere cannot be read"),
    ):
        refused = CliRunner().invoke(own, ["a/b/1", *words]).exception
        assert isinstance(refused, BadAsk) and said in str(refused)


def form() -> None:
    import streamlit as st

    from dashboard.analysis.plain import to_plain
    from dashboard.ui.parts.options import inputs
    from dashboard.ui.shell import failures
    from tests.analysis.studies.counting import SumAsk

    with failures.shown():
        st.session_state["asked"] = to_plain(inputs(SumAsk(), "form").ask())


def test_an_ask_of_the_form_is_that_of_the_command_line() -> None:
    page = AppTest.from_function(form, default_timeout=30).run()
    assert not page.exception and from_plain(SumAsk, page.session_state["asked"]) == SumAsk()
    page.number_input(key="form_n").set_value(9)
    page.text_input(key="form_factors").set_value("-1, 0.25")
    page.multiselect(key="form_colours").set_value([Colour.DARK_RED])
    page.text_area(key="form_texts").set_value("a b\n\n c ")
    page.toggle(key="form_loud").set_value(False)
    page.text_input(key="form_held_out").set_value("tiny/1.mlp_out/3")
    asked = from_plain(SumAsk, page.run().session_state["asked"])
    words = [
        "tiny/2.resid_post/7",
        "--parts",
        "9",
        "--factors=-1,0.25",
        "--colours",
        "dark_red",
        "--no-loud",
        "--held-out",
        "tiny/1.mlp_out/3",
    ]
    assert replace(asked, texts=()) == parsed(SUMS, words) and asked.texts == ("a b", "c")
    page.text_input(key="form_factors").set_value("many").run()
    assert "not a list of numbers" in page.error[0].value.replace("\\", "")


def test_an_argument_that_begins_with_a_dash_is_no_option() -> None:
    ask = replace(EVERY[0].first(), release="-0", texts=3)
    command = again(("latents",), ask)
    assert str(command) == "latents --texts=3 -- -0" and parsed(EVERY[0], list(command.words[1:])) == ask


def test_the_registry_imports_no_method_and_no_torch() -> None:
    import subprocess

    found = "[m for m in sys.modules if m == 'torch' or m.startswith('dashboard.analysis.methods.')]"
    code = f"import sys, dashboard.analysis.registry; print({found})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
