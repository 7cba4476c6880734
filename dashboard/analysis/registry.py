"""Every study and recipe there is. Nothing is imported before it is asked for."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dashboard.analysis.studies.recipe import Recipe
from dashboard.analysis.studies.study import Study


@dataclass(frozen=True)
class Entry:
    """Where something is declared."""

    command: tuple[str, ...]
    """Words behind `latents`: `flow origins`. A recipe's begin with `recipe`."""
    module: str
    name: str = "STUDY"

    def load(self) -> Any:
        """Import it."""
        return getattr(import_module(f"dashboard.analysis.{self.module}"), self.name)

    def study(self) -> Study[Any, Any]:
        """Import it; a recipe as a study."""
        found = self.load()
        return found.study() if isinstance(found, Recipe) else found


STUDIES: tuple[Entry, ...] = (
    Entry(("flow", "origins"), "methods.flow.study_origins"),
    Entry(("flow", "coactivation"), "methods.flow.study_coactivation"),
    Entry(("flow", "deactivate"), "methods.flow.study_deactivation"),
    Entry(("flow", "steer"), "methods.flow.study_steering"),
    Entry(("sae", "bring"), "install.bringing"),
    Entry(("sae", "eval"), "methods.measure.study_evaluation"),
    Entry(("sae", "absorption"), "methods.measure.study_absorption"),
    Entry(("study", "entities"), "methods.known.study_entities"),
    Entry(("study", "causality"), "methods.known.study_causality"),
    Entry(("study", "uncertainty"), "methods.known.study_uncertainty"),
    Entry(("model", "fit-lens"), "methods.lens.study"),
    Entry(("sweep",), "methods.steering.study"),
    Entry(("contrast",), "methods.contrast.study"),
)
"""In the order of their commands' groups."""


def studies() -> tuple[Study[Any, Any], ...]:
    """All of them, imported."""
    return tuple(entry.load() for entry in STUDIES)


RECIPES: tuple[Entry, ...] = (
    Entry(("recipe", "flow-path"), "methods.flow.recipe", "RECIPE"),
    Entry(("recipe", "contrast-direction"), "methods.contrast.recipe", "RECIPE"),
)
"""In the order of the box on the steer page."""


def recipes() -> tuple[Recipe[Any], ...]:
    """All of them, imported."""
    return tuple(entry.load() for entry in RECIPES)
