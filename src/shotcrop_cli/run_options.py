"""Options of `crop_photos` and `apply_sidecars`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shotcrop_cli.captions.settings import Endpoint, LocalModel
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.library.hand_work import KEEP_ALL, Allowed
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.shots import DEFAULT_SET, SHOT_TYPES, ShotType
from shotcrop_cli.subjects import Subjects

if TYPE_CHECKING:
    from shotcrop_cli.library.edits import EditsFile

StrPath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model to use, and where to run it.

    Args:
        name: Name of a model, path of its folder, or ORG/REPO of a hub; None for the default model.
        offline: Whether to use only models that are on this machine.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, several of these GPUs separated by commas, or `cuda:all`.
        providers: Execution providers in order of preference; empty to choose by device.
        batch_size: Photos per device and batch; None to choose by device.
    """

    name: str | None = None
    offline: bool = False
    device: str = "auto"
    providers: tuple[str, ...] = ()
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class CaptionOptions:
    """Where captions come from. By default, the model writes them by rule and nothing leaves this machine.

    `CropSettings.captions` says which ones it writes. They also stand in if a server has no usable captions.

    Args:
        endpoint: The server to ask, which gets the crops, or a large model on this machine. None to ask none.
        max_captions: Photos that the server may be asked about; None for no limit.
        strict: Whether a photo for which it has no usable captions counts as failed.
        renew: Whether to ask again about captions that are up to date.
    """

    endpoint: Endpoint | LocalModel | None = None
    max_captions: int | None = None
    strict: bool = False
    renew: bool = False


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where Ray workers run.

    Args:
        address: A cluster: `auto` for one that runs on this machine, or `ray://HOST:10001`. None to start one here.
        workers: Number of workers; None for one per `cpus_per_worker` processors of the cluster.
        gpus_per_worker: GPUs of each worker, such as 1 or 0.5; 0 for none.
        cpus_per_worker: Processors of each worker.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0.0
    cpus_per_worker: int = 1


@dataclass(frozen=True, slots=True)
class CropOptions:
    """What `crop_photos` should do. The defaults are those of `shotcrop crop`.

    Args:
        photos: A photo, folder or pattern, several of these, or a `Selection` with filters.
        output: Folder for the crops. It gets the same subfolders as the photos.
        shots: The shots to crop; empty to write only sidecars. Crops that exist are kept up to date all the same.
        settings: How the crops should look, with the ratio sets.
        subjects: Whom to crop.
        sets: Names of the ratio sets to make; `default` for ordinary crops. Finished sets stay up to date.
        template: Names of the crops.
        model: Which model to use, and where to run it.
        captions: Where captions come from.
        workers: Threads that decode, and as many that write; None for one per processor.
        overwrite: Whether to crop finished photos again. What a person edited stays.
        allowed: What the run may do to edited, rejected and otherwise finished crops.
        check_content: Whether to read finished photos and compare their content, and not only their size and times.
        dry_run: Whether to report what would be cropped and write nothing.
        limit: Number of photos to crop at most; failed ones do not count. None for all.
        reproducible: Whether equal runs write equal files: no times in sidecars, and batches of one photo.
        wait: Seconds to wait for another run on the same output; infinity to wait as long as it takes.
        shard: The part of the library to crop, while other machines crop the rest into the same output; None for all.
        max_time: Seconds after which the run begins no more photos; None for no limit.
        fail_if_empty: Whether it is an error if there are no photos, for example because a disk is not mounted.
        include_crops: Whether to crop photos that are themselves crops by shotcrop, such as copies of other outputs.
        strict: Whether a photo without people counts as failed.
        max_pixels: Pixels that a photo may have.
        fail_fast: Whether to stop at the first failed photo.
        min_score: Crops with a lower score need a review, 0 to 1; None if none does.
        keep_results: Whether the `RunResult` lists every photo. It always lists those that failed or need a review.
        ray: Where Ray workers crop the photos; None to crop them in this process.
    """

    photos: Selection | StrPath | Sequence[StrPath]
    output: StrPath
    shots: tuple[ShotType, ...] = SHOT_TYPES
    settings: CropSettings = CropSettings()  # noqa: RUF009 - it is frozen
    subjects: Subjects = Subjects()  # noqa: RUF009
    sets: tuple[str, ...] = (DEFAULT_SET,)
    template: NameTemplate = NameTemplate()  # noqa: RUF009
    model: ModelOptions = ModelOptions()
    captions: CaptionOptions = CaptionOptions()
    workers: int | None = None
    overwrite: bool = False
    allowed: Allowed = KEEP_ALL
    check_content: bool = False
    dry_run: bool = False
    limit: int | None = None
    reproducible: bool = False
    wait: float = 0.0
    shard: Shard | None = None
    max_time: float | None = None
    fail_if_empty: bool = False
    include_crops: bool = False
    strict: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    fail_fast: bool = False
    min_score: float | None = None
    keep_results: bool = True
    ray: RayOptions | None = None

    @property
    def selection(self) -> Selection:
        """The photos to crop."""
        if isinstance(self.photos, Selection):
            return self.photos
        paths = (self.photos,) if isinstance(self.photos, (str, os.PathLike)) else self.photos
        return Selection(tuple(map(Path, paths)))


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """What `apply_sidecars` should do.

    Args:
        sidecars: Sidecars, and folders of them.
        photos: Folders to read photos from; empty for those that `crop_photos` recorded.
        workers: Threads that decode, and as many that write; None for one per processor.
        allowed: What may be done to edited and rejected crops.
        dry_run: Whether to report what would be cropped and write nothing.
        reproducible: Whether sidecars leave out when they were made and how long it took.
        wait: Seconds to wait for another run on the same output; infinity to wait as long as it takes.
        strict: Whether a photo without people counts as failed.
        max_pixels: Pixels that a photo may have.
        fail_fast: Whether to stop at the first failed photo.
        keep_results: Whether the `RunResult` lists every photo. It always lists those that failed.
        edits: What a person changed in a static review page. It is saved in the sidecars first, and only the photos
            that it names are cropped. `sidecars` then is the output folder that the page shows.
    """

    sidecars: tuple[Path, ...]
    photos: tuple[Path, ...] = ()
    workers: int | None = None
    allowed: Allowed = KEEP_ALL
    dry_run: bool = False
    reproducible: bool = False
    wait: float = 0.0
    strict: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    fail_fast: bool = False
    keep_results: bool = True
    edits: EditsFile | None = None


@dataclass(frozen=True, slots=True)
class RecaptionOptions:
    """What `caption_sidecars` should do.

    Args:
        sidecars: Sidecars, and folders of them.
        captions: Which server to ask.
        by_rule: Which captions by rule to write again, without a server; None to ask the server.
        language: Language of captions by rule.
        dry_run: Whether to report what would get captions, ask no server and write nothing.
        wait: Seconds to wait for another run on the same output; infinity to wait as long as it takes.
        fail_fast: Whether to stop at the first failed photo.
        keep_results: Whether the `RunResult` lists every photo. It always lists those that failed.
    """

    sidecars: tuple[Path, ...]
    captions: CaptionOptions = CaptionOptions()
    by_rule: RuleCaptions | None = None
    language: str = "en"
    dry_run: bool = False
    wait: float = 0.0
    fail_fast: bool = False
    keep_results: bool = True
