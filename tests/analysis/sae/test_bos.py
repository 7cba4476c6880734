"""An SAE is read with a BOS token before the text, or without, as it was trained; otherwise it is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import OtherBos
from dashboard.analysis.model.bridge import LoadedModel, load_model, tokenise
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import TINY, random_weights, save_sae

PROMPT = Prompt("The dog barked.")


def test_without_bos_a_text_is_read_alone(tiny_path: Path, tiny_model: LoadedModel) -> None:
    model = load_model(tiny_path, TINY, Settings(device="cpu", dtype="float32", bos=False))
    with_bos, alone = tokenise(tiny_model, PROMPT), tokenise(model, PROMPT)
    assert with_bos.ids == (tiny_model.bos_id, *alone.ids)
    assert model.bos_id is None and model.with_bos((5, 6)) == (5, 6)
    assert model.tokenizer.decode(alone.ids) == PROMPT.text


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("wants", [True, False])
def test_an_sae_that_was_trained_the_other_way_is_refused_with_the_cure(
    tiny_model: LoadedModel, tmp_path: Path, wants: bool, top: bool
) -> None:
    """Its record says so at the top, as older ones do, or among its metadata."""
    folder, sae = tmp_path / "tiny" / "one", SaeId("tiny", "one")
    save_sae(folder, "blocks.1.hook_resid_post", random_weights(0))
    config = json.loads((folder / "cfg.json").read_text())
    (config if top else config["metadata"])["prepend_bos"] = wants
    if top:
        config["metadata"].pop("prepend_bos", None)
    (folder / "cfg.json").write_text(json.dumps(config))
    catalog = read_catalog(Settings(cache=tmp_path / "cache", sae_folders=(tmp_path / "tiny",)), assets=tmp_path)
    as_trained = LocalRunner(replace(tiny_model, prepends_bos=wants), catalog, tmp_path / "cache")
    assert as_trained.ask(CaptureAsk(PROMPT, (sae,))).tokens.special[0] is wants
    other = LocalRunner(replace(tiny_model, prepends_bos=not wants), catalog, tmp_path / "cache")
    with pytest.raises(OtherBos, match=f"Set LATENTS_BOS={int(wants)} "):
        other.ask(CaptureAsk(PROMPT, (sae,)))
