"""Splitting and absorption of an SAE, by a concept whose truth is written in the token: the first letter of a word.

Steps: (1) read a site at tokens that begin a word, on held-out text, as many of each letter as there are up to a limit;
distinct words go either to the training or to the test part, so a probe cannot know words by heart. (2) A logistic probe a
letter on the activations; letters whose probe has F1 below MIN_F1 on the test part are left out: what the model does not
say linearly, no SAE can absorb. (3) Latents are ranked by the weights of an L1 probe on them; k grows while the F1 of a
probe on the first k rises by more than MIN_RISE: those k are the letter's main latents, and k - 1 is its split count.
(4) On test tokens where the letter's probe is right, how much of the probe's projection other latents carry.

Source: SAEBench, Karvonen et al. 2025, arXiv:2503.09532, as used by Bussmann et al. 2025, arXiv:2503.17547. Differs from
it: letters are read at the word itself in running text, not before a spelling prompt, which models this small do not
understand. It is a proxy that ranks SAEs of one model and site; its numbers are not comparable with the papers'.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from sae_lens import SAE
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from dashboard.analysis.asks.measuring import Absorption
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Site
from dashboard.analysis.sae.measure.measures import within_norm
from dashboard.analysis.text.training_text import Split, token_windows

MIN_F1 = 0.6
MIN_RISE = 0.03
MAX_MAIN = 10
"""Most main latents of a letter."""
MIN_COSINE = 0.1
"""Of a latent's decoder row with the probe, for it to count as an absorber."""
MIN_SHARE = 0.4
"""Of the probe's projection that absorbers must carry."""
TEST_SHARE = 0.3
_PER_LETTER = 400
_WINDOW = 256
_WINDOWS_PER_PASS = 16


