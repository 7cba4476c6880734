"""Settings of one installation, read from the environment once. An error names the variable."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_cache_path
from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dashboard.analysis.errors import BadAsk

ASSETS = Path(__file__).resolve().parents[2] / "assets"
"""What ships with the dashboard: dictionaries and their records."""
INDEX_TOKENS = 50_000
"""What a first index reads unless told: minutes on a CPU, where the whole text that ships would take several times that."""


Dtype = Literal["auto", "bfloat16", "float16", "float32"]
"""Number formats of a model."""


class Settings(BaseSettings):
    """Each field is an environment variable: `LATENTS_` and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="LATENTS_", frozen=True, extra="ignore")

    cache: Path = Field(default_factory=lambda: user_cache_path("latents"))
    """Folder for the prepared model, unpacked dictionaries and training runs."""
    model: str = ""
    """The language model: a Hugging Face name (`google/gemma-2-2b`, `...@REVISION`) or a folder; empty for the default one."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Where the model runs; auto takes CUDA, then MPS, then CPU."""
    dtype: Dtype = "auto"
    """Number format of the model; auto takes bfloat16 where the device computes it natively."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Keep the model's large matrices in 8 or 4 bits a weight, which takes the library bitsandbytes."""
    device_map: Literal["none", "auto"] = "none"
    """auto spreads a model over all CUDA devices of this machine."""
    sae_memory: ByteSize | None = None
    """What dictionaries may take in memory together, for example 4GiB; auto (None) is half of what is free beside the model."""
    bos: bool = True
    """Begin every text with the model's BOS token; off for SAEs that were trained without it (OpenAI's of GPT-2)."""
    max_tokens: int = Field(default=2048, ge=1)
    """Longest prompt, in tokens."""
    sae_folders: Annotated[tuple[Path, ...], NoDecode] = ()
    """Further releases: folders whose subfolders are SAEs in sae-lens' layout, separated as in PATH."""

    entity_folders: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders with further types of entities, TYPE.toml and TYPE.csv, separated as in PATH."""
    wikidata: str = ""
    """Address of the SPARQL service that `latents entities build` asks; empty takes the one in assets/wikidata.toml."""
    contact: str = ""
    """Mail or web address that the service is told, so that its operators can contact the user."""

    @field_validator("sae_folders", "entity_folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(p for p in value.split(os.pathsep) if p) if isinstance(value, str) else value

    @field_validator("sae_memory", mode="before")
    @classmethod
    def _automatic(cls, value: object) -> object:
        return None if value in ("", "auto") else value

    @field_validator("cache")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


@cache
def get_settings() -> Settings:
    """The settings of this process.

    Raises:
        BadAsk: naming the variable that is wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"LATENTS_{'_'.join(str(part) for part in e['loc']).upper()}={e['input']!r}: {e['msg']}" for e in error.errors()
        )
        raise BadAsk(f"A setting is wrong. {problems}. Correct or unset it.") from error
