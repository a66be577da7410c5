"""Train the compact model's detector on machine detections.

The algorithm: start from ImageNet's weights; draw views of all photos (crops, borders, mirror images, low resolution,
changed colours); learn what the teachers detected in them, weighted by how certain they were. Photos without people are
examples of everything that looks like a person and is none. The stem and the first stages stay as they are: they are
generic and would cost half of the time. An average of the weights over the last steps is the result.

    shotcrop train detector --config nano --data DATA -o runs/detector

To start from the weights of an earlier run instead of ImageNet's, add `--start FILE.safetensors`.

The recipe's `processes` train together and average their gradients. On several machines, torch's launcher runs the same
command:

    torchrun --nnodes 2 --nproc-per-node 8 ... -m shotcrop_cli train detector --config nano --data DATA -o runs/detector

A run can be interrupted at any time: start it again with the same folder, and it continues from its last checkpoint.
Every step draws its photos and views from the seed and its own number, so an interrupted run gives the same result.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_dataset, open_datasets
from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_train.nano.detector_labels import LabelledPhoto, read_photos
from shotcrop_train.nano.detector_loss import Batch, collate, detector_loss
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.nano.detector_views import PhotoStore, disturb_colours, random_view
from shotcrop_train.nano.folds import NO_FOLD, Fold
from shotcrop_train.runs import provenance
from shotcrop_train.runs.curves import Panel, draw_curves
from shotcrop_train.runs.final_model import FINAL
from shotcrop_train.runs.run_log import LOG

WEIGHTS, CONFIG = "detector.safetensors", "detector.json"
"""The trained weights and the network's options, in `final`."""
CHECKPOINT, STORE, CURVES = "last.pt", "photos", "curves.png"
"""The checkpoint of a run, its decoded photos and its curves."""
PANELS = (Panel("loss", ("loss",)), Panel("scores and boxes", ("kind", "box")))


@dataclass(frozen=True)
class DetectorData:
    """Which datasets below the data folder are used, and how often.

    Args:
        photos: Datasets with detections.
        empty: Datasets of photos without people.
        repeat: How often a photo of each dataset is drawn, on average, while others are drawn once.
        repeat_animals: How much more often a photo with an animal is drawn.
        folds: Folds that all photos are divided into; 0 for none.
        held_out: Fold that is not learned from. What the detector sees there is what it sees at run time.
    """

    photos: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    repeat: Mapping[str, float] = field(default_factory=dict)
    repeat_animals: float = 1.0
    folds: int = 0
    held_out: int = 0

    @property
    def unseen(self) -> Fold:
        """The fold that is not learned from."""
        return Fold(self.held_out, self.folds)


@dataclass(frozen=True)
class DetectorOptimisation:
    """How the network is trained.

    Args:
        steps: Optimiser steps of the whole run.
        batch_size: Views per step and process.
        side: Side of the views in pixels, a multiple of 32.
        last_side: Their side in the last part of the run.
        last_share: That part, as a share of the steps.
        learning_rate: Peak of the cosine schedule, for pyramid and heads.
        tower_share: The tower's learning rate, as a share of that.
        freeze_stages: Stages of the tower, counted from its stem, that are not trained; at most 3.
        warmup_steps: Steps until the peak.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Gradients longer than this are scaled down to it.
        average: Decay of the average of the weights.
        seed: Random seed of everything.
        threads: Threads of each process; 0 for torch's own choice. On a busy machine 1 is fastest.
        processes: Processes on this machine that average their gradients; each sees a batch of its own.
        log_every: Steps between log lines.
        save_every: Steps between checkpoints.
    """

    steps: int = 8000
    batch_size: int = 8
    side: int = 256
    last_side: int = 288
    last_share: float = 0.2
    learning_rate: float = 1.5e-3
    tower_share: float = 0.3
    freeze_stages: int = 3
    warmup_steps: int = 150
    weight_decay: float = 0.02
    max_grad_norm: float = 10.0
    average: float = 0.998
    seed: int = 0
    threads: int = 1
    processes: int = 1
    log_every: int = 50
    save_every: int = 100

    def __post_init__(self) -> None:
        if self.side % 32 or self.last_side % 32:
            raise ValueError("'side' and 'last_side' must be multiples of 32")
        if not 0 <= self.freeze_stages <= 3:
            raise ValueError("'freeze_stages' must be from 0 to 3")


