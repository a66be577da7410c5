"""A checkpoint folder of the compact model: what every stage writes, and all that the export needs.

detector.safetensors, detector.json    the detector
composer-0.safetensors, ...            the networks of the composer's ensemble
model.json                             the manifest that the exported model will have
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_train.nano.composer_network import ComposerNetwork, ComposerOptions
from shotcrop_train.nano.folds import Fold
from shotcrop_train.train_detector import CONFIG, WEIGHTS

MEMBER = "composer-{}.safetensors"
MANIFEST = "model.json"


@dataclass(frozen=True, eq=False)
class Member:
    """A network of the ensemble, and the fold of photos that it has not learned from."""

    network: ComposerNetwork
    unseen: Fold


def save_member(member: Member, path: Path) -> None:
    """Write a network's weights with its options and its fold."""
    new = path.with_suffix(".new")
    weights = {name: value.contiguous() for name, value in member.network.state_dict().items()}
    notes = {"options": json.dumps(member.network.describe()), "unseen": json.dumps(asdict(member.unseen))}
    save_file(weights, new, notes)
    new.replace(path)


def load_members(folder: Path) -> list[Member]:
    """Read the networks of an ensemble, ready to run.

    Raises:
        ShotcropError: The folder holds none, or one cannot be read.
    """
    members = []
    for path in sorted(folder.glob(MEMBER.format("*")), key=lambda path: int(path.stem.partition("-")[2])):
        try:
            with safe_open(path, "pt") as file:
                notes = file.metadata() or {}
            network = ComposerNetwork(ComposerOptions(**json.loads(notes["options"])))
            network.load_state_dict(load_file(path))
            members.append(Member(network.eval(), Fold(**json.loads(notes["unseen"]))))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise ShotcropError(f"{path} holds no composer: {reason}", hint="train it again") from error
    if not members:
        raise ShotcropError(
            f"{folder} holds no composer", hint="name the folder 'final' of a stage of the compact model"
        )
    return members


def write_checkpoint(folder: Path, detector: Path, manifest: NanoManifest) -> None:
    """Add detector and manifest to a folder that holds the networks already."""
    for name in (WEIGHTS, CONFIG):
        shutil.copyfile(detector / name, folder / name)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def read_manifest(folder: Path) -> NanoManifest:
    """Read the manifest of a checkpoint.

    Raises:
        ShotcropError: There is none, or it is not valid.
    """
    try:
        return NanoManifest.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ShotcropError(
            f"{folder} holds no complete compact model: {error}", hint="let the training stage finish first"
        ) from error


def networks_of(members: Sequence[Member]) -> list[ComposerNetwork]:
    """Return the networks alone."""
    return [member.network for member in members]


def find_checkpoint(folder: Path) -> Path | None:
    """Return the folder of a compact model: the given one or its `final`; None for anything else."""
    for place in (folder, folder / "final"):
        if (place / WEIGHTS).is_file() and any(place.glob(MEMBER.format("*"))):
            return place
    return None
