"""Any SAE by name: from sae-lens' directory, or `OWNER/REPO/ID` in its layout; kept as a folder that needs the hub no more.

Steps: (1) the files, checked before they are read: whole, no pickle, not larger than they claim; (2) sae-lens' own loader,
told the sizes that the files have; (3) weights that are finite; (4) saved in sae-lens' layout under the cache, with a
record of where it came from. Every page then reads it like any other.

Weights of SAEs that were trained on a model with centred writing weights (GPT-2 small) are changed so that they read the
model as published: centring the input is folded into the encoder.
"""

import json
import zipfile
from collections.abc import Callable
from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders as loaders

from dashboard.analysis.errors import AnalysisError, BadAsk, BrokenSaeFile, OutOfMemory, UnknownSae
from dashboard.analysis.files import build_folder, is_whole_safetensors, safetensors_shapes
from dashboard.analysis.hub import hub_errors, hub_file, hub_or_cache, hub_sizes
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import fetched_folder
from dashboard.analysis.sae.directory import DirectoryEntry, entries, entry, find

_FILES = {
    "sae_lens": ("sae_weights.safetensors", "cfg.json"),
    "gemma_2": ("params.npz",),
    "gemma_3": ("params.safetensors",),
    "llama_scope": ("checkpoints/final.safetensors", "hyperparams.json"),
    "sparsify": ("sae.safetensors", "cfg.json"),
}
"""What each loader reads; the weights first."""
_NATIVE, _SPARSIFY = "sae_weights.safetensors", "sae.safetensors"


def _shapes_of_cached(repo_id: str, filename: str) -> dict[str, list[int]]:
    """sae-lens asks the hub for these each time; the file that it reads next has them too, without a hub."""
    return {name: list(shape) for name, shape in safetensors_shapes(hub_file(repo_id, filename)).items()}


loaders.get_safetensors_tensor_shapes = _shapes_of_cached


def get_sae(name: str, cache: Path, say: Callable[[str], None]) -> SaeId:
    """Fetch an SAE, unless it is here: `RELEASE/ID` of the directory, or `OWNER/REPO/ID`. Returns the name that pages know it by.

    Raises:
        UnknownSae: if neither the directory nor the repository has it.
        HubRefused: if it is gated, or cannot be fetched.
        BadAsk: if it is of a kind that is not read here, with the reason.
        BrokenSaeFile: if its files are not what they claim.
    """
    sae, load, source = _resolve(name)
    folder = fetched_folder(sae, cache)

    def is_complete() -> bool:
        return (folder / "cfg.json").is_file() and is_whole_safetensors(folder / _NATIVE)

    def build(made: Path) -> None:
        say(f"Fetching {name} ...")
        try:
            with hub_errors(name, str(source["repo"])), hub_or_cache():
                loaded = load()
        except AnalysisError:
            raise
        except Exception as error:  # sae-lens lets every reader's own exception through; each means the files are bad
            raise BrokenSaeFile(Path(name), f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}") from error
        _save(loaded, made, {**source, "sae_lens": metadata.version("sae-lens")}, name)

    build_folder(folder, is_complete, build)
    return sae


def _resolve(name: str) -> tuple[SaeId, Callable[[], SAE], dict[str, Any]]:
    release, _, sae = name.partition("/")
    known = entry(release, sae)
    if known is not None:
        if known.refused:
            raise BadAsk(f"{known.name} cannot be used: {known.refused}.")
        source = {"release": release, "id": sae, "repo": known.repo, "loader": known.loader, "expected_l0": known.l0}
        return SaeId(release, sae), lambda: _from_directory(known), source
    if any(one.release == release for one in entries()):
        raise UnknownSae(name, [one.name for one in find(f"{release}/ {sae}")[:4]] or [one.name for one in find(f"{release}/")[:4]])
    parts = name.strip("/").split("/")
    if len(parts) < 2:
        raise UnknownSae(name, [one.name for one in find(name)[:3]])
    repo, inner = "/".join(parts[:2]), "/".join(parts[2:])
    return SaeId("--".join(parts[:2]), inner or "sae"), lambda: _from_repository(repo, inner), {"repo": repo, "id": inner}


