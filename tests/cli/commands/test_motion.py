"""`shotcrop motion`: clips are decoded again and compared with the photo."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from finished_shots import change, write_shots
from shotcrop_cli.commands.motion import motion_command
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import Aspect
from shotcrop_cli.report import clip
from shotcrop_cli.report.camera import journey, views
from shotcrop_cli.report.clip import Canvas, ClipFormat, find_ffmpeg
from shotcrop_cli.sidecar import read

SHORT = ("--size", 240, "--seconds", 1, "--fps", 10)
SIZE = (960, 640)


def film(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(motion_command, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def decoded(path: Path, size: tuple[int, int]) -> np.ndarray:
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """One photo with bright colours up to its corners, so that anything black would be seen."""
    photo = write_shots(tmp_path / "shots", "ana/a.png", SIZE)
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    pixels = np.stack([90 + 160 * x / SIZE[0], 90 + 160 * y / SIZE[1], 170 + 0 * x], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(photo)
    return tmp_path / "shots"


@pytest.mark.parametrize(("aspect", "name", "size"), [("16:9", "16x9", (426, 240)), ("9:16", "9x16", (240, 426))])
def test_a_clip_has_its_frames_its_even_size_and_no_black_edges(
    shots: Path, tmp_path: Path, aspect: str, name: str, size: tuple[int, int]
) -> None:
    result = film(shots, "-o", tmp_path / "clips", "--aspect", aspect, *SHORT)
    path = tmp_path / "clips" / "ana" / f"a.png.{name}.mp4"
    assert result.stdout == f"{path}\n"
    frames = decoded(path, size)
    assert len(frames) == 10
    record = read(shots / "ana" / "a.png.json")
    canvas = Canvas(Image.open(record.source.path).convert("RGB"))
    stops = views(record, Aspect(*map(int, aspect.split(":"))))
    for view, frame in zip(journey(stops, 10), frames, strict=True):
        wanted = np.asarray(canvas.frame(view, size), np.int16)
        assert np.abs(frame - wanted).mean() < 3.0
        for corner in (frame[0, 0], frame[0, -1], frame[-1, 0], frame[-1, -1]):
            assert corner.min() > 75  # the darkest pixel of the photo has 90
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5


def test_clips_that_are_up_to_date_stay_and_edited_boxes_make_new_ones(shots: Path, tmp_path: Path) -> None:
    arguments = (shots, "-o", tmp_path / "clips", *SHORT)
    first = film(*arguments)
    path = Path(first.stdout.strip())
    content = path.read_bytes()
    again = film(*arguments)
    assert again.stdout == "" and "0 clips written, 1 unchanged" in again.stderr
    film(*arguments, "--overwrite")
    assert path.read_bytes() == content  # equal runs give equal clips
    change(shots / "ana" / "a.png.json", 2, box={"x": 0, "y": 0, "width": 300, "height": 300})
    assert "1 clip written" in film(*arguments).stderr
    assert path.read_bytes() != content and not list(path.parent.glob("*.bak"))


def test_a_clip_that_somebody_changed_stays_until_it_may_be_replaced(shots: Path, tmp_path: Path) -> None:
    arguments = (shots, "-o", tmp_path / "clips", *SHORT)
    path = tmp_path / "clips" / "ana" / "a.png.16x9.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"edited")
    kept = film(*arguments)
    assert path.read_bytes() == b"edited"
    assert f"{path}: somebody changed this file, so it stays" in kept.stderr
    assert "1 kept, because somebody changed them" in kept.stderr
    film(*arguments, "--overwrite")
    assert path.with_name(path.name + ".bak").read_bytes() == b"edited"
    assert len(decoded(path, (426, 240))) == 10


def test_a_photo_that_is_gone_or_changed_fails_alone(shots: Path, tmp_path: Path) -> None:
    write_shots(shots, "b.png", (300, 200)).unlink()
    Image.new("RGB", (30, 20)).save(write_shots(shots, "c.png", (300, 200)))
    write_shots(shots, "empty.png", person=False)
    result = film(shots, "-o", tmp_path / "clips", *SHORT, code=1)
    assert result.stdout == f"{tmp_path / 'clips' / 'ana' / 'a.png.16x9.mp4'}\n"
    assert "photos/b.png" in result.stderr
    assert "c.png: the photo changed since it was cropped" in result.stderr
    assert "1 clip written, 2 failed, 1 photo without shots left out" in result.stderr


def test_without_ffmpeg_one_line_says_what_to_install(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    error = CliRunner().invoke(motion_command, [str(shots), "-o", str(tmp_path / "clips")]).exception
    assert isinstance(error, ShotcropError)
    assert str(error).startswith(
        "clips need ffmpeg, which is not installed. Fix: install it, for example with `sudo apt"
    )
    assert "motion" in str(error) and "\n" not in str(error)
    assert not (tmp_path / "clips").exists()


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_an_ffmpeg_without_h264_is_refused_before_the_work(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = program(tmp_path / "ffmpeg", "echo ' V..... mpeg4 '")
    monkeypatch.setattr(shutil, "which", lambda _: str(fake))
    error = CliRunner().invoke(motion_command, [str(shots), "-o", str(tmp_path / "clips")]).exception
    assert isinstance(error, ShotcropError) and "cannot write H.264, because it has no libx264" in str(error)


def test_the_reason_of_ffmpeg_is_told(shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = program(
        tmp_path / "ffmpeg",
        "[ \"$2\" = -encoders ] && echo ' V..... libx264 ' && exit\necho 'no space left' >&2\nexit 1",
    )
    monkeypatch.setattr(shutil, "which", lambda _: str(fake))
    result = film(shots, "-o", tmp_path / "clips", *SHORT, code=1)
    assert "a.png: ffmpeg failed: no space left" in result.stderr
    assert not list((tmp_path / "clips").rglob("*.mp4"))


def test_odd_sizes_and_extreme_ratios_are_refused(shots: Path, tmp_path: Path) -> None:
    assert "--size must be an even number" in film(shots, "-o", tmp_path, "--size", 241, code=2).stderr
    assert "outside 1:3 to 3:1" in film(shots, "-o", tmp_path, "--aspect", "9:1", code=2).stderr


@pytest.mark.parametrize("text", ["16:9", "9:16", "4:5", "1:1", "2.39:1"])
@pytest.mark.parametrize("short_side", [240, 722, 1080])
def test_sizes_are_even_and_near_to_the_ratio(text: str, short_side: int) -> None:
    aspect = Aspect.parse(text)
    width, height = ClipFormat(aspect, short_side, 10, 10).size
    assert width % 2 == height % 2 == 0 and min(width, height) == short_side
    assert abs(width * aspect.height / aspect.width - height) <= 1.0 * max(1.0, aspect.height / aspect.width)


def test_large_views_are_drawn_from_smaller_copies_at_the_same_place() -> None:
    y, x = np.mgrid[0:900, 0:1601]
    photo = Image.fromarray(np.stack([x / 7, y / 4, 0 * x], axis=-1).astype(np.uint8))
    view = clip.View(3.3, 2.7, 1590.0, 894.375)
    small = np.asarray(Canvas(photo).frame(view, (320, 180)), np.int16)
    direct = np.asarray(photo.resize((320, 180), Image.Resampling.BICUBIC, box=view.corners), np.int16)
    assert np.abs(small - direct).max() <= 1
