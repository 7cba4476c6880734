"""The `latents` command on the default model and the shipped dictionaries, against plain transformers and sae-lens."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModelForCausalLM, AutoTokenizer

from dashboard.analysis.lenses.file import SHIPPED_LENSES, load_record
from dashboard.analysis.methods.lens.fitting import order
from dashboard.analysis.text.corpus import SHIPPED, read_corpus
from tests.command_line import Done, answer, latents

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["The Nile flows through Egypt and Sudan.", "def f(x):\n    return x ** 2", "서울의 밤 🌃 is bright", "    \t\n", "Hi"]


def process(*arguments: str, **environment: str) -> Done:
    """Run a command in a process and an environment of its own."""
    command = [sys.executable, "-m", "dashboard", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def listed() -> list[dict[str, Any]]:
    return answer("sae", "list")


@pytest.fixture(scope="module")
def model_path() -> str:
    return answer("doctor")["model_path"]


def test_the_shipped_dictionaries_are_listed_with_measured_figures(listed: list[dict[str, Any]]) -> None:
    points = ("attn_out", "mlp_out", "resid_post")
    suite = [f"smollm2-135m/{layer}.{point}" for layer in range(8, 20) for point in points]
    assert [row["name"] for row in listed] == [*suite, "smollm2-135m-batchtopk/15.resid_post"]
    for row in listed:
        residual = row["name"].endswith("resid_post")
        kind = "matryoshka_batchtopk" if residual and row["name"] in suite else "batchtopk"
        assert (row["d_in"], row["n_latents"], row["kind"]) == (576, 2048, kind)
        assert 25 < row["l0"] < 45 and 0 < row["fvu"] < (0.28 if residual else 0.45)
        assert not residual or 0.88 <= row["ce_recovered"] < 1
    assert SAE.load_from_disk(listed[0]["path"]).W_dec.shape == (2048, 576)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("chat", [False, True])
def test_highlight_equals_plain_transformers_and_sae_lens(
    listed: list[dict[str, Any]], model_path: str, dtype: str, tolerance: float, chat: bool
) -> None:
    text = TEXTS[0]
    row = next(row for row in listed if row["name"] == "smollm2-135m/15.resid_post")
    got = answer("highlight", text, "--sae", row["name"], "--top", "2048", "--dtype", dtype, *(["--chat"] if chat else []))
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    if chat:
        ids = tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)["input_ids"]
    else:
        ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=getattr(torch, dtype), attn_implementation="eager")
    sae = SAE.load_from_disk(row["path"])
    with torch.inference_mode():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[16][0].float()
        acts = sae.encode(hidden)
    assert [token["id"] for token in got["tokens"]] == ids
    assert [token["special"] for token in got["tokens"]] == [i in tokenizer.all_special_ids for i in ids]
    ours = np.zeros(acts.shape, dtype=np.float32)
    for position, token in enumerate(got["tokens"]):
        for entry in token["latents"]:
            ours[position, entry["latent"]] = entry["value"]
    expected, threshold = acts.numpy(), sae.threshold.detach().numpy()
    # A latent within the tolerance of its threshold may fire on one side only.
    on_edge = (np.minimum(ours, expected) == 0) & (np.maximum(ours, expected) < threshold * (1 + 2 * tolerance))
    assert (np.isclose(ours, expected, rtol=tolerance, atol=1e-4) | on_edge).all()
    assert ((expected > 0) & ~on_edge).sum() > 0.95 * (expected > 0).sum() > 100
    ordinary = [i for i, token in enumerate(got["tokens"]) if not token["special"]]
    rows, kept = hidden[ordinary], acts[ordinary]
    assert got["l0"] == pytest.approx(float((kept > 0).sum(1).float().mean()), rel=tolerance)
    fvu = (rows - sae.decode(kept)).square().sum() / (rows - rows.mean(0)).square().sum()
    assert got["fvu"] == pytest.approx(float(fvu), rel=tolerance)


def test_every_layer_of_the_logit_lens_equals_plain_transformers(model_path: str) -> None:
    got = answer("lens", "She moved from Paris to Rome.", "--top", "3", "--latent", "smollm2-135m/15.resid_post/501", "--dtype", "float32")
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        found = model(torch.tensor([[token["id"] for token in got["tokens"]]]), output_hidden_states=True)
        # The last hidden state of transformers is normed already.
        layers = [model.lm_head(model.model.norm(hidden[0])).softmax(-1) for hidden in found.hidden_states[1:-1]]
    for layer, expected in enumerate([*layers, found.logits[0].softmax(-1)]):
        best = expected.topk(3).values.numpy()
        for position, token in enumerate(got["tokens"]):
            words = token["layers"][layer]["words"]
            # Words of nearly equal probability may stand in either order.
            assert [word["probability"] for word in words] == pytest.approx(
                [expected[position, word["id"]].item() for word in words], rel=1e-3
            )
            assert [word["probability"] for word in words] == pytest.approx(best[position].tolist(), rel=1e-3)
    assert [layer["layer"] for layer in got["direction"]["layers"]] == list(range(15, 30))
    assert got["lens"] == "logit" and all(token["layers"][-1]["agrees"] for token in got["tokens"])


def test_the_shipped_jacobian_lens_says_how_it_does_on_text_that_it_was_not_fitted_on() -> None:
    got = answer("lens", "She moved from Paris to Rome.", "--lens", "jacobian", "--latent", "smollm2-135m/15.resid_post/501", "--top", "5")
    assert all(token["layers"][-1]["agrees"] for token in got["tokens"])
    # What the logit lens does not see at its own layer: this latent fires on cities.
    assert any("city" in word["text"].lower() for word in got["direction"]["layers"][0]["likelier"])
    check = got["fit"]["check"]
    assert check["n_texts"] >= 20 and check["n_tokens"] > 1_000 and got["fit"]["n_texts"] >= 10
    for logit, jacobian in zip(check["logit"][:-1], check["jacobian"][:-1], strict=True):
        assert jacobian["kl"]["high"] < logit["kl"]["low"] and jacobian["kl"]["mean"] < jacobian["kl_elsewhere"]["mean"]
        assert all(one["agreement"]["low"] <= one["agreement"]["mean"] <= one["agreement"]["high"] for one in (logit, jacobian))
    corpus = read_corpus(SHIPPED)
    record = load_record(next(SHIPPED_LENSES.glob("*.json")).with_suffix(""))
    assert record.corpus_sha256 == corpus.sha256
    assert list(record.documents) == [place for place in order(corpus) if place in record.documents]
    assert max(order(corpus).index(place) for place in record.documents) < corpus.n_documents // 2


@pytest.mark.parametrize("text", TEXTS)
def test_token_texts_join_to_the_text(text: str) -> None:
    got = answer("highlight", text, "--sae", "smollm2-135m/11.resid_post")
    assert "".join(token["text"] for token in got["tokens"] if not token["special"]) == text
    assert got["tokens"][0]["special"] and all(len(token["latents"]) <= 5 for token in got["tokens"])


def test_one_latent_can_be_asked_for() -> None:
    got = answer("highlight", "She moved from Paris to Rome.", "--sae", "smollm2-135m/15.resid_post", "--latent", "501")
    fires = {token["text"]: token["latents"][0]["value"] for token in got["tokens"] if token["latents"] and not token["special"]}
    assert {" Paris", " Rome"} <= set(fires) and all(len(token["latents"]) <= 1 for token in got["tokens"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("highlight", "", "--sae", "smollm2-135m/15.resid_post"), "0 tokens"),
        (("highlight", "x " * 50_000, "--sae", "smollm2-135m/15.resid_post"), "the limit is 2,048"),
        (("highlight", "x", "--sae", "smollm2-135m/26.resid_post"), "Nearest: smollm2-135m/1"),
        (("highlight", "x", "--sae", "smollm2"), "is not an SAE"),
        (("highlight", "x", "--sae", "smollm2-135m/15.resid_post", "--latent", "2048"), "0 to 2047"),
        (("sae", "eval", "nothing", "--text", "."), "No SAE 'nothing'"),
        (("sae", "train", "--text", "/no/such", "--name", "x", "--site", "15.resid_post"), "holds no text"),
        (("sae", "train", "--text", ".", "--name", "x", "--site", "nowhere"), "is not a site"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    extra = ("--out", str(tmp_path)) if "train" in arguments else ()
    done = latents(*arguments, *extra, "--json")
    assert done.status == 2 and done.stdout == ""
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_a_doctor_without_a_model_exits_1_with_the_cure(tmp_path: Path) -> None:
    done = process("doctor", "--json", LATENTS_CACHE=str(tmp_path))
    found = json.loads(done.stdout)
    assert done.status == 1 and not found["ok"] and not found["model_prepared"]
    assert any("latents model prepare" in problem["cure"] for problem in found["problems"])
    assert process("doctor").status == 0


def test_a_doctor_names_a_folder_of_saes_that_is_not_there(tmp_path: Path) -> None:
    done = process("doctor", "--json", LATENTS_SAE_FOLDERS=str(tmp_path / "none"))
    assert done.status == 1 and "none, which is not a folder" in done.stdout


def test_no_network_and_no_cache_is_one_message(tmp_path: Path) -> None:
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "LATENTS_CACHE": str(tmp_path)}
    done = process("highlight", "x", "--sae", "smollm2-135m/15.resid_post", **offline)
    assert done.status == 2 and "could not be downloaded" in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_a_wrong_setting_is_one_message() -> None:
    done = process("doctor", LATENTS_DTYPE="int8")
    assert done.status == 2 and "LATENTS_DTYPE='int8'" in " ".join(done.stderr.split())


EDIT, WIDE = "smollm2-135m/15.resid_post/501:add:0.4:norm", "smollm2-135m/11.resid_post/7:scale:3:raw"


def test_steer_tells_both_texts_and_what_it_cost_token_by_token(model_path: str) -> None:
    drawn = ("--max-new-tokens", "6", "--temperature", "0.7", "--top-p", "0.9", "--seed", "3", "--dtype", "float32")
    got = answer("steer", "--set", EDIT, "--set", WIDE, "--where", "2:", *drawn, "The road from")
    assert {"plain", "steered", "kl", "logprob_differences", "first_difference", "interventions", "record"} == {*got}
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    for text in (got["plain"], got["steered"]):
        assert 1 <= len(text["ids"]) == len(text["logprobs"]) <= 6 and all(logprob <= 0 for logprob in text["logprobs"])
        assert text["text"] == tokenizer.decode(text["ids"], skip_special_tokens=True) and text["perplexity"] > 1
    assert len(got["kl"]) == len(got["logprob_differences"]) == len(got["steered"]["ids"])
    assert max(got["kl"]) > 1e-3 and min(got["kl"]) >= 0
    place = got["first_difference"]
    assert place is None or got["plain"]["ids"][:place] == got["steered"]["ids"][:place]
    by_norm, scaled = got["interventions"]
    assert (by_norm["edit"], scaled["edit"], by_norm["where"]) == (EDIT, WIDE, "2:")
    assert by_norm["share_of_norm"] == pytest.approx(0.4) and by_norm["raw_amount"] > 1 and scaled["amount"] == 3
    record = got["record"]
    assert record["kind"] == "steer" and record["dtype"] == "float32" and len(record["saes"]) == 2
    assert record["ask"]["prompt"] == "The road from" and record["ask"]["seed"] == 3 and record["ask"]["top_p"] == 0.9


def test_a_wrong_edit_is_one_message_with_the_form_and_exit_2() -> None:
    done = latents("steer", "x", "--set", "smollm2-135m/15.resid_post/501:shout:1", "--json")
    told = " ".join(done.stderr.split())
    assert done.status == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "'smollm2-135m/15.resid_post/501:shout:1' is not an edit. The form is LATENT:OP:AMOUNT:UNIT, OP one of add, clamp" in told


def test_a_sweep_has_a_point_a_factor_and_none_of_it_costs_anything_at_0() -> None:
    got = answer("sweep", "The road from", "--set", EDIT, "--factors", "0,1", "--max-new-tokens", "4", "--word", "Paris")
    assert {"points", "texts", "record"} == {*got}
    plain, steered = got["points"]
    assert (plain["factor"], steered["factor"], plain["n_seeds"]) == (0, 1, 1) and steered["curve"] == EDIT
    assert plain["kl"] == 0 < steered["kl"] and 0 > plain["word_logprob"] != steered["word_logprob"] < 0
    assert steered["share_of_norm_1"] == pytest.approx(0.4) and plain["matched"] is None
    assert [(text["factor"], text["seed"]) for text in got["texts"]] == [(0, 0), (1, 0)]
    assert got["record"]["kind"] == "sweep"