@dataclass(frozen=True)
class DetectorRecipe:
    """A run of the detector.

    Args:
        data: Its datasets.
        optimisation: How it is trained.
        variant: Variant of EfficientNet-Lite.
        width: Channels of the pyramid and the heads.
        pretrained: Start from ImageNet's weights.
    """

    data: DetectorData = field(default_factory=DetectorData)
    optimisation: DetectorOptimisation = field(default_factory=DetectorOptimisation)
    variant: int = 0
    width: int = 96
    pretrained: bool = True


def train(recipe: DetectorRecipe, data: Data, output: Path, start: Path | None = None) -> Path:
    """Train a detector and return the folder of its weights.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Run folder. It will hold checkpoint, `log.jsonl`, `curves.png`, decoded photos, the result in `final`.
        start: Weights of a detector to start from instead of ImageNet's.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset cannot be read, or the weights are not those of such a detector.
    """
    names = (*recipe.data.photos, *recipe.data.empty)
    provenance.record(output, stage="detector", recipe=recipe, datasets=open_datasets(data, names), start=start)
    photos, repeats = [], []
    for name in names:
        found = [
            photo for photo in read_photos(open_dataset(data, name).folder) if not recipe.data.unseen.holds(photo.path)
        ]
        photos += found
        often = recipe.data.repeat.get(name, 1.0)
        repeats += [often + recipe.data.repeat_animals * _has_animal(photo) for photo in found]
    if not photos:
        raise ShotcropError("the recipe names no photos", hint="set photos in its table [data]")
    processes = recipe.optimisation.processes
    if processes > 1 and "WORLD_SIZE" not in os.environ:  # torch's launcher sets it
        # Decode the photos here, so that no process waits for another for minutes.
        PhotoStore(output / STORE, photos)
        job = (processes, _free_port(), recipe, photos, repeats, output, start)
        torch.multiprocessing.spawn(_run_process, job, nprocs=processes)
        return output / FINAL
    return DetectorTraining(recipe, photos, repeats, output, start).run()


