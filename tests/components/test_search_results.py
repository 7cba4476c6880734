"""The component of search results: what the browser gets."""

import json

from streamlit.testing.v1 import AppTest


def test_the_browser_gets_the_text_the_layers_and_a_row_a_latent() -> None:
    def script() -> None:
        from components.data import Column, FoundRow, LayerCount
        from components.search_results import search_results

        row = FoundRow(
            "a/1.x/3", "latent?latent=a", "1.x/3", "<b>foxes</b>", True, ("2.00", "–"), 1, (1, 2), (2.0, 0.5), 4.0, "most", 0, 2, False
        )
        search_results(
            ["<s>", "The", " fox"],
            [True, False, False],
            [2],
            [LayerCount(1, 7, True), LayerCount(2, 0, False)],
            [Column("max", "h")],
            [row],
            counts_special=False,
            submit=("box", "button"),
            key="found",
            on_pick=lambda: None,
            on_layer=lambda: None,
            on_list=lambda: None,
        )

    app = AppTest.from_function(script).run()
    assert not app.exception
    drawn = json.loads(app.get("bidi_component")[0].proto.json)
    assert (drawn["texts"], drawn["special"], drawn["chosen"]) == (["<s>", "The", " fox"], [True, False, False], [2])
    assert drawn["layers"] == [{"layer": 1, "n": 7, "chosen": True}, {"layer": 2, "n": 0, "chosen": False}]
    assert drawn["columns"] == [{"title": "max", "help": "h"}] and drawn["submit"] == ["box", "button"] and not drawn["counts_special"]
    (row,) = drawn["rows"]
    assert (row["key"], row["label"], row["own"], row["figures"], row["listed"]) == ("a/1.x/3", "<b>foxes</b>", True, ["2.00", "–"], False)
    assert (row["positions"], row["values"], row["maximum"], row["peak"], row["first"], row["last"]) == ([1, 2], [2.0, 0.5], 4.0, 1, 0, 2)
