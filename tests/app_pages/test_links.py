"""Links that people have sent stay good: every parameter of every page, what it shows, and the address that the page then has."""

from dataclasses import dataclass
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.asks.edits import Op, Unit, Where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.lens import LensKind
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.search.by_text import By
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.list_forms import pack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.tokens import TokenSpan
from dashboard.ui.shell import resources
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import parts, query
from dashboard.ui.views import flow, highlight, known, latent, lists, search, steer, words
from dashboard.ui.views.steer import Edit
from tests.app_pages.conftest import Open

A, B, C = (LatentId.parse(name) for name in ("tiny/2.resid_post/7", "tiny/1.resid_post/9", "tiny/1.mlp_out/3"))
FOX = "The quick brown fox"
TWO = LatentList("two", "Both", FOX, (ListEntry(A, "a note"), ListEntry(B)))
CITIES = "The Eiffel Tower is in Paris, the Colosseum is in Rome, and the Gyeongbokgung palace is in Seoul."


@dataclass(frozen=True)
class Link:
    """An address without the page, what it shows, and in what its complaints must agree."""

    page: Page[Any]
    address: str
    shows: dict[str, Any]
    complains: tuple[str, ...] = ()
    returns: str | None = None
    """The address that the page then has, where it is another."""


LINKS = (
    Link(highlight.PAGE, "", {"text": CITIES, "latent": None, "position": None}, returns=f"prompt={CITIES}&sae=tiny/2.exact"),
    Link(
        highlight.PAGE,
        f"sae=tiny/1.resid_post&prompt={FOX}&chat=1&token=2&latent={B}&pin={A}&pin={B}&map=counts&lens=logit",
        {
            "text": FOX, "chat": True, "sae": B.sae, "position": 2, "latent": B, "pins": (A, B), "map_shows": "Counts",
            "lens": LensKind.LOGIT,
        },
    ),
    Link(highlight.PAGE, f"latent={A}", {"text": CITIES, "sae": A.sae, "latent": A}, returns=f"sae={A.sae}&prompt={CITIES}&latent={A}"),
    Link(
        highlight.PAGE,
        f"prompt={FOX}&sae=tiny/9.none&latent=no&token=x&pin=tiny/2.resid_post/900&pin={A}",
        {"text": FOX, "latent": None, "position": None, "pins": (A,)},
        ("No SAE", "RELEASE/NAME/INDEX", "token='x' is not a position", "has 64 latents"),
        f"sae=tiny/2.exact&prompt={FOX}&pin={A}",
    ),
    Link(
        latent.PAGE,
        f"latent={A}&test={FOX}&chat=1&log=1&full=1&bin=3",
        {"latent": A, "text": FOX, "chat": True, "is_log": True, "is_full": True, "bin": 3},
    ),
    Link(latent.PAGE, f"latent={A}", {"latent": A, "text": "", "bin": None}),
    Link(latent.PAGE, f"latent={A}&bin=77", {"latent": A, "bin": None}, ("bin='77'",), f"latent={A}"),
    Link(
        search.PAGE,
        f"prompt={FOX}&chat=1&without=the dog&by=max&density=any&special=1&shade=common&layer=1&site=resid_post&token=1&token=2&part=2",
        {
            "text": FOX, "chat": True, "without": "the dog", "by": By.MAX, "density": "any", "with_special": True, "is_common": True,
            "layers": (1,), "points": ("resid_post",), "positions": (1, 2), "part": 2,
        },
    ),
    Link(search.PAGE, f"prompt={FOX}&density=5&release=tiny", {"density": "5 %", "releases": ("tiny",)}),
    Link(
        search.PAGE,
        f"prompt={FOX}&by=x&density=7&layer=9&site=q&release=r&token=a",
        {"text": FOX, "by": By.RARITY, "layers": ()},
        ("by='x' is none of", "density='7' is none of", "release='r'", "layer='9'", "site='q'", "token='a' is not a position"),
        f"prompt={FOX}",
    ),
    Link(
        words.PAGE,
        "find=word&word=fox&how=exact&release=tiny&layer=1&site=mlp_out",
        {"word": "fox", "how": "Exact", "releases": ("tiny",), "layers": (1,), "points": ("mlp_out",)},
    ),
    Link(words.PAGE, "find=word", {"how": "By meaning"}, returns=f"find=word&word={words.EXAMPLES[0]}&how=meaning"),
    Link(lists.PAGE, "name=two", {"name": "two", "loose": None}),
    Link(lists.PAGE, f"list={pack_link(TWO)}", {"name": "", "loose": TWO}),
    Link(lists.PAGE, "name=gone", {"name": "two"}, ("no list named 'gone'",), "name=two"),
    Link(lists.PAGE, "", {"name": "two"}, returns="name=two"),
    Link(known.PAGE, "", {"study": "", "kind": "all types", "tab": "Latents"}, returns="type=all types"),
    Link(
        known.PAGE,
        f"study=abc&type=city&chosen={A}&split=train&sae={A.sae}&entity=city/Rome&tab=Causality&causality=c&uncertainty=u",
        {
            "study": "abc", "kind": "city", "chosen": str(A), "split": "train", "sae": str(A.sae), "entity": "city/Rome",
            "tab": "Causality", "causality": "c", "uncertainty": "u",
        },
    ),
    Link(known.PAGE, "split=q&tab=q", {"split": "test", "tab": "Latents"}, ("split='q' is none", "tab='q' is none"), "type=all types"),
    Link(flow.PAGE, f"seed={A}", {"seed": A, "t_res": 0.5, "t_module": 0.15, "text": ""}, returns=f"seed={A}&t_res=0.5&t_module=0.15"),
    Link(
        flow.PAGE,
        f"seed={A}&t_res=0&t_module=0.3&other={B}&top=2&all=1&chosen={C}&pin={B}&pin={C}&prompt={FOX}&token=3&groups=1",
        {
            "seed": A, "t_res": 0.0, "t_module": 0.3, "other": B, "top": 2, "every_layer": True, "selected": str(C), "pins": (B, C),
            "text": FOX, "token": 3, "grouped": True,
        },
    ),
    Link(
        flow.PAGE,
        f"seed=tiny/2.resid_post/900&t_res=hot&t_module=2&top=77&pin=no&pin={A}&token=1.5&prompt={FOX}",
        {"t_res": 0.5, "t_module": 0.15, "top": 1, "pins": (A,), "token": -1},
        ("has 64 latents", "t_res='hot' is not a cosine", "t_module='2'", "top='77' is not a number from 1 to 5", "token='1.5'", "'no'"),
        f"seed=tiny/2.exact/0&t_res=0.5&t_module=0.15&pin={A}&prompt={FOX}&token=-1",
    ),
    Link(
        steer.PAGE,
        f"prompt={FOX}&chat=1&edit={A}:add:0.4:norm&edit={A}:add:0.4:norm&edit={B}:ablate:0:raw&where=3:5&tokens=8&temperature=0.7&top_p=0.9"
        f"&seed=3&pick=steered:2&shade={C}",
        {
            "text": FOX, "chat": True, "edits": (*2 * (Edit(str(A), Op.ADD, 0.4, Unit.NORM),), Edit(str(B), Op.ABLATE, 0.0, Unit.RAW)),
            "place": TokenSpan(3, 5), "sampling": Sampling(8, 0.7, 0.9, 3), "picked": ("steered", 2), "shade": C,
        },
    ),
    Link(
        steer.PAGE,
        f"latent={A}",
        {"text": "Tell me about your day.", "edits": (Edit(str(A), Op.ADD, 0.4, Unit.NORM),), "place": Where.EVERYWHERE},
        returns=f"prompt=Tell me about your day.&edit={A}:add:0.4:norm&where=everywhere&tokens=40&temperature=0&top_p=1&seed=0",
    ),
    Link(
        steer.PAGE,
        f"prompt={FOX}&edit={A}:scale:2&edit={B}:ablate&where=2:",
        {"place": TokenSpan(2), "sampling": Sampling(48)},
        returns=f"prompt={FOX}&edit={A}:scale:2:raw&edit={B}:ablate:0:raw&where=2:&tokens=48&temperature=0&top_p=1&seed=0",
    ),
    Link(
        steer.PAGE,
        f"chat=1&edit=bad&where=x&tokens=0&temperature=hot&top_p=2&seed=-1&shade=no&pick=x:y&latent={A}",
        {"text": "", "picked": None, "shade": None},
        (
            "not an edit", "part of the text", "0 new tokens", "temperature='hot'", "top-p is", "The seed is", "'no'",
            "pick='x:y'", "does not include its prompt",
        ),
        f"prompt=&chat=1&edit={A}:add:0.4:norm&where=everywhere&tokens=48&temperature=0&top_p=1&seed=0",
    ),
)  # fmt: skip
NAMES = [f"{link.page.name} {link.address[:60]}" for link in LINKS]


