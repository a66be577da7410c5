"""Crop photos from Python, one by one or in a stream: `Cropper`. For whole libraries see `shotcrop_cli.api`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from PIL import Image

from shotcrop_cli.captions.messages import SOURCE_LANGUAGE, check_language
from shotcrop_cli.captions.rules import reword
from shotcrop_cli.errors import AnswerError, InputError, NoPeopleError, PhotoError
from shotcrop_cli.framing import Aspect, Framing, frame_shot
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS, SAME_QUALITY, CropFormat, Quality, format_of
from shotcrop_cli.imaging.hdr import to_standard_range
from shotcrop_cli.imaging.in_memory import photo_of_array, photo_of_bytes, photo_of_image
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import cropped, to_8_bit
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.model.load import find_model
from shotcrop_cli.model.multi_device import load_on_devices
from shotcrop_cli.resources import usable_processors
from shotcrop_cli.shots import (
    SHOT_TYPES,
    Answer,
    Box,
    Composition,
    Grounding,
    ModelIdentity,
    NoSubject,
    PixelBox,
    Reasoning,
    Shot,
    ShotType,
)
from shotcrop_cli.shots import Person as FoundPerson

if TYPE_CHECKING:
    import numpy as np

NO_REASONING = Reasoning()

PhotoInput: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | np.ndarray[Any, Any]"
"""A path, the content of a file, an open binary file, a Pillow image, or a numpy array."""

AspectInput: TypeAlias = "str | Mapping[str, str] | None"
"""A ratio such as `4:5` for all shots, ratios by shot such as `{"close_up": "1:1"}`, or None."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person that the model reported, in pixels of the upright photo.

    Args:
        body: The whole visible body, None if unknown.
        head: Hair top to chin, None if unknown.
        face: The face, None if it is not visible or unknown.
        probability: Probability that this is the main person, or one of several who are the main subject together; None
            when the model gives none.
        crops: Establishing, medium and close-up for this person, framed like those of the photo, without captions.
            Empty when the model has none for each person.
    """

    body: PixelBox | None
    head: PixelBox | None
    face: PixelBox | None = None
    probability: float | None = None
    crops: tuple[Crop, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One of the three crops of a photo.

    Args:
        shot: Which of the three it is.
        box: Where it is, in whole pixels of the upright photo.
        caption: A description of the crop, empty when the model writes none.
        alt_text: The same in a sentence, for somebody who cannot see it.
        score: Probability that an expert would crop much the same, 0..1; None when the model gives none.
    """

    shot: ShotType
    box: PixelBox
    caption: str
    score: float | None
    alt_text: str
    _photo: Photo = field(repr=False)

    @property
    def image(self) -> Image.Image:
        """A copy of the crop's pixels, in the photo's own mode; `info["icc_profile"]` holds its colour profile.

        Pixels of HDR photos are converted to standard range.
        """
        image = cropped(self._photo.pixels, self.box.corners)
        image.info = {key: value for key, value in self._photo.pixels.info.items() if key == "transparency"}
        icc_profile = self._photo.icc_profile
        if self._photo.hdr is not None:
            image, icc_profile = to_standard_range(to_8_bit(image), self._photo.hdr)
        if icc_profile:
            image.info["icc_profile"] = icc_profile
        return image

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        quality: Quality = SAME_QUALITY,
        metadata: str = "safe",
        to_srgb: bool = False,
    ) -> None:
        """Write the crop to a file, with the colour profile and metadata that `shotcrop crop` would keep.

        Args:
            path: The file; its extension decides the format: .jpg, .png, .webp, .avif or .tif.
            quality: 1..100 for lossy formats, or `same` for the photo's own.
            metadata: `safe`, `all` or `none`.
            to_srgb: Whether to convert the pixels to sRGB.

        Raises:
            InputError: The extension, the quality or the metadata policy does not exist.
            PhotoError: The format cannot hold these pixels.
            OSError: The file cannot be written.
        """
        target = Path(path)
        form = format_of(target)
        if form is None or form.name.lower() not in list(CropFormat):
            raise InputError(
                f"{target}: crops cannot be written in this format", hint="use .jpg, .png, .webp, .avif or .tif"
            )
        if metadata not in list(MetadataPolicy):
            raise InputError(f"metadata={metadata!r}", hint="use 'safe', 'all' or 'none'")
        if quality != SAME_QUALITY and not (isinstance(quality, int) and 1 <= quality <= 100):
            raise InputError(f"quality={quality!r}", hint="use 1 to 100, or 'same'")
        written = encode_crop(
            self._photo,
            self.box,
            form=CropFormat(form.name.lower()),
            quality=quality,
            policy=MetadataPolicy(metadata),
            srgb=to_srgb,
        )
        target.write_bytes(written.content)


