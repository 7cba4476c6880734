"""Commands on language models: `model list`, `model size`, `model prepare`."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, paper, say
from dashboard.cli.studies import StudyGroup

app = typer.Typer(cls=StudyGroup, no_args_is_help=True, help="Language models: list, size, prepare, and fit a lens.")

Name = Annotated[str, typer.Argument(help="Hugging Face name (OWNER/NAME[@REVISION]) or folder; default: LATENTS_MODEL.")]


@app.command("list")
def model_list(as_json: Json = False) -> None:
    """The models of this installation, which the dashboard offers: size, and whether each fits. Nothing is fetched or loaded."""
    from dashboard.analysis.model.sizing import size_of
    from dashboard.analysis.model.sources import cached_folder
    from dashboard.analysis.roster.models import choices

    settings, rows = get_settings(), list[dict[str, Any]]()
    for choice in choices(settings):
        own = choice.settings(settings)
        row: dict[str, Any] = {"name": str(choice), "given": choice.given, "bos": choice.bos, "is_here": cached_folder(own) is not None}
        try:
            size = size_of(own) if row["is_here"] or not choice.given else None
        except AnalysisError as error:
            say(str(error))
            size = None
        rows.append({**row, **({} if size is None else _data(size))})
    if as_json:
        emit(rows)
        return
    table = Table("name", "here", "million parameters", "MiB", "fits", "BOS", box=None, pad_edge=False)
    for row in rows:
        parameters, size, fits = row.get("n_parameters"), row.get("weight_bytes"), row.get("fits")
        table.add_row(
            row["name"],
            "yes" if row["is_here"] else "no",
            "not known" if parameters is None else f"{parameters / 1e6:,.1f}",
            "not known" if size is None else f"{size / 2**20:,.0f} in {row['dtype']}",
            "not known" if fits is None else f"{'yes' if fits else 'no'}, {row['free_bytes'] / 2**20:,.0f} free on {row['device']}",
            "yes" if row["bos"] else "no",
        )
    paper.print(table)


@app.command("size")
def model_size(name: Name = "", as_json: Json = False) -> None:
    """How large a model is and whether it fits, before a weight is fetched or read."""
    from dashboard.analysis.model.sizing import size_of

    size = size_of(get_settings().model_copy(update={"model": name}) if name else get_settings())
    if as_json:
        emit(_data(size))
    else:
        paper.print(size.in_words(), soft_wrap=True, markup=False)


@app.command("prepare")
def model_prepare(name: Name = "", as_json: Json = False) -> None:
    """Fetch a model if it is not here, and say whether it can run: its size, and what the device has free."""
    import torch

    from dashboard.analysis.model.bridge import choose_device, choose_dtype
    from dashboard.analysis.model.sources import admit_model, look_at, prepare_model
    from dashboard.analysis.roster.chosen import chosen_model
    from dashboard.analysis.roster.models import remember_model
    from dashboard.analysis.system.room import free_bytes

    settings = get_settings().model_copy(update={"model": name}) if name else get_settings()
    facts = look_at(prepare_model(settings, say), chosen_model(settings))
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    answer = {
        "model": str(facts.id),
        "model_path": str(facts.path),
        "architecture": facts.architecture,
        "parameters": facts.n_parameters,
        "bytes": {str(one).removeprefix("torch."): facts.bytes_in(one) for one in (torch.bfloat16, torch.float32)},
        "device": device,
        "dtype": str(dtype).removeprefix("torch."),
        "free_bytes": free_bytes(device),
    }
    if as_json:
        emit(answer)
    else:
        paper.print(str(facts.path), soft_wrap=True, markup=False)
        say(
            f"{facts.id}, {facts.architecture}: {facts.n_parameters / 1e6:,.1f} million parameters, "
            f"{facts.bytes_in(dtype) / 2**20:,.0f} MiB in {answer['dtype']}; {device} has {answer['free_bytes'] / 2**20:,.0f} MiB free"
        )
    admit_model(facts, settings)
    if settings.model:
        remember_model(settings.model, get_settings())
    if name and not get_settings().model:
        say(f"The dashboard offers it from now on; to begin with it: LATENTS_MODEL={name}")


def _data(size: Any) -> dict[str, Any]:
    return {**asdict(size), "model": str(size.model), "fits": size.fits}