def _run_process(rank: int, processes: int, port: int, *job: Any) -> None:
    """Run one of several processes of a training."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    DetectorTraining(*job).run()
    torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class DetectorTraining:
    """A run of the detector.

    Args:
        recipe: Its recipe.
        photos: All photos.
        repeats: How often each is drawn, on average.
        output: Run folder.
        start: Weights to start from, see `train`.
    """

    def __init__(
        self,
        recipe: DetectorRecipe,
        photos: Sequence[LabelledPhoto],
        repeats: Sequence[float],
        output: Path,
        start: Path | None = None,
    ) -> None:
        self.recipe, self.plan, self.output = recipe, recipe.optimisation, output
        self.rank, self.processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.processes > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        if self.plan.threads:
            torch.set_num_threads(self.plan.threads)
        torch.manual_seed(self.plan.seed)
        self.photos, self.repeats = photos, np.asarray(repeats, np.float64)
        self.store = self._open_store()
        self.network = DetectorNetwork(recipe.variant, recipe.width)
        if start is not None:
            load_weights(self.network, start)
        elif recipe.pretrained:
            self.network.tower.load_imagenet()
        self.network.tower.freeze(self.plan.freeze_stages)
        self.network.to(memory_format=torch.channels_last)
        self.average = DetectorNetwork(recipe.variant, recipe.width)
        self.average.load_state_dict(self.network.state_dict())
        named = [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]
        self.trained = [value for _, value in named]
        groups = [
            {"params": [value for name, value in named if name.startswith("tower.") == tower], "share": share}
            for tower, share in ((True, self.plan.tower_share), (False, 1.0))
        ]
        self.optimizer = torch.optim.AdamW(groups, self.plan.learning_rate, weight_decay=self.plan.weight_decay)
        self.step = 0
        self._resume()

    def run(self) -> Path:
        """Train to the last step and return the folder of the weights."""
        started, first, sums = time.monotonic(), self.step, dict[str, float]()
        self.network.train()
        with ThreadPoolExecutor(1) as loader:
            coming: Future[Batch] = loader.submit(self.batch, self.step)
            while self.step < self.plan.steps:
                batch = coming.result()
                coming = loader.submit(self.batch, min(self.step + 1, self.plan.steps - 1))
                for name, value in self.update(batch).items():
                    sums[name] = sums.get(name, 0.0) + value
                if self.step % self.plan.log_every == 0:
                    views = (self.step - first) * self.plan.batch_size * self.processes
                    speed = {"images_per_s": round(views / (time.monotonic() - started), 2)}
                    self._log(speed | {name: round(value / self.plan.log_every, 5) for name, value in sums.items()})
                    sums = {}
                if self.step % self.plan.save_every == 0:
                    self._save()
        self._save()
        final = self.output / FINAL
        if self.rank == 0:
            save_detector(self.average, final, self.recipe.data.unseen)
            draw_curves(self.output / LOG, self.output / CURVES, PANELS)
        return final

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, after the frozen beginning of the tower; it depends on seed and step alone."""
        plan, number = self.plan, step * self.processes + self.rank
        side = plan.side if step < (1 - plan.last_share) * plan.steps else plan.last_side
        rng = np.random.default_rng((plan.seed, number))
        views = []
        for index in self._drawn(number):
            views.append(random_view(self.store.pixels(index), self.photos[index].labels, side, rng))
        batch = collate(views, side)
        colours = torch.Generator().manual_seed(plan.seed * 1_000_003 + number)
        pixels = disturb_colours(batch.pixels, colours)
        if plan.freeze_stages:
            with torch.no_grad():
                pixels = self.network.tower.begin(pixels, plan.freeze_stages)
        object.__setattr__(batch, "pixels", pixels.contiguous(memory_format=torch.channels_last))
        return batch

    def update(self, batch: Batch) -> dict[str, float]:
        """Do one optimiser step and return the parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step) * group["share"]
        cells, tags, _, _ = self.network(batch.pixels, self.plan.freeze_stages)
        parts = detector_loss(cells, tags, batch)
        loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.processes > 1:
            average_gradients(self.trained, self.processes)
        torch.nn.utils.clip_grad_norm_(self.trained, self.plan.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return {name: float(value.detach()) for name, value in {**parts, "loss": loss}.items()}

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of pyramid and heads at a step: a short rise, then a cosine down to a fiftieth."""
        plan = self.plan
        cosine = 0.5 * (1 + math.cos(math.pi * step / plan.steps))
        return plan.learning_rate * min(1.0, (step + 1) / plan.warmup_steps) * (0.98 * cosine + 0.02)

    def _drawn(self, number: int) -> list[int]:
        """Return the photos of the batch with this number: consecutive parts of a shuffled list, one list per pass."""
        size = self.plan.batch_size
        length = math.ceil(self.repeats.sum())
        chosen = []
        for place in range(number * size, (number + 1) * size):
            epoch, position = divmod(place, length)
            chosen.append(int(self._order(epoch, length)[position]))
        return chosen

    def _order(self, epoch: int, length: int) -> Any:
        """Return the photos of one pass, each about as often as its repeat says."""
        if getattr(self, "_cached", (-1, None))[0] != epoch:
            rng = np.random.default_rng((self.plan.seed, 77, epoch))
            whole = np.floor(self.repeats).astype(int)
            count = whole + (rng.random(len(whole)) < self.repeats - whole)
            order = rng.permutation(np.repeat(np.arange(len(count)), count))
            self._cached = epoch, np.resize(order, length)
        return self._cached[1]

    def _open_store(self) -> PhotoStore:
        """Decode the photos; of several processes the first one does it."""
        if self.processes > 1 and self.rank > 0:
            torch.distributed.barrier()
        store = PhotoStore(self.output / STORE, self.photos)
        if self.processes > 1 and self.rank == 0:
            torch.distributed.barrier()
        return store

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
        new = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(new[name], 1 - decay)
            else:
                value.copy_(new[name])

    def _resume(self) -> None:
        path = self.output / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        torch.set_rng_state(state["chance"])

    def _save(self) -> None:
        """Replace the checkpoint atomically. With several processes, only the first one writes."""
        if self.rank != 0:
            return
        path = self.output / CHECKPOINT
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "chance": torch.get_rng_state(),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def _log(self, figures: Mapping[str, float]) -> None:
        if self.rank == 0:
            append_log(self.output / LOG, self.step, figures)


