"""Any SAE by name: from sae-lens' directory, `OWNER/REPO/ID`, or a folder; kept as a folder that needs the hub no more.

Steps: (1) the files, checked before they are read: whole, no pickle, not larger than they claim; (2) sae-lens' own loader,
told the sizes that the files have; (3) weights that are finite; (4) saved in sae-lens' layout under the cache, with a
record of where it came from. Every page then reads it like any other.

Weights of SAEs that were trained on a model with centred writing weights (GPT-2 small) are changed so that they read the
model as published: centring the input is folded into the encoder.
"""

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders as loaders

from dashboard.analysis.errors import AnalysisError, BadAsk, BrokenSaeFile, OutOfMemory, UnknownSae
from dashboard.analysis.model.bridge import first_line
from dashboard.analysis.names import Point, SaeId, point_of_module
from dashboard.analysis.sae.catalog import SaeSpec, fetched_folder, folder_spec
from dashboard.analysis.sae.loading import check_runs, read_native
from dashboard.analysis.sae.public.directory import DirectoryEntry
from dashboard.analysis.sae.public.gemma_scope_2 import read_gemma_scope_2
from dashboard.analysis.sae.resolving import NATIVE, SPARSIFY, SaeFolder, SaeRepository, resolve
from dashboard.analysis.system.files import build_folder, is_whole_safetensors, read_json_object, safetensors_shapes, sha256
from dashboard.analysis.system.hub import hub_errors, hub_file, hub_or_cache, hub_sizes
from dashboard.analysis.system.versions import LIBRARIES

_FILES = {
    "sae_lens": ("sae_weights.safetensors", "cfg.json"),
    "gemma_2": ("params.npz",),
    "gemma_3": ("params.safetensors",),
    "llama_scope": ("checkpoints/final.safetensors", "hyperparams.json"),
    "llama_scope_r1_distill": ("sae_weights.safetensors", "config.json"),
    "sparsify": ("sae.safetensors", "cfg.json"),
}
"""What each loader reads; the weights first."""
_ENCODERS = {"gemma_2": ("W_enc", "w_enc"), "llama_scope": ("encoder.weight",)}
"""Of loaders that take sizes from names or from a file of their own: the matrix whose sizes will be read."""
_PICKLED = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")


def get_sae(name: str, cache: Path, say: Callable[[str], None]) -> SaeId:
    """Fetch an SAE, unless it is here: `RELEASE/ID` of the directory, `OWNER/REPO/ID`, or a folder of this machine that is not yet
    in the layout that pages read. Returns the name that pages know it by.

    Raises:
        UnknownSae: if neither the directory nor the repository has it.
        HubRefused: if it is gated, or cannot be fetched.
        BadAsk: if it is of a kind that is not read here, with the reason.
        BrokenSaeFile: if its files are not what they claim.
    """
    sae, load, source = _found(name)
    folder = fetched_folder(sae, cache)

    def is_complete() -> bool:
        return (folder / "cfg.json").is_file() and is_whole_safetensors(folder / NATIVE) and _is_of(folder, source)

    def build(made: Path) -> None:
        say(f"Fetching {name} ...")
        try:
            if "folder" in source:
                loaded = load()
            else:
                with hub_errors(name, str(source["repo"])), hub_or_cache():
                    loaded = load()
        except AnalysisError:
            raise
        except Exception as error:  # sae-lens lets every reader's own exception through; each means the files are bad
            raise BrokenSaeFile(Path(name), f"{type(error).__name__}: {first_line(error)}") from error
        _save(loaded, made, {**source, "sae_lens": LIBRARIES["sae-lens"]}, name)

    build_folder(folder, is_complete, build)
    return sae


def _found(name: str) -> tuple[SaeId, Callable[[], SAE], dict[str, Any]]:
    """What a name stands for: what pages call it, how it is loaded, and what its record says of where it came from."""
    match resolve(name):
        case DirectoryEntry() as known:
            if known.refused:
                raise BadAsk(f"{known.name} cannot be used: {known.refused}.")
            source = {"release": known.release, "id": known.id, "repo": known.repo, "loader": known.loader, "expected_l0": known.l0}
            return SaeId(known.release, known.id), lambda: _from_directory(known), source
        case SaeRepository() as there:
            return there.id, lambda: _from_repository(there.repo, there.inner), {"repo": there.repo, "id": there.inner}
        case SaeFolder() as folder:
            return _local(folder)
        case SaeSpec():
            raise AssertionError("no catalogue was asked")


