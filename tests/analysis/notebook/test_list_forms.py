"""Lists as text: what was written is read again, what is not installed is named, and the rest is kept."""

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, ModelId, SaeId, Site
from dashboard.analysis.notebook.list_forms import MAX_LINK, Form, export_list, import_list, pack_link, unpack_link, without_notes
from dashboard.analysis.notebook.neuronpedia import Source, find_latent, sources
from dashboard.analysis.notebook.notebook import MAX_ENTRIES, LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog, SaeSpec


def spec(name: str, site: str, neuronpedia_id: str | None = None) -> SaeSpec:
    config = {"metadata": {"neuronpedia_id": neuronpedia_id}}
    sae = SaeId.parse(name)
    return SaeSpec(sae, ModelId("Owner/Tiny-1M"), Site.parse(site), 32, 64, "jumprelu", Path(name), config, {})


CATALOG = Catalog(
    (
        spec("suite/15.resid_post", "15.resid_post"),
        spec("suite/15.mlp_out", "15.mlp_out"),
        spec("own/layers/12 wide", "12.resid_post"),
        spec("own/layers/12-wide", "12.resid_post"),
        spec("scope/l20", "20.resid_post", "gemma-2-2b/20-gemmascope-res-16k"),
    )
)
GONE = LatentId(SaeId("gone", "x"), 3)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
LATENTS = st.builds(lambda spec, index: spec.latent(index), st.sampled_from(CATALOG.specs), st.integers(0, 63))
ENTRIES = st.lists(st.builds(ListEntry, LATENTS, TEXTS), max_size=8, unique_by=lambda entry: entry.latent).map(tuple)
LISTS = st.builds(LatentList, TEXTS.filter(lambda name: name.split()), TEXTS, TEXTS, ENTRIES)
SOME = LatentList(
    "months", "of the year", "In May.", (ListEntry(CATALOG.specs[0].latent(12), "May\nJune"), ListEntry(CATALOG.specs[4].latent(0)))
)


def again(latents: LatentList, form: Form) -> LatentList:
    exported = export_list(latents, form, CATALOG)
    assert exported.left_out == ()
    imported = import_list(exported.text.encode(), latents.name, CATALOG)
    assert imported.notices == ()
    return imported.latents


@given(LISTS)
@settings(deadline=None)
def test_a_list_comes_back_from_our_form_and_from_neuronpedias(latents: LatentList) -> None:
    assert again(latents, Form.OURS) == latents
    assert again(latents, Form.LIST) == latents
    packed = pack_link(latents)
    assert packed is not None and unpack_link(packed, CATALOG).latents == latents


@given(LISTS.filter(lambda latents: latents.entries))
@settings(deadline=None)
def test_forms_with_less_room_bring_back_what_they_have_room_for(latents: LatentList) -> None:
    quick = export_list(latents, Form.QUICK, CATALOG).text
    assert import_list(f"https://example.org{quick}".encode(), "", CATALOG).latents == again(latents, Form.QUICK)
    assert again(latents, Form.QUICK) == replace(without_notes(latents), test_text="")
    assert again(latents, Form.FEATURES) == replace(latents, description="", test_text="")


def test_every_sae_has_an_id_of_its_own_and_its_latents_are_found_by_it() -> None:
    ids = sources(CATALOG)
    assert len(set(ids.values())) == len(CATALOG.specs)
    assert ids[SaeId.parse("scope/l20")] == Source("gemma-2-2b", "20-gemmascope-res-16k")
    assert ids[SaeId.parse("suite/15.resid_post")] == Source("tiny-1m", "15-suite-resid_post")
    turned = {source: sae for sae, source in ids.items()}
    for sae, source in ids.items():
        assert Source.parse(str(source)) == source
        assert source.layer.partition("-")[0] == str(CATALOG.get(sae).site.layer)
        assert find_latent(turned, source.model_id, source.layer, 7) == LatentId(sae, 7)
    assert find_latent(turned, "gpt2-small", "6-res-jb", 7) is None