def average_gradients(parameters: Sequence[Tensor], processes: int) -> None:
    """Average gradients over all processes; a parameter without one counts as zero."""
    gradients = [one.grad if one.grad is not None else torch.zeros_like(one) for one in parameters]
    flat = torch.cat([one.reshape(-1) for one in gradients])
    torch.distributed.all_reduce(flat)
    parts = (flat / processes).split([one.numel() for one in gradients])
    for parameter, part, gradient in zip(parameters, parts, gradients, strict=True):
        parameter.grad = part.view_as(gradient).clone()


def append_log(path: Path, step: int, figures: Mapping[str, float]) -> None:
    """Append a line to a `log.jsonl` at once, so that an interrupted run keeps it."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "step": step, **figures}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def save_detector(network: DetectorNetwork, folder: Path, unseen: Fold = NO_FOLD) -> None:
    """Write a detector's weights, in half precision, its options, and the fold that it has not learned from."""
    folder.mkdir(parents=True, exist_ok=True)
    state = network.state_dict().items()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state}
    save_file({name: value.contiguous() for name, value in half.items()}, folder / WEIGHTS)
    options = {"variant": network.variant, "width": network.width, "unseen": asdict(unseen)}
    (folder / CONFIG).write_text(json.dumps(options) + "\n", encoding="utf-8")


def load_detector(folder: Path) -> DetectorNetwork:
    """Read a detector that `save_detector` wrote, ready to run.

    Raises:
        ShotcropError: The folder holds none.
    """
    try:
        options = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        network = DetectorNetwork(options["variant"], options["width"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ShotcropError(
            f"{folder} holds no detector: {error}", hint="name the folder 'final' of a run of shotcrop train detector"
        ) from error
    load_weights(network, folder / WEIGHTS)
    network.eval()
    return network


def held_out_fold(folder: Path) -> Fold:
    """Return the fold of photos that the detector in a folder has not learned from."""
    options = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return Fold(**options.get("unseen", {}))


def weights_sha256(folder: Path) -> str:
    """Hash the weights of the detector in a folder."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def load_weights(network: DetectorNetwork, path: Path) -> None:
    """Load weights that `save_detector` wrote.

    Raises:
        ShotcropError: The file cannot be read, or it holds a network of another variant or width.
    """
    try:
        weights = load_file(path)
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ShotcropError(
            f"{path} does not fit a detector of variant {network.variant} and width {network.width}: {reason}",
            hint="name a detector.safetensors of a run with the same 'variant' and 'width'",
        ) from error


def _has_animal(photo: LabelledPhoto) -> bool:
    return bool((photo.labels.kinds == Kind.ANIMAL).any())