def _from_directory(known: DirectoryEntry) -> SAE:
    overrides: dict[str, int] = {}
    for number, file in enumerate(_FILES.get(known.loader, ())):
        path = hub_file(known.repo, f"{known.path}/{file}")
        if number > 0:
            _check_json(path)
            continue
        shapes = check_weights(path)
        if names := _ENCODERS.get(known.loader):
            encoder = next((shapes[name] for name in names if name in shapes), ())
            if len(encoder) != 2:
                raise BrokenSaeFile(path, f"it has no encoder matrix, only {', '.join(shapes)[:120]}")
            d_in, n_latents = encoder if known.loader == "gemma_2" else encoder[::-1]
            overrides = {"d_in": d_in, "d_sae": n_latents}
    stock = read_gemma_scope_2 if known.loader == "gemma_3" else loaders.NAMED_PRETRAINED_SAE_LOADERS[known.loader]

    def converter(
        repo_id: str, folder_name: str, device: str, force_download: bool, cfg_overrides: dict[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor], torch.Tensor | None]:
        return stock(repo_id, folder_name, device, force_download, {**(cfg_overrides or {}), **overrides})

    return SAE.from_pretrained(known.release, known.id, device="cpu", dtype="float32", converter=converter)


def _from_repository(repo: str, inner: str) -> SAE:
    from huggingface_hub import try_to_load_from_cache

    inside = f"{inner}/" if inner else ""
    layouts = (NATIVE, SPARSIFY)
    here = [one for one in layouts if isinstance(try_to_load_from_cache(repo, f"{inside}{one}"), str)]
    files = set() if here else set(hub_sizes(repo))
    if weights := next((one for one in layouts if one in here or f"{inside}{one}" in files), None):
        hub_file(repo, f"{inside}cfg.json")
        above = f"{Path(inside).parent / 'config.json'}"
        if weights == SPARSIFY and above in files:  # it names the model
            hub_file(repo, above)
        return _from_folder(hub_file(repo, f"{inside}{weights}").parent, weights)
    _refuse_pickles(f"{repo}/{inner}", [file for file in sorted(files) if file.startswith(inside)])
    there = sorted(file.rpartition("/")[0] for file in files if file.endswith((f"/{NATIVE}", f"/{SPARSIFY}")))
    raise UnknownSae(f"{repo}/{inner}", [f"{repo}/{one}" for one in there[:5]])


def _local(own: SaeFolder) -> tuple[SaeId, Callable[[], SAE], dict[str, Any]]:
    folder = own.path
    names = sorted(one.name for one in folder.iterdir())
    weights = next((one for one in (NATIVE, SPARSIFY) if one in names), None)
    if weights is None:
        _refuse_pickles(str(folder), names)
        inside = [str(one.parent) for depth in ("*", "*/*") for one in sorted(folder.glob(f"{depth}/{NATIVE}"))]
        if inside:
            raise BadAsk(f"{folder} is a folder of {len(inside)} SAEs. Name one of them: {', '.join(inside[:5])}.")
        raise BadAsk(f"{folder} holds no SAE: there is neither {NATIVE} nor {SPARSIFY} in it.")
    check_weights(folder / weights)
    source = {"folder": folder.name, "sha256": sha256(folder / weights)}
    return own.id, lambda: _from_folder(folder, weights), source


def _is_of(folder: Path, source: Mapping[str, Any]) -> bool:
    """True unless a folder of this machine is another one of the same name, or has changed since."""
    if "folder" not in source:
        return True
    try:
        kept = read_json_object(folder / "record.json")["source"]
        return all(kept.get(name) == value for name, value in source.items())
    except (AttributeError, KeyError, ValueError):
        return False


def _refuse_pickles(name: str, files: Sequence[str]) -> None:
    if pickled := [file for file in files if file.endswith(_PICKLED)]:
        raise BadAsk(
            f"{name} has only pickled weights ({pickled[0]}): pickles can run arbitrary code, so they are not loaded. "
            "Ask its makers for safetensors, or convert it on an isolated machine."
        )