def measure_absorption(
    saes: Mapping[str, tuple[Site, SAE]], text: Sequence[str], model: LoadedModel, n_tokens: int = 150_000
) -> Iterator[tuple[str, Absorption]]:
    """Measure SAEs, by name, on the held-out documents of `text`, one after the other.

    Raises:
        BrokenText: if the text cannot be read, or its held-out part is shorter than one window.
    """
    windows = token_windows(text, Split.HELD_OUT, model.tokenizer, _WINDOW, with_bos=model.prepends_bos)
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))][: max(1, n_tokens // _WINDOW)]
    letters = _letters_of(model)
    chosen = _choose(letters[windows.numpy()])
    sites = list(dict.fromkeys(site for site, _ in saes.values()))
    rows: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    for batch, mask in zip(windows.split(_WINDOWS_PER_PASS), torch.from_numpy(chosen).split(_WINDOWS_PER_PASS), strict=True):
        for site, value in read_sites(model.bridge, batch.long().to(model.device), sites).items():
            rows[site].append(value[mask.to(value.device)].float().cpu())
    ids = windows.numpy()[chosen]
    for name, (site, sae) in saes.items():
        values = torch.cat(rows[site])
        kept = within_norm(values)
        with torch.inference_mode():
            acts = sae.encode(values[kept].to(sae.device)).cpu()
        yield name, _measure(values[kept].numpy(), acts.numpy(), sae.W_dec.detach().float().cpu(), ids[kept.numpy()], letters)


def _letters_of(model: LoadedModel) -> Int64[np.ndarray, " vocabulary"]:
    """0 to 25 for tokens that are a space and at least three plain letters; -1 for all others."""
    texts = model.tokenizer.batch_decode([[token] for token in range(len(model.tokenizer))])
    plain = [text[:1] == " " and len(text) > 3 and text[1:].isascii() and text[1:].isalpha() for text in texts]
    return np.array([ord(text[1].lower()) - ord("a") if is_plain else -1 for text, is_plain in zip(texts, plain, strict=True)])


def _choose(letters: Int64[np.ndarray, "window position"]) -> Bool[np.ndarray, "window position"]:
    """At most _PER_LETTER tokens of each letter, drawn with a fixed seed."""
    draw = np.random.default_rng(0)
    chosen = np.zeros(letters.size, dtype=bool)
    for letter in range(26):
        places = np.flatnonzero(letters.ravel() == letter)
        chosen[draw.permutation(places)[:_PER_LETTER]] = True
    return chosen.reshape(letters.shape)


def _measure(
    values: Float[np.ndarray, "row d_model"],
    acts: Float[np.ndarray, "row latents"],
    decoder: Float[torch.Tensor, "latents d_model"],
    ids: np.ndarray,
    letters: Int64[np.ndarray, " vocabulary"],
) -> Absorption:
    words = np.random.default_rng(0).permutation(np.unique(ids))
    test = np.isin(ids, words[: int(len(words) * TEST_SHARE)])
    per_letter: list[tuple[float, int, float, float]] = []
    rows = decoder.numpy()
    for letter in range(26):
        truth = letters[ids] == letter
        if truth[test].sum() < 10 or truth[~test].sum() < 20:
            continue
        probe = LogisticRegression(C=0.01, max_iter=300, class_weight="balanced").fit(values[~test], truth[~test])
        said = probe.predict(values[test])
        f1 = float(f1_score(truth[test], said))
        if f1 < MIN_F1:
            continue
        main, main_f1 = _main_latents(acts, truth, test)
        right = np.flatnonzero(test)[said & truth[test]]
        fractions = [absorbed(values[row], acts[row], rows, probe.coef_[0], main) for row in right]
        per_letter.append((f1, len(main), main_f1, float(np.mean(fractions))))
    unit = torch.nn.functional.normalize(decoder, dim=-1)
    largest = torch.cat([(part @ unit.T).topk(2).values[:, 1] for part in unit.split(1024)])
    means = [float(mean) for mean in np.mean(per_letter, axis=0)] if per_letter else [None] * 4
    return Absorption(len(per_letter), means[0], means[1], means[2], means[3], float(largest.mean()), len(ids))


def _main_latents(acts: np.ndarray, truth: np.ndarray, test: np.ndarray) -> tuple[list[int], float]:
    """A letter's main latents, strongest first, and the F1 of a probe on them."""
    scale = acts[~test].max(axis=0, keepdims=True) + 1e-6
    ranked = (
        LogisticRegression(l1_ratio=1.0, C=0.1, solver="liblinear", class_weight="balanced").fit(acts[~test] / scale, truth[~test]).coef_[0]
    )
    order = [int(i) for i in np.argsort(-ranked)[:MAX_MAIN] if ranked[i] > 0]
    best, n_main = 0.0, 0
    for k in range(1, len(order) + 1):
        probe = LogisticRegression(class_weight="balanced").fit(acts[~test][:, order[:k]] / scale[:, order[:k]], truth[~test])
        f1 = float(f1_score(truth[test], probe.predict(acts[test][:, order[:k]] / scale[:, order[:k]])))
        if k > 1 and f1 <= best + MIN_RISE:
            break
        best, n_main = f1, k
    return order[:n_main], best


def absorbed(
    value: Float[np.ndarray, " d_model"],
    acts: Float[np.ndarray, " latents"],
    decoder: Float[np.ndarray, "latents d_model"],
    probe: Float[np.ndarray, " d_model"],
    main: Sequence[int],
) -> float:
    """The absorption fraction of one token, 0 to 1: what at most three other latents carry of what the main ones lack."""
    unit = probe / np.linalg.norm(probe)
    along = decoder @ unit
    carried = acts * along
    total, by_main = float(value @ unit), float(carried[list(main)].sum())
    others = (along / np.maximum(np.linalg.norm(decoder, axis=1), 1e-12) >= MIN_COSINE) & (carried > 0)
    others[list(main)] = False
    by_others = float(np.sort(carried[others])[-3:].sum())
    if total <= 0 or by_main >= total or by_others / total < MIN_SHARE:
        return 0.0
    if by_main <= 0:
        return 1.0
    missing = min(by_others, total - by_main)
    return missing / (missing + by_main)
