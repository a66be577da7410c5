"""What an object store costs: the same photos on S3 and on a disk, and a photo in short and in long runs.

`python -m benchmarks.speed.object_stores [--photos N] [--rounds N]` crops the same photos from a folder into a folder,
and from S3 to S3, with the real command. `--counts 1000,20000` crops so many tiny photos on a disk and on S3, with a
model that answers at once and no crops, so that hardly anything but the store costs time. The store is the S3 server of
moto, in a process of its own, whose processor time does not count.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from benchmarks.figures import Figures, machine
from benchmarks.speed.child_process import Measured, measure
from benchmarks.speed.sized_photos import EXAMPLES, jpegs, make_photos
from benchmarks.store_server import FOLDER, photo_name, store_server

_CHILD = "--child"


def compare(megapixels: float, number: int, rounds: int) -> Figures:
    """Crop the same photos on a disk and on S3, in turns, and take the fastest run of each."""
    runs: dict[str, list[Measured]] = {"disk": [], "S3": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", jpegs(EXAMPLES), megapixels, number)
        with store_server(0) as environment:
            os.environ.update(environment)
            upload(folder / "photos")
            for turn in range(rounds):
                runs["disk"].append(_crop(folder / "photos", folder / f"shots-{turn}"))
                runs["S3"].append(_crop(FOLDER, f"s3://shots/{turn}"))
                shutil.rmtree(folder / f"shots-{turn}")
    best = {
        place: (min(run.seconds for run in found), min(run.cpu_seconds for run in found), found[0].peak_mb)
        for place, found in runs.items()
    }
    rows = tuple(
        (
            place,
            f"{seconds:.1f}",
            f"{1000 * cpu / number:.0f}",
            f"{peak:.0f}",
            f"{seconds / best['disk'][0]:.2f}",
            f"{cpu / best['disk'][1]:.2f}",
        )
        for place, (seconds, cpu, peak) in best.items()
    )
    title = f"{number} photos of {megapixels:g} MP, best of {rounds}"
    return Figures(title, ("place", "s", "CPU ms/photo", "peak MB", "time, ratio", "CPU time, ratio"), rows)


def upload(folder: Path) -> None:
    """Copy photos to the store."""
    import botocore.session

    client = botocore.session.Session().create_client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for path in sorted(folder.iterdir()):
        client.put_object(Bucket="photos", Key=f"trip/{path.name}", Body=path.read_bytes())


def _crop(photos: str | Path, output: str | Path) -> Measured:
    return measure(sys.executable, "-m", "shotcrop_cli", "crop", photos, "-o", output, "-q")


def grow(numbers: list[int]) -> Figures:
    """Crop more and more tiny photos on a disk and on S3, then look again when all are up to date."""
    rows = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            photo = folder / "a.jpg"
            Image.new("RGB", (96, 64), "teal").save(photo)
            for at in range(number):
                copy = folder / "photos" / photo_name(at)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(photo.read_bytes())
            with store_server(number, photo) as environment:
                os.environ.update(environment)
                for place, *where in (("disk", folder / "photos", folder / "shots"), ("S3", FOLDER, "s3://shots/x")):
                    command = sys.executable, "-m", "benchmarks.speed.object_stores", _CHILD, *where
                    runs = [measure(*command) for _ in range(2)]
                    cells = (f"{1000 * run.cpu_seconds / number:.2f}" for run in runs)
                    rows.append((place, f"{number:,}", *cells, *(f"{run.peak_mb:.0f}" for run in runs)))
                    print(rows[-1], f"{sum(run.seconds for run in runs):.0f} s", file=sys.stderr, flush=True)
    headings = (
        *("place", "photos", "CPU ms/photo, new", "CPU ms/photo, up to date"),
        *("peak MB, new", "peak MB, up to date"),
    )
    return Figures("Tiny photos, without the model and without crops", headings, tuple(rows))


def crop_with_stub(photos: str, output: str) -> None:
    """Crop photos in this process, with a model that answers at once."""
    from shotcrop_cli import CropOptions, crop_photos
    from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Reasoning, Shot

    answer = Composition(tuple(Shot(shot, Box(0.1, 0.1, 0.9, 0.9), "", 0.9) for shot in SHOT_TYPES), Reasoning())

    class Stub:
        provider, thumbnail_size, sha256 = "cpu", (64, 64), "00" * 32
        identity = None

        def compose(self, thumbnails: list[object], _aspects: list[float]) -> list[Composition]:
            return [answer] * len(thumbnails)

    from shotcrop_cli.shots import ModelIdentity

    Stub.identity = ModelIdentity("stub", Stub.sha256, "cpu")  # type: ignore[assignment]
    sys.modules["shotcrop_cli.model.load"] = SimpleNamespace(  # type: ignore[assignment]
        find_model=lambda _model, **_options: SimpleNamespace(sha256=Stub.sha256),
        load_composer=lambda *_given, **_options: Stub(),
    )
    result = crop_photos(CropOptions(photos, output, shots=(), keep_results=False))
    assert not result.failed, result.failed[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[2, 12])
    parser.add_argument("--counts", type=lambda text: list(map(int, text.split(","))), metavar="N,N")
    parser.add_argument(_CHILD, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        crop_with_stub(*options.child)
        return
    print(machine("shotcrop-cli", "s3fs", "botocore", "moto"), "\n")
    if options.counts:
        print(grow(options.counts).as_markdown())
        return
    for megapixels in options.megapixels:
        print(compare(megapixels, options.photos, options.rounds).as_markdown(), flush=True)


if __name__ == "__main__":
    main()