@dataclass(frozen=True, slots=True, eq=False)
class CropResult:
    """The three crops of a photo, or the finding that it shows no people.

    Args:
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.
        crops: Establishing, medium and close-up, in this order; empty for a photo without people.
        people: The people that the model reported, the main person first. Empty for a photo without people. Models that
            find only the main person report that person alone.
        reasoning: The model's reasoning in words.
        warnings: What was lost on reading the photo, and framing wishes that could not be met.
    """

    width: int
    height: int
    crops: tuple[Crop, ...] = ()
    people: tuple[Person, ...] = ()
    reasoning: Reasoning = NO_REASONING
    warnings: tuple[str, ...] = ()

    @property
    def has_people(self) -> bool:
        """Whether the model found people, and there are crops."""
        return bool(self.crops)

    @property
    def establishing(self) -> Crop:
        """The establishing shot. Raises NoPeopleError for a photo without people."""
        return self[ShotType.ESTABLISHING]

    @property
    def medium(self) -> Crop:
        """The medium shot. Raises NoPeopleError for a photo without people."""
        return self[ShotType.MEDIUM]

    @property
    def close_up(self) -> Crop:
        """The close-up. Raises NoPeopleError for a photo without people."""
        return self[ShotType.CLOSE_UP]

    def __getitem__(self, shot: ShotType | str) -> Crop:
        if not self.crops:
            raise NoPeopleError("the model found no people in this photo", hint="test result.has_people first")
        return self.crops[SHOT_TYPES.index(ShotType(shot))]