def url_of(address: str) -> dict[str, list[str]]:
    """The parameters of an address, as they stand in it."""
    url: dict[str, list[str]] = {}
    for name, _, value in (pair.partition("=") for pair in address.split("&") if pair):
        url.setdefault(name, []).append(value)
    return url


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
def test_a_link_of_today_shows_what_it_says(open_page: Open, runner: LocalRunner, link: Link) -> None:
    del open_page  # its settings and its notebook are those of the test
    resources.get_notebook().save_list(TWO)
    view, problems = link.page.read(url_of(link.address), runner.catalog)
    assert {name: getattr(view, name) for name in link.shows} == link.shows
    assert len(problems) == len(link.complains) and all(any(said in problem for problem in problems) for said in link.complains)
    assert query(view) == url_of(link.address if link.returns is None else link.returns)


@pytest.mark.parametrize("page", {link.page.name: link.page for link in LINKS}.values(), ids=lambda page: page.name)
def test_every_parameter_of_a_page_stands_in_some_link(page: Page[Any]) -> None:
    given = {name for link in LINKS if link.page is page for name in url_of(link.address)}
    assert {own.name for _, own in parts(page.view_class)} - {""} <= given


def test_every_page_of_the_dashboard_opens_by_its_bare_address(open_page: Open) -> None:
    app: AppTest = open_page()
    for page in ("highlight", "latent", "search", "lists", "known_unknown", "flow", "steer", "models"):
        app.query_params.clear()
        app.switch_page(f"app_pages/{page}.py").run()
        assert not app.exception and not app.error, page
