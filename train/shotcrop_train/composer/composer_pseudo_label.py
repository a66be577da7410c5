"""Stage 2 of the compact model, first half: pseudo labels for unlabelled photos.

The algorithm: fit several networks to the experts' triples on what the teachers saw, each without another fold. Machine
detections by large teachers are better than what the compact detector sees, so these networks know more than the model
that will learn from them. Each proposes a triple for every unlabelled photo, and so does their mean. The scorers are
agreement of the proposers and the faults of the refinement; the rule of `pseudo.decision` accepts single shots.

    shotcrop train pseudo-label --config nano --data DATA -o runs/labels

The networks are kept in `proposers`, everything else is that of `pseudo_label`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shotcrop_cli.evaluation.data_source import Data, open_datasets
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.nano.composer import SMALLEST_SIDE
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.scene import Scene
from shotcrop_cli.run_options import RayOptions
from shotcrop_cli.shots import SHOT_TYPES, Composition, Shot
from shotcrop_train.composer.composer_fit import fit
from shotcrop_train.composer.fault_scorer import FaultScorer
from shotcrop_train.composer.held_out import propose, refine_main
from shotcrop_train.composer.nano_checkpoint import MEMBER, Member, load_members, networks_of, save_member
from shotcrop_train.composer.nano_recipe import NanoRecipe
from shotcrop_train.nano.composer_examples import make_examples
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.detector_labels import LabelledPhoto, read_photos, scene_of_labels
from shotcrop_train.nano.folds import Fold
from shotcrop_train.pseudo.proposers import Proposer, load_proposers
from shotcrop_train.pseudo.report import SUMMARY
from shotcrop_train.pseudo.team import Team
from shotcrop_train.pseudo_label import PseudoLabelRecipe, write_labels
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.runs.run_log import LOG
from shotcrop_train.scorers import Photo, Scorer, load_scorers
from shotcrop_train.train_detector import append_log

PROPOSERS, MEAN = "proposers", "mean"


class SceneProposer:
    """Proposes what networks compose from known scenes, as the mean of their answers.

    Args:
        name: Its name in rows and reports.
        networks: The networks.
        scenes: What is in each photo.
        costs: Costs of the faults that are removed from the proposals; None to leave them.
    """

    def __init__(
        self, name: str, networks: Sequence[ComposerNetwork], scenes: Mapping[Path, Scene], costs: FaultCosts | None
    ) -> None:
        self.name, self.networks, self.scenes, self.costs = name, networks, scenes, costs

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        """Return triples; see `pseudo.proposers.Proposer`."""
        scenes = [self.scenes[photo.path] for photo in photos if photo.path is not None]
        answers: list[Composition | None] = []
        for scene, proposal in zip(scenes, propose(self.networks, scenes), strict=True):
            if proposal is None:
                answers.append(None)
                continue
            triple = proposal.boxes[proposal.main]
            if self.costs is not None:
                triple = refine_main(scene, proposal, self.costs)
            boxes = [clamp(*map(float, box), min_side=SMALLEST_SIDE) for box in triple]
            answers.append(Composition(tuple(map(Shot, SHOT_TYPES, boxes))))
        return answers


def label(
    recipe: NanoRecipe,
    data: Data,
    output: Path,
    others: Sequence[str | Path] = (),
    *,
    offline: bool = False,
    limit: int | None = None,
    ray: RayOptions | None = None,
) -> Path:
    """Label photos and return the folder of the dataset.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Folder of the dataset; see `pseudo_label.label`.
        others: Further proposers: checkpoints of large models, and the word `rule-based`.
        offline: Use only models on this machine.
        limit: Number of photos to label, from the first on; None for all.
        ray: Where Ray workers label; None to label in this process. The networks are fitted here in any case.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset, model or scorer is missing, or the folder holds a different run.
    """
    plan, names = recipe.pseudo_label, tuple(map(str, others))
    datasets = open_datasets(data, (*recipe.data.experts, *recipe.data.unlabelled))
    provenance.record(
        output,
        stage="pseudo-label",
        recipe={**recipe.only("pseudo_label", "data", "refinement"), "others": list(names), "limit": limit},
        datasets=datasets,
        helpers=names,
    )
    photos = [photo for dataset in datasets for photo in read_photos(dataset.folder)]
    scenes = {photo.path: scene_of_labels(photo) for photo in photos}
    experts = [photo for photo in photos if photo.triple is not None]
    networks = fit_proposers(recipe, experts, scenes, output)
    generic = PseudoLabelRecipe(
        experts=recipe.data.experts,
        unlabelled=recipe.data.unlabelled,
        criteria=plan.criteria,
        rule=plan.rule,
        near_duplicate=plan.near_duplicate,
        max_side=plan.max_side,
        chunk=plan.chunk,
    )
    write_labels(generic, data, output, partial(load_team, recipe, networks, scenes, names, offline), limit, ray)
    summary = json.loads((output / SUMMARY).read_text(encoding="utf-8"))
    rates = {name: summary[name] for name in ("acceptance_rate", "hard_rate")}
    shots = {f"acceptance_rate_{shot}": values["acceptance_rate"] for shot, values in summary["shots"].items()}
    append_log(output / LOG, 0, rates | shots)
    return output


def load_team(
    recipe: NanoRecipe,
    networks: Sequence[ComposerNetwork],
    scenes: Mapping[Path, Scene],
    others: Sequence[str],
    offline: bool,
) -> Team:
    """Return the proposers and scorers: the networks, their mean, and other proposers."""
    plan = recipe.pseudo_label
    costs = recipe.refinement if plan.refine else None
    team: list[Proposer] = [SceneProposer(MEAN, networks, scenes, costs)]
    team += [SceneProposer(f"network {number}", [one], scenes, costs) for number, one in enumerate(networks)]
    if others:
        team += load_proposers(others, ModelRecipe(), plan.chunk, offline=offline)
    return Team(team, load_judges(recipe, scenes, offline=offline))


def load_judges(recipe: NanoRecipe, scenes: Mapping[Path, Scene], *, offline: bool) -> list[Scorer]:
    """Return the scorers that a recipe names, in its order."""
    faults = FaultScorer(scenes, recipe.refinement)
    settings = PseudoLabelRecipe(("-",), ("-",)).scorers
    return [
        faults if name == faults.name else load_scorers([name], settings, offline=offline)[0]
        for name in recipe.pseudo_label.criteria
    ]


def fit_proposers(
    recipe: NanoRecipe, experts: Sequence[LabelledPhoto], scenes: Mapping[Path, Scene], output: Path
) -> list[ComposerNetwork]:
    """Fit the networks that propose, each without its fold; finished ones of an earlier part of the run are kept."""
    plan, folder = recipe.pseudo_label, output / PROPOSERS
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(plan.seed)
    groups = []
    for photo in experts:
        assert photo.triple is not None
        groups.append(make_examples([scenes[photo.path]], photo.triple, plan.examples, rng))
    for number in range(plan.networks):
        path = folder / MEMBER.format(number)
        if path.is_file():
            continue
        unseen = Fold(number % plan.folds, plan.folds)
        chosen = [group for photo, group in zip(experts, groups, strict=True) if group and not unseen.holds(photo.path)]

        def say(step: int, loss: float, number: int = number) -> None:
            append_log(output / LOG, step, {"proposer": number, "loss": round(loss, 5)})

        network = fit(chosen, recipe.composer, plan.fitting, recipe.sft.loss, plan.seed + number, say=say)
        save_member(Member(network, unseen), path)
    return networks_of(load_members(folder))
