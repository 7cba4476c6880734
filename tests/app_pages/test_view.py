"""Laws of what a page shows and how an address says it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.view import (
    MAX_TEXT_IN_URL,
    Part,
    View,
    base_of,
    choice,
    flag,
    latent,
    latents,
    local,
    long_text,
    number,
    parse,
    part,
    query,
    sae,
    several,
    short_text,
    whole,
    wholes,
)  # fmt: skip

SEED = LatentId(SaeId("tiny", "2.resid_post"), 7)
OTHERS = tuple(LatentId(SaeId("tiny", "1.resid_post"), i) for i in range(3))
LONG = "x" * (MAX_TEXT_IN_URL + 1)


@dataclass(frozen=True)
class Shown(View):
    seed: LatentId = latent("seed")
    of: SaeId | None = sae("sae", None)
    share: float = number("share", 0.5, 0, 1, "a share from 0 to 1", digits=2, always=True)
    top: int = whole("top", 1, 1, 5)
    at: tuple[int, ...] = wholes("at", 0, 99)
    pins: tuple[LatentId, ...] = latents("pin", most=2)
    steps: tuple[str, ...] = part((), Part("step", lambda said, _: said, most=3, repeats=True, too_many="{n} steps, not {most}."))
    how: str = choice("how", "one", {"one": "1st", "two": "2nd"})
    layers: tuple[int, ...] = several("layer", lambda catalog: [spec.site.layer for spec in catalog.specs])
    text: str = long_text("prompt")
    chat: bool = flag("chat", beside="prompt")
    other: str = long_text("without")
    name: str = short_text("name", longest=5)
    wrapped: bool = local(True)


VIEWS = {
    "standard": Shown(SEED),
    "everything": Shown(SEED, OTHERS[0].sae, 0.25, 3, (0, 7), OTHERS[:2], ("b", "b"), "two", (1, 2), "a & b = c\n", True, "ü", "ab"),
    "text that just fits": Shown(SEED, text="x" * MAX_TEXT_IN_URL),
}


def read(url: dict[str, list[str]], catalog: Catalog, before: Shown | None = None) -> tuple[Shown, list[str]]:
    return parse(base_of(Shown, lambda: Shown(SEED), before), url, catalog, before)


@pytest.mark.parametrize("name", VIEWS)
def test_an_address_brings_back_the_view_that_wrote_it(runner: LocalRunner, name: str) -> None:
    assert read(query(VIEWS[name]), runner.catalog) == (VIEWS[name], [])


def test_an_address_says_only_what_is_not_as_usual_and_what_is_always_said() -> None:
    assert query(Shown(SEED)) == {"seed": [str(SEED)], "share": ["0.5"]}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ({"share": ["2"]}, "share='2' is not a share from 0 to 1."),
        ({"share": ["nan"]}, "share='nan' is not a share from 0 to 1."),
        ({"top": ["1.5"]}, "top='1.5' is not a whole number from 1 to 5."),
        ({"how": ["one"]}, "how='one' is none of 1st, 2nd."),
        ({"layer": ["9"]}, "layer='9' is none of 1, 2."),
        ({"at": ["-1"]}, "at='-1' is not a whole number from 0 to 99."),
    ],
)
def test_what_is_wrong_is_said_with_what_is_possible_and_the_rest_is_taken(runner: LocalRunner, url: Any, said: str) -> None:
    view, problems = read({**url, "name": ["abcdefg"]}, runner.catalog)
    assert problems == [said] and view == Shown(SEED, name="abcde")


def test_of_a_wrong_latent_the_error_of_the_catalogue_is_said(runner: LocalRunner) -> None:
    view, (problem,) = read({"seed": [f"{SEED.sae}/900"], "pin": [str(OTHERS[0])]}, runner.catalog)
    assert "64 latents" in problem and view.seed == SEED and view.pins == OTHERS[:1]


def test_repeated_values_count_once_and_no_more_than_the_most_are_taken(runner: LocalRunner) -> None:
    pins = [str(one) for one in (OTHERS[0], OTHERS[0], *OTHERS)]
    assert read({"pin": pins}, runner.catalog)[0].pins == OTHERS[:2]


def test_whole_numbers_stand_in_ascending_order_whatever_order_an_address_has(runner: LocalRunner) -> None:
    assert read({"at": ["7", "0", "12"]}, runner.catalog)[0].at == (0, 7, 12)


def test_where_order_and_number_matter_values_may_repeat_and_too_many_are_said(runner: LocalRunner) -> None:
    assert read({"step": ["a", "b", "a"]}, runner.catalog) == (Shown(SEED, steps=("a", "b", "a")), [])
    assert read({"step": ["a", "b", "a", "c"]}, runner.catalog) == (Shown(SEED, steps=("a", "b", "a")), ["4 steps, not 3."])


def test_texts_share_the_length_of_an_address_and_what_does_not_fit_is_left_out_with_what_stands_beside_it() -> None:
    assert query(Shown(SEED, text=LONG, chat=True)).keys() == {"seed", "share"}
    url = query(Shown(SEED, text="a" * 5000, chat=True, other="b" * 5000))
    assert url["chat"] == ["1"] and "without" not in url


def test_a_text_that_no_address_can_carry_outlives_a_step_back_and_every_other_text_does_not(runner: LocalRunner) -> None:
    long = Shown(SEED, text=LONG, chat=True)
    assert read({"top": ["2"]}, runner.catalog, long)[0] == replace(long, top=2)
    assert read({"top": ["2"]}, runner.catalog, replace(long, text="short"))[0].text == ""
    assert read({"prompt": ["short"]}, runner.catalog, long)[0] == Shown(SEED, text="short")


def test_what_is_the_tabs_alone_stays_whatever_an_address_says(runner: LocalRunner) -> None:
    assert "wrapped" not in str(query(Shown(SEED, wrapped=False)))
    assert read({"top": ["2"]}, runner.catalog, Shown(SEED, wrapped=False))[0].wrapped is False


def test_a_view_completes_what_an_address_leaves_open_and_may_complain(runner: LocalRunner) -> None:
    @dataclass(frozen=True)
    class Completed(Shown):
        def completed(self, named: Collection[str], catalog: Catalog, before: Any) -> tuple["Completed", list[str]]:
            del catalog, before
            return replace(self, of=self.seed.sae), [f"{sorted(named)}"]

    view, problems = parse(Completed(SEED), {"top": ["2"], "chat": [""]}, runner.catalog)
    assert view.of == SEED.sae and problems == ["['top']"]


def script() -> None:
    import streamlit as st

    from dashboard.ui.shell.page import Page
    from tests.app_pages.test_view import SEED, Shown

    page = Page("shown", "shown.py", Shown, lambda catalog: Shown(SEED))
    if not page.is_open:
        page.take(Shown(SEED))
    st.slider("Share", 0.0, 1.0, step=0.01, **page.bind("share", top=1))
    st.number_input("Top", 1, 5, **page.bind("top"))
    st.button("Undo", key=page.key("undo"), on_click=page.undo, disabled=not page.can_undo())
    st.button("Reset", key=page.key("reset"), on_click=page.show, args=(Shown(SEED),))
    page.tell("always")
    page.say("next time")
    st.text(f"{page.view.share} {page.view.top}")


def shown(app: AppTest) -> str:
    assert not app.exception
    return app.text[0].value


def test_widgets_follow_the_view_the_view_follows_widgets_and_every_step_can_be_undone() -> None:
    app = AppTest.from_function(script, default_timeout=60).run()
    app.number_input("shown:top").set_value(4).run()
    assert shown(app) == "0.5 4"
    app.slider("shown:share").set_value(0.25).run()
    assert shown(app) == "0.25 1" and app.number_input("shown:top").value == 1
    app.button("shown:reset").click().run()
    assert shown(app) == "0.5 1" and app.slider("shown:share").value == 0.5
    for before in ("0.25 1", "0.5 4", "0.5 1"):
        app.button("shown:undo").click().run()
        assert shown(app) == before
        assert app.slider("shown:share").value == float(before.split()[0]) and app.number_input("shown:top").value == int(before.split()[1])
    assert app.button("shown:undo").disabled


def test_a_line_is_said_once() -> None:
    app = AppTest.from_function(script, default_timeout=60).run()
    assert [one.value for one in app.info] == []
    app.run()
    assert [one.value for one in app.info] == ["next time"]
    assert [one.value for one in app.warning] == ["always"]


def test_work_is_done_once_for_equal_asks() -> None:
    def once() -> None:
        import streamlit as st

        from dashboard.ui.shell.page import Page
        from tests.app_pages.test_view import SEED, Shown

        page = Page("shown", "shown.py", Shown, lambda catalog: Shown(SEED))
        made = [page.once(ask, lambda ask=ask: st.session_state.setdefault("n", []) or [ask]) for ask in ("a", "b", "a")]
        st.text(str(made[0] is made[2] and made[0] != made[1]))

    assert shown(AppTest.from_function(once, default_timeout=60).run()) == "True"