class Cropper:
    """Crops photos with a model that is loaded once. Threads may share one.

    Args:
        model: Name, folder or hub id of a model; None for the default model, which is part of the package.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, several GPUs with commas between, or `cuda:all`.
        offline: Whether never to ask the hub for a model.
        providers: ONNX Runtime execution providers in order of preference, empty to choose by device.
        max_pixels: Pixels that a file may have; does not concern images and arrays.
        language: Language of captions, alternative texts and reasoning: `en`, `de`, `es`, `fr`, `it` or `zh`. Large
            models have words of their own.

    Raises:
        InputError: There are no captions in this language.
        ModelError: The model cannot be found, read or trusted.
        DeviceError: The device or the first provider is unavailable.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        offline: bool = False,
        providers: Iterable[str] = (),
        max_pixels: int = DEFAULT_MAX_PIXELS,
        language: str = SOURCE_LANGUAGE,
    ) -> None:
        check_language(language)
        bundle = find_model(None if model is None else os.fspath(model), offline=offline)
        self._composer = load_on_devices(bundle, device, tuple(providers))
        self._lock = threading.Lock()
        self._max_pixels, self._language = max_pixels, language

    @property
    def model(self) -> ModelIdentity:
        """Name, content hash and execution provider of the model."""
        return self._composer.identity

    def crop(
        self, photo: PhotoInput, *, aspect: AspectInput = None, pad: float = 0.0, min_size: int | None = None
    ) -> CropResult:
        """Crop one photo.

        Args:
            photo: A path, bytes, an open binary file, a Pillow image or a numpy array. EXIF orientation and colour
                profiles of the first four are honoured; arrays are upright sRGB.
            aspect: Ratio of width to height for all shots, or by shot; None keeps the model's.
            pad: Share of the width added left and right, and of the height above and below, 0..1.
            min_size: Minimum length of the shorter side in pixels, reached by a wider crop.

        Raises:
            PhotoError: The photo cannot be read.
            AnswerError: The model's answer is no triple of shots.
            InputError: An argument has a value that it cannot have.
            TypeError: The photo is none of the types above.
        """
        framing = _framing(aspect, pad, min_size)
        return _result(*self._answers([_load(photo, self._max_pixels)])[0], framing)

    def crop_many(
        self,
        photos: Iterable[PhotoInput],
        *,
        aspect: AspectInput = None,
        pad: float = 0.0,
        min_size: int | None = None,
        batch_size: int = 8,
    ) -> Iterator[CropResult | PhotoError | AnswerError]:
        """Crop a stream of photos in batches, decoding in parallel, and yield one result each in the same order.

        A photo that cannot be read or answered yields its error instead of raising it, so that one bad photo does not
        end the stream. At most `batch_size` decoded photos are held at once, besides those of results still in use.

        Args:
            photos: As for `crop`; taken from the iterable batch by batch.
            aspect: As for `crop`.
            pad: As for `crop`.
            min_size: As for `crop`.
            batch_size: Photos that the model sees at once, at least 1.

        Raises:
            InputError: An argument has a value that it cannot have.
            TypeError: A photo is none of the types that `crop` takes.
        """
        framing = _framing(aspect, pad, min_size)
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}", hint="use at least 1")
        return self._stream(iter(photos), framing, batch_size)

    def _stream(
        self, photos: Iterator[PhotoInput], framing: Framing, batch_size: int
    ) -> Iterator[CropResult | PhotoError | AnswerError]:
        with ThreadPoolExecutor(usable_processors(), thread_name_prefix="decode") as decoders:
            while batch := list(islice(photos, batch_size)):
                # In a generator of its own, whose photos are freed before the next batch is decoded.
                yield from self._crop_batch(batch, framing, decoders)

    def _crop_batch(
        self, batch: list[PhotoInput], framing: Framing, decoders: ThreadPoolExecutor
    ) -> Iterator[CropResult | PhotoError | AnswerError]:
        loaded = list(decoders.map(partial(_load_or_error, max_pixels=self._max_pixels), batch))
        answers = iter(self._answers([one for one in loaded if isinstance(one, Photo)]))
        for one in loaded:
            if isinstance(one, PhotoError):
                yield one
                continue
            try:
                yield _result(*next(answers), framing)
            except AnswerError as error:
                yield error

    def _answers(self, photos: list[Photo]) -> list[tuple[Photo, Answer]]:
        """Ask the model about a batch; one thread at a time, since not every session allows more."""
        size = self._composer.thumbnail_size
        thumbnails = [thumbnail(photo, size) for photo in photos]
        aspects = [photo.width / photo.height for photo in photos]
        if not photos:
            return []
        with self._lock:
            answers = self._composer.compose(thumbnails, aspects)
        worded = (reword(answer, self._language) if isinstance(answer, Composition) else answer for answer in answers)
        return list(zip(photos, worded, strict=True))


def _load(photo: PhotoInput, max_pixels: int) -> Photo:
    """Decode any kind of input to upright pixels."""
    if isinstance(photo, (str, os.PathLike)):
        return decode(read_source(Path(photo)), max_pixels)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return photo_of_bytes(bytes(photo), max_pixels=max_pixels)
    if isinstance(photo, Image.Image):
        return photo_of_image(photo)
    if hasattr(photo, "__array__"):
        return photo_of_array(photo)
    if hasattr(photo, "read"):
        name = str(getattr(photo, "name", "photo"))
        try:
            data = photo.read()
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise PhotoError(f"{name}: cannot be read: {error}", hint="pass an open file") from error
        if not isinstance(data, bytes):
            raise TypeError(f"the file gives {type(data).__name__}, not bytes: open it in binary mode")
        return photo_of_bytes(data, name, max_pixels)
    raise TypeError(f"a photo is a path, bytes, binary file, Pillow image or numpy array, not {type(photo).__name__}")


def _load_or_error(photo: PhotoInput, max_pixels: int) -> Photo | PhotoError:
    try:
        return _load(photo, max_pixels)
    except PhotoError as error:
        return error


def _framing(aspect: AspectInput, pad: float, min_size: int | None) -> Framing:
    try:
        by_shot = dict.fromkeys(SHOT_TYPES, aspect) if isinstance(aspect, str) else dict(aspect or {})
        wanted = {ShotType(shot): Aspect.parse(ratio) for shot, ratio in by_shot.items()}
        return Framing(tuple((shot, wanted[shot]) for shot in SHOT_TYPES if shot in wanted), pad, min_size)
    except ValueError as error:
        raise InputError(
            str(error), hint="use ratios such as '4:5', pad from 0 to 1 and min_size of at least 1"
        ) from error


def _result(photo: Photo, answer: Answer, framing: Framing) -> CropResult:
    """Frame an answer's shots on its photo.

    Raises:
        AnswerError: The model's answer could not be read.
    """
    if isinstance(answer, AnswerError):
        raise answer
    width, height = photo.width, photo.height
    if isinstance(answer, NoSubject):
        return CropResult(width, height, warnings=photo.warnings)
    grounding = answer.grounding or Grounding()
    crops, notes = _crops(photo, answer.shots, grounding.main_person, grounding.head, framing)
    if answer.people:
        people = tuple(_person(photo, person, framing) for person in answer.people)
    else:
        people = (Person(_pixels(grounding.main_person, photo), _pixels(grounding.head, photo)),)
    return CropResult(width, height, crops, people, answer.reasoning, (*photo.warnings, *notes))


def _crops(
    photo: Photo, shots: Sequence[Shot], body: Box | None, head: Box | None, framing: Framing
) -> tuple[tuple[Crop, ...], list[str]]:
    """Frame a triple of shots on a photo.

    Args:
        photo: The photo.
        shots: The triple.
        body: Body of the person it shows, None if unknown.
        head: Their head, None if unknown.
        framing: What is asked for.

    Returns:
        The crops, and the wishes that could not be met.
    """
    crops: list[Crop] = []
    notes: list[str] = []
    close_up = shots[SHOT_TYPES.index(ShotType.CLOSE_UP)].box
    for shot in shots:
        framed = frame_shot(shot.type, shot.box, photo.width, photo.height, framing, body, head, close_up)
        crops.append(Crop(shot.type, framed.box, shot.caption, shot.score, shot.alt_text, photo))
        notes += framed.notes
    return tuple(crops), notes


def _person(photo: Photo, person: FoundPerson, framing: Framing) -> Person:
    crops, _ = _crops(photo, person.shots, person.body, person.head, framing)
    body, head, face = (_pixels(box, photo) for box in (person.body, person.head, person.face))
    return Person(body, head, face, person.probability, crops)


def _pixels(box: Box | None, photo: Photo) -> PixelBox | None:
    return None if box is None else to_pixels(box, photo.width, photo.height)
