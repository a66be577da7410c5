"""Write the way of a camera over a photo as a video, through ffmpeg.

shotcrop draws every frame itself and only lets ffmpeg encode them. ffmpeg's own filter for this, zoompan, rounds the
camera to whole pixels, so that slow moves tremble.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.framing import Aspect
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.report.camera import View, journey
from shotcrop_cli.sidecar import Sidecar

_MARK = "shotcrop clip "
"""Begins the comment in the video, by which later runs recognise it as theirs. The key of its content follows."""
_VERSION = 1
"""Raise it when equal boxes and options give other frames."""
_SEARCHED_BYTES = 1 << 20
"""The comment is in the header, which comes first."""
_ENCODER = "libx264"
_QUALITY = 18
"""Constant rate factor of H.264; at 18, people hardly see a difference from the frames."""
_THREADS = 4
"""The same on all machines, because the number of threads changes the video."""
_SCALE = "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int,format=yuv420p"


@dataclass(frozen=True, slots=True)
class ClipFormat:
    """How a clip looks.

    Args:
        aspect: Ratio of width to height.
        short_side: Pixels of the shorter side, an even number.
        frames: Number of frames.
        fps: Frames per second.
    """

    aspect: Aspect
    short_side: int
    frames: int
    fps: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels. Both are even, as H.264 needs them."""
        ratio = self.aspect.width / self.aspect.height
        long_side = 2 * round(self.short_side * max(ratio, 1 / ratio) / 2)
        return (long_side, self.short_side) if ratio > 1 else (self.short_side, long_side)

    @property
    def suffix(self) -> str:
        """End of the name of a clip, such as `.16x9.mp4`."""
        return f".{self.aspect.width}x{self.aspect.height}.mp4"


def find_ffmpeg() -> str:
    """Return the path of ffmpeg: the one that is installed, otherwise that of the extra `motion`.

    Raises:
        ShotcropError: There is none.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise ShotcropError(
            "clips need ffmpeg, which is not installed",
            hint=f"install it, for example with `sudo apt install ffmpeg`, or run {install_hint.add_extras('motion')}",
        ) from None


def key_of(record: Sidecar, stops: Sequence[View], form: ClipFormat) -> str:
    """Return the key of everything that decides a clip."""
    corners = [tuple(round(side, 3) for side in stop.corners) for stop in stops]
    parts = (_VERSION, record.source.sha256, corners, form.size, form.frames, form.fps)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def recorded_key(path: Path) -> str | None:
    """Return the key of a clip that exists; empty if shotcrop did not make it, None if there is no file.

    Raises:
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_SEARCHED_BYTES)
    except FileNotFoundError:
        return None
    place = head.find(_MARK.encode())
    return "" if place < 0 else head[place + len(_MARK) :][:32].decode("ascii", "replace")


class Canvas:
    """A photo from which frames are drawn.

    Large views are drawn from a smaller copy of the photo. Its pixels are means of whole blocks of the photo, so that
    views keep their place to a fraction of a pixel.

    Args:
        photo: The photo in sRGB.
    """

    def __init__(self, photo: Image.Image) -> None:
        self._levels = [photo]

    def frame(self, view: View, size: tuple[int, int]) -> Image.Image:
        """Draw what the camera sees."""
        level = 0
        while view.width / 2 ** (level + 1) >= size[0] and view.height / 2 ** (level + 1) >= size[1]:
            level += 1
        while len(self._levels) <= level:
            self._levels.append(self._levels[-1].reduce(2))
        image, factor = self._levels[level], 2.0**level
        left, top, right, bottom = (side / factor for side in view.corners)
        box = max(left, 0.0), max(top, 0.0), min(right, float(image.width)), min(bottom, float(image.height))
        return image.resize(size, Image.Resampling.BICUBIC, box=box)


def open_canvas(record: Sidecar) -> Canvas:
    """Read the photo of a sidecar.

    Raises:
        PhotoError: It cannot be read, or is not the one that was cropped.
    """
    path = Path(record.source.path)
    photo = decode(read_source(path))
    if (photo.width, photo.height) != (record.source.width, record.source.height):
        raise PhotoError(f"{path}: the photo changed since it was cropped", hint="run `shotcrop crop` again")
    return Canvas(thumbnail(photo, (photo.width, photo.height)))


def check_encoder(program: str) -> None:
    """Check that an ffmpeg can encode H.264.

    Raises:
        ShotcropError: It cannot, or does not start.
    """
    try:
        command = [program, "-hide_banner", "-encoders"]
        listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    except OSError as error:
        raise ShotcropError(f"{program}: cannot be started: {error.strerror}", hint="install ffmpeg again") from error
    if f" {_ENCODER} ".encode() not in listed:
        raise ShotcropError(
            f"{program}: this ffmpeg cannot write H.264, because it has no {_ENCODER}",
            hint=f"install a full build of ffmpeg, or remove it and run {install_hint.add_extras('motion')}",
        )


def encode(program: str, frames: Iterable[Image.Image], form: ClipFormat, key: str) -> bytes:
    """Return the content of an MP4 file. Equal frames give equal files, with the same ffmpeg.

    Args:
        program: Path of ffmpeg.
        frames: As many as `form` says, of its size, in RGB.
        form: How the clip looks.
        key: What `recorded_key` shall find in the file.

    Raises:
        PhotoError: ffmpeg failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with Path(folder, "messages").open("w+b") as messages:
            process = subprocess.Popen(
                _command(program, form, key, path), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
            )
            assert process.stdin is not None
            try:
                for frame in frames:
                    process.stdin.write(frame.tobytes())
            except BrokenPipeError:
                pass  # its messages say why
            except BaseException:
                process.kill()
                process.wait()
                raise
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            if process.wait() != 0:
                messages.seek(0)
                lines = messages.read().decode("utf-8", "replace").strip().splitlines()
                raise PhotoError(f"ffmpeg failed: {lines[-1] if lines else process.returncode}")
        return path.read_bytes()


def _command(program: str, form: ClipFormat, key: str, path: Path) -> list[str]:
    width, height = form.size
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(form.fps)]
    video = ["-c:v", _ENCODER, "-preset", "medium", "-crf", str(_QUALITY), "-threads", str(_THREADS)]
    colours = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    exact = ["-frames:v", str(form.frames), "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    file = ["-metadata", f"comment={_MARK}{key}", "-movflags", "+faststart", "-f", "mp4", str(path)]
    start = [program, "-hide_banner", "-loglevel", "error", "-y"]
    return [*start, *source, "-i", "-", "-vf", _SCALE, *video, *colours, *exact, *file]


def frames_of(canvas: Canvas, stops: Sequence[View], form: ClipFormat) -> Iterator[Image.Image]:
    """Draw the frames of a clip, one after the other."""
    return (canvas.frame(view, form.size) for view in journey(stops, form.frames))