def _from_folder(folder: Path, weights: str) -> SAE:
    check_weights(folder / weights)
    _check_json(folder / "cfg.json")
    if weights == NATIVE:
        folder_spec(folder)  # its kind, site and widths, before a weight is read
    return SAE.load_from_disk(folder, device="cpu", dtype="float32", converter=read_native if weights == NATIVE else _read_sparsify)


def _read_sparsify(
    path: str | Path, device: str = "cpu", cfg_overrides: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """sae-lens' reader, put right in four places: sparsify stores a decoder row a latent, takes b_dec from the input always, names
    the module whose output it read (`layers.3.mlp`) by the folder, and writes 0 latents where a factor of the width said how many.

    Source: EleutherAI/sparsify, sparse_coder.py, `encode` and `decode`. Files are checked against it, not against sae-lens.
    """
    folder = Path(path)
    config = read_json_object(folder / "cfg.json")
    if config.get("transcode") or config.get("skip_connection"):
        raise BadAsk(f"{folder.name} is a transcoder, which reads one place and writes another; dictionaries of one site are read here.")
    if config.get("activation", "topk") != "topk":
        raise BadAsk(f"{folder.name} has the activation {str(config['activation'])[:40]!r}; of sparsify's, topk is read here.")
    if config.get("signed"):
        raise BadAsk(f"{folder.name} keeps activations below zero too (signed); dictionaries with activations of 0 or above are read here.")
    shapes = safetensors_shapes(folder / SPARSIFY)
    given = {**(cfg_overrides or {}), "apply_b_dec_to_input": True}
    if module := re.fullmatch(r".*layers[._](\d+)(?:\.(.+))?", folder.name):
        point = point_of_module(module[2] or "")
        if point is None:
            known = ", ".join(f"layers.{module[1]}.{name}" for one in Point for name in one.row.modules if name)
            raise BadAsk(f"{folder.name} reads the module {module[2][:40]!r} of a layer; layers.{module[1]} and {known} are read here.")
        given["hook_name"] = point.row.hook.format(layer=module[1])
    if not config.get("num_latents") and "encoder.bias" in shapes:
        (given["d_sae"],) = shapes["encoder.bias"]
    read, state = loaders.sparsify_disk_loader(folder, device, given)
    if "W_dec" in shapes:
        state["W_dec"] = state["W_dec"].T
    return read, {name: tensor.contiguous() for name, tensor in state.items()}


def _check_json(path: Path) -> None:
    try:
        read_json_object(path)
    except ValueError as error:
        raise BrokenSaeFile(path, str(error)) from error


def check_weights(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes in a file of weights, once it is certain that it is what it claims. Reads headers only.

    Raises:
        BrokenSaeFile: if it is damaged, a pickle or a bomb.
        OutOfMemory: if what is in it would not fit.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path.name} is not a regular file")
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
        packed, unpacked = (sum(getattr(one, size) for one in archive.infolist()) for size in ("compress_size", "file_size"))
        if unpacked > (64 << 20) and unpacked > 50 * packed:
            raise ValueError(f"{path.name} is {packed:,} bytes that unpack to {unpacked:,}: a zip bomb")
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
    if sae.cfg.reshape_activations == "hook_z":
        sae.turn_off_forward_pass_hook_z_reshaping()  # sites give the heads side by side already
    sae.cfg.reshape_activations = "none"
    check_runs(sae, Path(name))
    sae.save_model(folder)
    (folder / "record.json").write_text(json.dumps({"source": source}, indent=1, sort_keys=True) + "\n")
    folder_spec(folder)  # what pages could not read is not kept


def _fold_centring(sae: Any) -> None:
    """(x - mean(x)) W + b for every x, with W's columns of mean 0; the bias takes up what the decoder bias had of a mean."""
    encoder = sae.W_enc.data
    if sae.cfg.apply_b_dec_to_input:
        sae.b_enc.data -= sae.b_dec.data.mean() * encoder.sum(0)
    sae.W_enc.data = (encoder - encoder.mean(0, keepdim=True)).contiguous()