def _from_directory(known: DirectoryEntry) -> SAE:
    overrides: dict[str, int] = {}
    for number, file in enumerate(_FILES.get(known.loader, ())):
        path = hub_file(known.repo, f"{known.path}/{file}")
        if number == 0:
            shapes = check_weights(path)
            if known.loader == "gemma_2":
                # sae-lens takes the sizes from the release's name; the file's own are what will be read.
                encoder = shapes.get("W_enc") or shapes.get("w_enc")
                if encoder is None or len(encoder) != 2:
                    raise BrokenSaeFile(path, f"it has no encoder matrix, only {', '.join(shapes)[:120]}")
                overrides = {"d_in": encoder[0], "d_sae": encoder[1]}
    stock = loaders.NAMED_PRETRAINED_SAE_LOADERS[known.loader]

    def converter(
        repo_id: str, folder_name: str, device: str, force_download: bool, cfg_overrides: dict[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor], torch.Tensor | None]:
        return stock(repo_id, folder_name, device, force_download, {**(cfg_overrides or {}), **overrides})

    return SAE.from_pretrained(known.release, known.id, device="cpu", dtype="float32", converter=converter)


def _from_repository(repo: str, inner: str) -> SAE:
    inside = f"{inner}/" if inner else ""
    files = _names(repo, inside)
    for weights, converter in ((_NATIVE, loaders.sae_lens_disk_loader), (_SPARSIFY, loaders.sparsify_disk_loader)):
        if files is None or f"{inside}{weights}" in files:
            hub_file(repo, f"{inside}cfg.json")
            path = hub_file(repo, f"{inside}{weights}")
            check_weights(path)
            return SAE.load_from_disk(path.parent, device="cpu", dtype="float32", converter=converter)
    pickled = [file for file in files or () if file.startswith(inside) and file.endswith((".pt", ".pth", ".bin", ".pkl"))]
    if pickled:
        raise BadAsk(f"{repo}/{inner} has only pickled weights ({pickled[0]}): reading a pickle can run any code, so it is not done.")
    there = sorted(file.removesuffix(f"/{_NATIVE}") for file in files or () if file.endswith(f"/{_NATIVE}"))
    raise UnknownSae(f"{repo}/{inner}", [f"{repo}/{one}" for one in there[:5]])


def _names(repo: str, inside: str) -> set[str] | None:
    """Names of the repository's files; None where the hub cannot be asked and its cache may still have them."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(repo, f"{inside}{_NATIVE}"), str):
        return None
    return set(hub_sizes(repo))


def check_weights(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes in a file of weights, once it is certain that it is what it claims. Reads headers only.

    Raises:
        BrokenSaeFile: if it is damaged, a pickle or a bomb.
        OutOfMemory: if what is in it would not fit.
    """
    try:
        shapes = _npz_shapes(path) if path.suffix == ".npz" else safetensors_shapes(path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BrokenSaeFile(path, str(error) or type(error).__name__) from error
    needed, free = 4 * sum(map(prod, shapes.values())), int(psutil.virtual_memory().available * 0.9)
    if needed > free:
        raise OutOfMemory(needed, free, "cpu")
    return shapes


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
                begun = file.tell()
            if dtype.hasobject:
                raise ValueError(f"{member.filename} is pickled Python objects, which are never read")
            if member.file_size - begun != prod(shape) * dtype.itemsize:
                raise ValueError(f"{member.filename} claims {prod(shape) * dtype.itemsize:,} bytes, it has {member.file_size - begun:,}")
            if member.file_size > (64 << 20) and member.file_size > 50 * member.compress_size:
                raise ValueError(f"{member.filename} is {member.compress_size:,} bytes that unpack to {member.file_size:,}: a zip bomb")
            shapes[member.filename.removesuffix(".npy")] = tuple(int(n) for n in shape)
    return shapes


def _save(sae: SAE, folder: Path, source: dict[str, Any], name: str) -> None:
    for parameter in sae.parameters():
        parameter.data = parameter.data.float().contiguous()
        if not torch.isfinite(parameter).all():
            raise BrokenSaeFile(Path(name), "its weights hold numbers that are not finite")
    if (sae.cfg.metadata.model_from_pretrained_kwargs or {}).get("center_writing_weights") and sae.cfg.architecture() == "standard":
        _fold_centring(sae)
        source = {**source, "folded": "centring of the input"}
    sae.cfg.reshape_activations = "none"
    sae.save_model(folder)
    (folder / "record.json").write_text(json.dumps({"source": source}, indent=1, sort_keys=True) + "\n")


def _fold_centring(sae: Any) -> None:
    """(x - mean(x)) W + b for every x, with W's columns of mean 0; the bias takes up what the decoder bias had of a mean."""
    encoder = sae.W_enc.data
    if sae.cfg.apply_b_dec_to_input:
        sae.b_enc.data -= sae.b_dec.data.mean() * encoder.sum(0)
    sae.W_enc.data = (encoder - encoder.mean(0, keepdim=True)).contiguous()