def test_the_written_forms_are_neuronpedias() -> None:
    whole = json.loads(export_list(SOME, Form.LIST, CATALOG).text)
    first = {"modelId": "tiny-1m", "layer": "15-suite-resid_post", "index": "12", "description": "May\nJune"}
    second = {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": "0", "description": ""}
    assert whole == {"name": "months", "description": "of the year", "testText": "In May.", "features": [first, second]}
    assert export_list(SOME, Form.QUICK, CATALOG).text.startswith("/quick-list/?name=months&features=%5B%7B%22modelId%22")
    lines = [json.loads(line) for line in export_list(SOME, Form.FEATURES, CATALOG).text.splitlines()]
    assert [(line["index"], line["explanations"]) for line in lines] == [("12", [{"description": "May\nJune"}]), ("0", [])]


BULK = {"modelId": "tiny-1m", "layer": "15-suite-mlp_out", "index": "5", "pos_str": ["a"], "frac_nonzero": 0.1}
UPLOAD = {
    "modelId": "tiny-1m",
    "source": "15-suite-mlp_out",
    "features": [
        {"index": 5, "density": 0.1, "explanations": [{"text": "names", "methodName": "x"}, {"text": "of people"}], "activations": []}
    ],
}
DASHBOARD = {
    "model_id": "gemma-2-2b",
    "layer": 20,
    "sae_set": "gemmascope-res-16k",
    "sae_id_suffix": None,
    "features": [{"feature_index": 5}],
}
EXPLANATION = {
    "id": "q",
    "modelId": "tiny-1m",
    "layer": "15-suite-mlp_out",
    "index": "5",
    "description": "names",
    "typeName": "eleuther_acts_top20",
}


@pytest.mark.parametrize(
    "value, latent, note",
    [
        (BULK, "suite/15.mlp_out/5", ""),
        ({**BULK, "explanations": [{"description": "names"}, {"description": "names"}]}, "suite/15.mlp_out/5", "names"),
        (UPLOAD, "suite/15.mlp_out/5", "names\nof people"),
        (DASHBOARD, "scope/l20/5", ""),
        (EXPLANATION, "suite/15.mlp_out/5", "names"),
        ([{"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": 5}], "scope/l20/5", ""),
        ({"latents": [{"latent": "own/layers/12 wide/5"}]}, "own/layers/12 wide/5", ""),
    ],
)
def test_records_of_many_kinds_become_entries(value: object, latent: str, note: str) -> None:
    for content in (
        json.dumps(value).encode(),
        gzip.compress(json.dumps(value).encode()),
        b"\xef\xbb\xbf" + json.dumps(value).encode() + b"\n",
    ):
        imported = import_list(content, "batch-0", CATALOG)
        assert imported.latents == LatentList("batch-0", entries=(ListEntry(LatentId.parse(latent), note),))


def test_what_is_not_installed_is_named_and_the_rest_is_kept() -> None:
    records = [BULK, {**BULK, "index": 64}, {**BULK, "layer": "6-res-jb"}, {**BULK, "index": "6"}, BULK]
    imported = import_list("\n".join(map(json.dumps, records)).encode(), "x", CATALOG)
    assert [entry.latent.index for entry in imported.latents.entries] == [5, 6]
    assert len(imported.notices) == 3
    assert "Latent 64 is not in suite/15.mlp_out: it has 64 latents (0 to 63)" in imported.notices[0]
    assert "tiny-1m@6-res-jb:5 was left out" in imported.notices[1]
    assert "twice" in imported.notices[2]


def test_an_sae_that_is_gone_stays_in_our_form_and_is_named_in_the_others() -> None:
    latents = LatentList("x", entries=(ListEntry(GONE, "was here"), SOME.entries[0]))
    assert json.loads(export_list(latents, Form.OURS, CATALOG).text)["latents"][0] == {"latent": "gone/x/3", "note": "was here"}
    for form in (Form.LIST, Form.QUICK, Form.FEATURES):
        exported = export_list(latents, form, CATALOG)
        assert exported.left_out == (GONE,)
        assert import_list(exported.text.encode(), "x", CATALOG).latents.entries[0].latent == SOME.entries[0].latent
    imported = import_list(export_list(latents, Form.OURS, CATALOG).text.encode(), "x", CATALOG)
    assert imported.latents.entries == (SOME.entries[0],) and "gone/x/3 was left out: No SAE 'gone/x'" in imported.notices[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"no list", b"[1, 2]", b'{"a": 1}', b'{"features": 3}', b'[{"modelId": "m", "layer": "l", "index": "-1"}]', b"[" * 100_000,
     b'{"latents": [{"latent": "gone/x/3"}]}', b"https://example.org/quick-list/?name=x", b"\x1f\x8bno gzip", b'{"latents": null}'],
)  # fmt: skip
def test_what_is_no_list_is_refused_with_the_forms_that_are(content: bytes) -> None:
    with pytest.raises(BadAsk, match=r"Give a list exported here|no latent of an installed SAE|cannot be unpacked"):
        import_list(content, "file", CATALOG)


def test_a_list_too_long_for_a_link_has_none_and_fits_without_its_notes() -> None:
    noisy = tuple(
        ListEntry(CATALOG.specs[0].latent(i), 2 * hashlib.sha512(bytes([i])).hexdigest() + hashlib.sha512(bytes([i, 0])).hexdigest())
        for i in range(60)
    )
    latents = LatentList("long", entries=noisy)
    assert pack_link(latents) is None
    shorter = pack_link(without_notes(latents))
    assert shorter is not None and len(shorter) <= MAX_LINK
    assert unpack_link(shorter, CATALOG).latents == without_notes(latents)


@pytest.mark.parametrize("damage", [lambda link: link[:-9], lambda link: "9" + link[1:], lambda link: "", lambda link: link * 400])
def test_a_damaged_link_says_so(damage) -> None:
    link = pack_link(SOME)
    assert link is not None
    with pytest.raises(BadAsk, match="link"):
        unpack_link(damage(link), CATALOG)


def test_more_latents_than_a_list_holds_are_counted() -> None:
    many = Catalog((replace(CATALOG.specs[0], n_latents=5000),))
    records = [{"latent": f"suite/15.resid_post/{index}"} for index in range(MAX_ENTRIES + 7)]
    imported = import_list(json.dumps({"latents": records}).encode(), "x", many)
    assert len(imported.latents.entries) == MAX_ENTRIES
    assert imported.notices == ("7 more were left out: a list holds 1,024 latents.",)
