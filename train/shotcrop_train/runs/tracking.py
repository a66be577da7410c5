"""Experiment trackers: Weights & Biases, MLflow, Trackio and others that transformers reports to.

A run always has its own log. Trackers get the same figures, and those of the held-back photos as `eval/held_...`. None
is used unless the recipe or `--report-to` names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.integrations import integration_utils
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ShotcropError
from shotcrop_train.recipe import Tracking

_PACKAGES = {"comet_ml": "comet-ml", "tensorboard": "tensorboardX"}
"""Packages of the trackers whose name is another one."""


def tracking_settings(recipe: Tracking, output: Path) -> dict[str, Any]:
    """Return the settings of transformers that make a run report to trackers.

    Args:
        recipe: Which trackers, and the names of run and project.
        output: Run folder, whose name is that of the run if the recipe has none.

    Raises:
        ShotcropError: There is no such tracker, or its package is not installed.
    """
    for name in recipe.to:
        if name not in INTEGRATION_TO_CALLBACK:
            close = get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            hint = (
                f"did you mean '{close[0]}'?" if close else f"known ones: {', '.join(sorted(INTEGRATION_TO_CALLBACK))}"
            )
            raise ShotcropError(f"there is no tracker '{name}'", hint=hint)
        available = getattr(integration_utils, f"is_{name}_available", None)
        if available is not None and not available():
            package = _PACKAGES.get(name, name)
            raise ShotcropError(
                f"the tracker {name} needs the package {package}", hint=install_hint.add_packages(package)
            )
    settings: dict[str, Any] = {"report_to": list(recipe.to), "run_name": recipe.name or output.resolve().name}
    if recipe.project:
        settings["project"] = recipe.project
        # transformers passes the project to Trackio alone.
        os.environ.setdefault("WANDB_PROJECT", recipe.project)
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", recipe.project)
    return settings


class Trackers:
    """The trackers of a trainer, for figures that the trainer does not log itself.

    Args:
        trainer: The trainer.
        names: Names of its trackers.
    """

    def __init__(self, trainer: Trainer, names: tuple[str, ...]) -> None:
        kinds = tuple(INTEGRATION_TO_CALLBACK[name] for name in names)
        self.trainer = trainer
        self.callbacks = [one for one in trainer.callback_handler.callbacks if kinds and isinstance(one, kinds)]

    def log(self, figures: Mapping[str, float]) -> None:
        """Report figures of an evaluation."""
        trainer = self.trainer
        # trl's `log` would also report, and forget, what it has counted in the step that is not over.
        for one in self.callbacks:
            one.on_log(
                trainer.args,
                trainer.state,
                trainer.control,
                model=trainer.model,
                logs={f"eval_{name}": value for name, value in figures.items()},
            )
