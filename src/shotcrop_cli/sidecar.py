"""The JSON file next to the crops of each photo: the photo, the model, the settings, and the box of each shot.

shotcrop writes it after the crops, so a photo that has one is done. A failed photo gets none, and the next run tries it
again. `sidecar.schema.json` describes the format for other programs. Boxes are either whole pixels of the upright photo
(`PixelBox`) or relative to it (`Box`), see `shotcrop_cli.shots`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shotcrop_cli.crop_facts import CropFacts, facts_document, read_facts
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions, XmpMode
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.own_texts import text_sha256
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.ratio_sets import Fit, Ratio, RatioSet
from shotcrop_cli.shots import (
    DEFAULT_SET,
    MAIN,
    SHOT_TYPES,
    Box,
    CropKey,
    ModelIdentity,
    Person,
    PixelBox,
    Reasoning,
    Shot,
    ShotType,
    person_number,
)

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

SCHEMA_ID = "shotcrop/1"
SCHEMA_PATH = Path(__file__).with_name("sidecar.schema.json")
MAX_BYTES = 1 << 20
"""Size of the largest sidecar that is read. Those that shotcrop writes have about 3,000 bytes."""
BOX_DIGITS = 6
"""Decimals of relative boxes. The last one is smaller than a pixel of any photo."""
SCORE_DIGITS = 4
"""Decimals of scores."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class SidecarStatus(str, Enum):
    """How a photo ended that is done."""

    DONE = "done"
    NO_SUBJECT = "no_subject"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The photo as it was when it was read.

    Args:
        path: Absolute path.
        size_bytes: Size of the file.
        mtime: Its modification time, as `iso_mtime` writes it.
        sha256: Hash of its content.
        format: File format, by Pillow's name.
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.
        exif_orientation: EXIF orientation of the stored pixels, 1 to 8.
        captured_at: Time on the camera's clock, ISO 8601; None if unknown.
        camera: Make and model; None if unknown.
        lens: Lens; None if unknown.
        has_gps: Whether the photo says where it was taken. The place itself is never recorded.
    """

    path: str
    size_bytes: int
    mtime: str
    sha256: str
    format: str
    width: int
    height: int
    exif_orientation: int = 1
    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    has_gps: bool = False


@dataclass(frozen=True, slots=True)
class MainPerson:
    """Where the model sees the main person, as relative boxes; None if it does not say.

    Args:
        body: The whole person, as far as the photo shows it.
        head: From the top of the hair to the chin.
    """

    body: Box | None = None
    head: Box | None = None


@dataclass(frozen=True, slots=True)
class FileSize:
    """Width and height of a written crop in pixels; smaller than its box if `--max-size` shrank it."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Written:
    """What shotcrop itself wrote last for a shot. By this it tells a person's work from its own.

    Args:
        caption: The caption.
        size_bytes: Size of the crop's file; None without a crop.
        sha256: Hash of the crop's file; None without a crop.
        alt_text: The alternative text.
        headline: The story that was written into XMP.
        keywords: The keywords that were written into XMP.
        image_sha256: Hash of the crop's file before captions were written into it; None if there are none in it.
        xmp_sha256: Hash of the XMP file, if it was shotcrop's alone.
        hashes: If somebody changed caption or alternative text here: hashes of those that shotcrop wrote.
    """

    caption: str
    size_bytes: int | None = None
    sha256: str | None = None
    alt_text: str = ""
    headline: str = ""
    keywords: tuple[str, ...] = ()
    image_sha256: str | None = None
    xmp_sha256: str | None = None
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replaced:
    """A crop of shotcrop's own that a run began to replace. Only sidecars of interrupted runs have it.

    Args:
        file: Its path, relative to the sidecar's folder.
        sha256: Hash of its file.
    """

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """One crop of a photo: a shot of the main subject, of another person, or of a ratio set.

    Args:
        shot: Which of the three.
        box: The crop's box in whole pixels of the upright photo. This is the value that counts.
        box_norm: The same box relative to the photo.
        model_box: The model's proposal relative to the photo, before aspect ratio, padding and least size are applied.
        file: Path of the crop, relative to the sidecar's folder; None if this shot was not asked for.
        size: Size of the crop; None if there is no crop.
        caption: What the crop shows.
        alt_text: The same for somebody who cannot see it.
        score: The model's confidence in the box, 0 to 1; None if it gave none.
        edited: Whether a person set or accepted the box or the caption, which later runs then keep. True also if `box`
            no longer agrees with `box_norm`, or `caption` or `alt_text` with those that shotcrop wrote.
        rejected: Whether a person does not want this crop, which later runs then leave out.
        retouched: Whether a run kept the crop as a person or program changed it, instead of replacing it.
        text_edited: Whether a person set the caption or the alternative text. `edited` is then true, too.
        written: What shotcrop wrote last; None in sidecars of earlier versions.
        replaced: What an interrupted run began to replace; otherwise None.
        person: Whom it shows; see `CropKey`.
        set_name: The ratio set that it belongs to; see `CropKey`.
        left_out: Why there is no crop, if the ratio cannot hold the heads; otherwise empty.
        padded: Whether the crop is on a background, because the ratio cannot hold the heads.
        keywords: What the model surely sees, in a word or two each.
        language: Language of caption and alternative text if they are by rule; otherwise empty.
        facts: What the words by rule say, so that they can be written in another language; None if unknown.
    """

    shot: ShotType
    box: PixelBox
    box_norm: Box
    model_box: Box
    file: str | None
    size: FileSize | None
    caption: str = ""
    score: float | None = None
    edited: bool = False
    rejected: bool = False
    retouched: bool = False
    written: Written | None = None
    replaced: Replaced | None = None
    alt_text: str = ""
    person: str = MAIN
    set_name: str = DEFAULT_SET
    left_out: str = ""
    padded: bool = False
    keywords: tuple[str, ...] = ()
    language: str = ""
    facts: CropFacts | None = None
    text_edited: bool = False

    @property
    def key(self) -> CropKey:
        """Which crop of the photo it is."""
        return CropKey(self.shot, self.person, self.set_name)

    @property
    def has_new_caption(self) -> bool:
        """Whether a person changed the caption or the alternative text after shotcrop wrote it."""
        written = self.written
        if written is None:
            return False
        return bool(written.hashes) or (written.caption, written.alt_text) != (self.caption, self.alt_text)

    def is_pending(self, source: SourceRecord) -> bool:
        """Say whether a person changed the box or the texts, and no run applied that yet.

        Args:
            source: The photo.
        """
        return self.has_new_caption or is_moved(self.box, self.box_norm, source)


@dataclass(frozen=True, slots=True)
class CaptionRecord:
    """Who wrote the captions, if it was a captioner.

    Args:
        model: Name of the model.
        host: Where it ran, such as `localhost:11434`.
        key: Hash of what it was asked about and how; see `captions.service`.
        story: A line that connects the shots.
        written_story: The line as shotcrop wrote it. If `story` is another one, a person edited it.
        language: Language of the captions.
    """

    model: str
    host: str
    key: str
    story: str = ""
    written_story: str = ""
    language: str = "en"

    @property
    def has_new_story(self) -> bool:
        """Whether a person changed the story after shotcrop wrote it."""
        return self.story != self.written_story


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds for a photo: reading and decoding, its share of the model's batch, cropping and writing."""

    decode: float
    compose: float
    write: float


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a sidecar. docs/sidecar.md explains each key; `main_person` is written as `lead`.

    `shots` are the three ordinary crops, and `more_crops` those of other people and of ratio sets. `rejected` says that
    a person wants no crops of this photo at all. `lists_people` is false for sidecars of earlier versions.
    """

    status: SidecarStatus
    source: SourceRecord
    model: ModelIdentity
    settings: CropSettings
    main_person: MainPerson
    reasoning: Reasoning
    shots: tuple[ShotRecord, ...]
    warnings: tuple[str, ...] = ()
    timing_ms: Timing | None = None
    shotcrop: str = ""
    created: str | None = None
    people: tuple[Person, ...] = ()
    rejected: bool = False
    captions: CaptionRecord | None = None
    more_crops: tuple[ShotRecord, ...] = ()
    lists_people: bool = field(default=True, compare=False)
    people_count: int | None = None
    """Number of people whom the photo surely shows, up to `shots.MANY_PEOPLE`; None if the model is not sure."""

    @property
    def all_crops(self) -> tuple[ShotRecord, ...]:
        """Every crop: the three ordinary ones, then those of other people and of ratio sets."""
        return (*self.shots, *self.more_crops)

    def with_crops(self, crops: Iterable[ShotRecord]) -> Sidecar:
        """Return the sidecar with these crops instead of `all_crops`."""
        listed = tuple(crops)
        shots = tuple(crop for crop in listed if crop.key.is_ordinary)
        return replace(self, shots=shots, more_crops=tuple(crop for crop in listed if not crop.key.is_ordinary))

    def viewed(self, person: str = MAIN, set_name: str = "") -> Sidecar:
        """Return the sidecar with the crops of one person and one ratio set as its `shots`, to show these.

        Args:
            person: Whom to show, as in `CropKey`. The establishing shot is that of the main subject.
            set_name: The ratio set; empty for ordinary crops or, where there are none, those of the first set.
        """
        shots = tuple(self._viewed_shot(shot, person, set_name) for shot in self.shots)
        number = person_number(person)
        shown = self.people[number - 1] if number is not None and number <= len(self.people) else None
        main = self.main_person if shown is None else MainPerson(shown.body, shown.head)
        return replace(self, shots=shots, more_crops=(), main_person=main)

    def _viewed_shot(self, shot: ShotRecord, person: str, set_name: str) -> ShotRecord:
        who = MAIN if shot.shot is ShotType.ESTABLISHING else person
        alike = [crop for crop in self.all_crops if crop.shot is shot.shot and crop.person == who]
        found = [crop for crop in alike if not set_name or crop.set_name == set_name]
        there = next((crop for crop in found if crop.file is not None), None)
        return there or (found[0] if found else replace(shot, file=None, size=None, caption="", alt_text=""))

    def facts_of(self, crop: ShotRecord) -> CropFacts | None:
        """Return what the words of a crop say; None if it has none by rule, or in sidecars of earlier versions."""
        facts = self.facts_about(crop.person)
        return facts[SHOT_TYPES.index(crop.shot)] if facts else None

    def facts_about(self, person: str) -> tuple[CropFacts, ...]:
        """Return what the words of the three crops of somebody say; empty if they have none by rule.

        Args:
            person: As `CropKey` calls them. A group has no words.
        """
        if person == MAIN:
            facts = tuple(shot.facts for shot in self.shots if shot.facts is not None)
            return facts if len(facts) == len(SHOT_TYPES) else ()
        number = person_number(person)
        return self.people[number - 1].facts if number is not None and number <= len(self.people) else ()

    def has_old_words(self, crop: ShotRecord, settings: CropSettings) -> bool:
        """Say whether the words of a crop are by rule, and other settings ask for others. Texts that a person set stay.

        Args:
            crop: One of the crops.
            settings: The settings.
        """
        if crop.text_edited or crop.rejected or not crop.language or self.facts_of(crop) is None:
            return False
        return crop.language != settings.language or self.settings.captions is not settings.captions

    @property
    def edited(self) -> bool:
        """Whether a person set any of the boxes or captions."""
        return any(crop.edited for crop in self.all_crops)

    @property
    def pending(self) -> tuple[CropKey, ...]:
        """The crops whose edited box or texts are not applied yet. Rejected crops and those without a file wait."""
        crops = () if self.rejected else self.all_crops
        return tuple(
            crop.key for crop in crops if crop.file is not None and not crop.rejected and crop.is_pending(self.source)
        )

    def to_bytes(self) -> bytes:
        """Serialise as UTF-8 with two spaces of indentation and a fixed order of keys."""
        text = json.dumps(_document(self), ensure_ascii=False, indent=2) + "\n"
        # File names that are not UTF-8 have lone surrogates here, which JSON can write as ASCII escapes.
        return text.encode("utf-8", "backslashreplace")


FIX_SIDECAR = "correct it, or delete it and run `shotcrop crop` again"
"""What to do about a sidecar that cannot be read. shotcrop never replaces it: it may hold somebody's work."""


def fault(error: Exception) -> str:
    """Say in words why a file cannot be read as a sidecar."""
    return f"not a sidecar of schema {SCHEMA_ID}: {error}"


def read(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises:
        ShotcropError: The file is not a valid sidecar of this schema. The message says what is wrong.
        FileNotFoundError: There is no such file.
    """
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ShotcropError(f"{path}: {fault(error)}", hint=FIX_SIDECAR) from error


def parse(content: bytes) -> Sidecar:
    """Parse the content of a sidecar.

    Raises:
        ValueError: It does not follow the schema, a box is not inside the photo, or a number is too large.
        RecursionError: It is nested too deep.
    """
    if len(content) > MAX_BYTES:
        raise ValueError("the file is far too large")
    document = json.loads(_text(content), parse_constant=_refuse_constant)
    if isinstance(document, Mapping) and document.get("schema", SCHEMA_ID) != SCHEMA_ID:
        raise ValueError(f"its schema is {document['schema']!r}")
    _validate(document)
    try:
        return _sidecar(document)
    except OverflowError as error:  # JSON numbers have no limit
        raise ValueError(f"a number is too large: {error}") from error


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ValueError(f"line {line} column {column} is not UTF-8") from error


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def iso_mtime(mtime_ns: int) -> str:
    """Write a file time as ISO 8601 in UTC with microseconds. Times after the year 9999 become its last microsecond.

    Args:
        mtime_ns: Nanoseconds since the epoch.
    """
    seconds, microseconds = divmod(mtime_ns // 1000, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if (day := _iso_day(days)) is None:
        return "9999-12-31T23:59:59.999999Z"
    return f"{day}T{hours:02}:{minutes:02}:{seconds:02}.{microseconds:06}Z"


@lru_cache(maxsize=4096)  # photos of one day follow each other, and `datetime` takes three times as long
def _iso_day(days: int) -> str | None:
    try:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    except OverflowError:
        return None


def iso_now() -> str:
    """Return the current time as ISO 8601 in UTC with seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _document(sidecar: Sidecar) -> dict[str, object]:
    document: dict[str, object] = {
        "schema": SCHEMA_ID,
        "status": str(sidecar.status),
        "source": _values(sidecar.source),
        "model": _values(sidecar.model),
        "settings": settings_document(sidecar.settings),
        "lead": {"body": _sides(sidecar.main_person.body), "head": _sides(sidecar.main_person.head)},
        "people": [_person_document(person) for person in sidecar.people],
        "reasoning": _values(sidecar.reasoning),
        "shots": [_shot_document(shot) for shot in sidecar.shots],
        **({"more_crops": [_crop_document(crop) for crop in sidecar.more_crops]} if sidecar.more_crops else {}),
        **({} if sidecar.captions is None else {"captions": _captions_document(sidecar.captions)}),
        **({} if sidecar.people_count is None else {"people_count": sidecar.people_count}),
        "rejected": sidecar.rejected,
        "warnings": list(sidecar.warnings),
    }
    if sidecar.timing_ms is not None:
        document["timing_ms"] = {name: round(value, 1) for name, value in _values(sidecar.timing_ms).items()}
    document["shotcrop"] = sidecar.shotcrop
    if sidecar.created is not None:
        document["created"] = sidecar.created
    return document


def settings_document(settings: CropSettings) -> dict[str, object]:
    """Return the settings as the sidecar writes them."""
    framing = settings.framing
    return {
        "hash": settings.hash,
        "format": str(settings.format),
        "quality": settings.quality,
        "metadata": str(settings.metadata),
        "xmp": False if settings.xmp is XmpMode.NONE else str(settings.xmp),
        "aspect": {str(shot): str(aspect) for shot, aspect in framing.aspects},
        "pad": framing.pad,
        "min_size": framing.min_size,
        "max_size": settings.max_size,
        "lossless": settings.lossless,
        "to_srgb": settings.to_srgb,
        **({"keywords": True} if settings.keywords else {}),
        **({"prefer_own_captions": True} if settings.prefer_own_captions else {}),
        **({"captions": str(settings.captions)} if settings.captions is not RuleCaptions.RULES else {}),
        **({"language": settings.language} if settings.language != CropSettings().language else {}),
        **({"sets": {one.name: _set_document(one) for one in settings.sets}} if settings.sets else {}),
    }


def _set_document(ratio_set: RatioSet) -> dict[str, object]:
    return {
        "ratios": {str(shot): str(ratio) for shot, ratio in ratio_set.ratios},
        "upscale": ratio_set.upscale,
        "fit": str(ratio_set.fit),
        "background": ratio_set.background,
    }


def _crop_document(crop: ShotRecord) -> dict[str, object]:
    """Return a crop of another person or of a ratio set."""
    return {
        "person": crop.person,
        "set": crop.set_name,
        **_shot_document(crop),
        **({"left_out": crop.left_out} if crop.left_out else {}),
        **({"padded": True} if crop.padded else {}),
    }


def _shot_document(shot: ShotRecord) -> dict[str, object]:
    document: dict[str, object] = {
        "shot": str(shot.shot),
        "box": _values(shot.box),
        "box_norm": _sides(shot.box_norm),
        "model_box": _sides(shot.model_box),
        "file": shot.file,
        "size": None if shot.size is None else _values(shot.size),
        "caption": shot.caption,
        **({"alt_text": shot.alt_text} if shot.alt_text else {}),
        **({"language": shot.language} if shot.language else {}),
        **({} if shot.facts is None else {"facts": facts_document(shot.facts)}),
        **({"keywords": list(shot.keywords)} if shot.keywords else {}),
        "score": _score(shot.score),
        "edited": shot.edited,
        "text_edited": shot.text_edited,
        "rejected": shot.rejected,
        "retouched": shot.retouched,
        "written": None if shot.written is None else _written_document(shot.written),
    }
    if shot.replaced is not None:
        document["replaced"] = _values(shot.replaced)
    return document


def _written_document(written: Written) -> dict[str, object]:
    document = _values(written)
    for name in ("alt_text", "headline", "keywords", "image_sha256", "xmp_sha256"):
        if not document[name]:
            del document[name]
    hashes = document.pop("hashes") or text_hashes(written.caption, written.alt_text)
    return {**document, **dict(zip(("caption_sha256", "alt_text_sha256"), hashes, strict=False))}


def _captions_document(captions: CaptionRecord) -> dict[str, object]:
    return {**_values(captions), "story_sha256": text_sha256(captions.written_story)}


def text_hashes(caption: str, alt_text: str) -> tuple[str, ...]:
    """Return hashes of the texts that shotcrop wrote, which the sidecar keeps next to them.

    Whoever replaces a caption everywhere in a sidecar also changes what it says that shotcrop wrote. The hashes tell.
    """
    return (text_sha256(caption), text_sha256(alt_text)) if alt_text else (text_sha256(caption),)


def are_as_written(
    caption: str, alt_text: str, written: tuple[str, str], caption_sha256: str | None, alt_text_sha256: str | None
) -> bool:
    """Say whether the texts of a shot are those that shotcrop wrote, for readers that parse only a part of a sidecar.

    Args:
        caption: Its caption.
        alt_text: Its alternative text.
        written: Caption and alternative text in `written`.
        caption_sha256: Hash of the caption there; None in sidecars of earlier versions.
        alt_text_sha256: Hash of the alternative text there; None if there is none.
    """
    if written != (caption, alt_text):
        return False
    return caption_sha256 is None or text_hashes(*written) == tuple(filter(None, (caption_sha256, alt_text_sha256)))


def _person_document(person: Person) -> dict[str, object]:
    return {
        **({} if person.name is None else {"name": person.name}),
        "probability": round(person.probability, SCORE_DIGITS),
        **({} if person.confidence is None else {"confidence": _score(person.confidence)}),
        "body": _sides(person.body),
        "head": _sides(person.head),
        "face": _sides(person.face),
        "shots": [_proposal_document(*one) for one in itertools.zip_longest(person.shots, person.facts)],
    }


def _proposal_document(shot: Shot, facts: CropFacts | None) -> dict[str, object]:
    proposal: dict[str, object] = {"shot": str(shot.type), "model_box": _sides(shot.box), "score": _score(shot.score)}
    return proposal if facts is None else {**proposal, "facts": facts_document(facts)}


def _score(score: float | None) -> float | None:
    return None if score is None else round(score, SCORE_DIGITS)


def _values(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _sides(box: Box | None) -> list[float] | None:
    return None if box is None else [round(side, BOX_DIGITS) for side in box]


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    import jsonschema_rs  # only here: a run that finds everything up to date parses no sidecar

    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA_PATH.read_text("utf-8")))


def _validate(document: object) -> None:
    errors = _validator().iter_errors(document)
    # The error nearest to the root says most. That no alternative of `oneOf` fits says least.
    error = min(errors, key=lambda error: ("oneOf" in error.schema_path, len(error.instance_path)), default=None)
    if error is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        raise ValueError(f"{place.lstrip('.') or 'the document'}: {error.message[:200]}")


def _sidecar(document: Mapping[str, Any]) -> Sidecar:
    source = SourceRecord(**document["source"])
    shots = tuple(_shot(shot, source) for shot in document["shots"])
    more_crops = tuple(_shot(crop, source) for crop in document.get("more_crops", ()))
    if len({crop.key for crop in more_crops} - {shot.key for shot in shots}) < len(more_crops):
        raise ValueError("more_crops has a crop twice")
    person, timing = document["lead"], document.get("timing_ms")
    return Sidecar(
        status=SidecarStatus(document["status"]),
        source=source,
        model=ModelIdentity(**document["model"]),
        settings=_settings(document["settings"]),
        main_person=MainPerson(*(None if person[part] is None else Box(*person[part]) for part in ("body", "head"))),
        reasoning=Reasoning(**document["reasoning"]),
        shots=shots,
        warnings=tuple(document["warnings"]),
        timing_ms=None if timing is None else Timing(**timing),
        shotcrop=document["shotcrop"],
        created=document.get("created"),
        # Sidecars of earlier versions lack these.
        people=tuple(map(_person, document.get("people", ()))),
        rejected=document.get("rejected", False),
        people_count=document.get("people_count"),
        captions=None if document.get("captions") is None else _captions(document["captions"]),
        more_crops=more_crops,
        lists_people="people" in document,
    )


def _person(person: Mapping[str, Any]) -> Person:
    body, head, face = (None if person[part] is None else Box(*person[part]) for part in ("body", "head", "face"))
    shots = tuple(
        Shot(ShotType(shot["shot"]), Box(*shot["model_box"]), score=shot["score"]) for shot in person["shots"]
    )
    facts = tuple(filter(None, (read_facts(shot["facts"]) for shot in person["shots"] if "facts" in shot)))
    return Person(
        body,
        head,
        face,
        person["probability"],
        shots,
        person.get("name"),
        person.get("confidence"),
        facts if len(facts) == len(shots) else (),
    )


def _settings(document: Mapping[str, Any]) -> CropSettings:
    aspects = document["aspect"]
    return CropSettings(
        format=CropFormat(document["format"]),
        quality=document["quality"],
        metadata=MetadataPolicy(document["metadata"]),
        xmp=_xmp_mode(document["xmp"]),
        framing=Framing(
            aspects=tuple((shot, Aspect.parse(aspects[shot])) for shot in SHOT_TYPES if shot in aspects),
            pad=document["pad"],
            min_size=document["min_size"],
        ),
        max_size=document["max_size"],
        lossless=document["lossless"],
        to_srgb=document.get("to_srgb", False),  # sidecars of earlier versions have none
        keywords=document.get("keywords", False),
        prefer_own_captions=document.get("prefer_own_captions", False),
        captions=RuleCaptions(document.get("captions", RuleCaptions.RULES)),
        language=document.get("language", CropSettings().language),
        sets=tuple(_ratio_set(name, values) for name, values in document.get("sets", {}).items()),
    )


def _ratio_set(name: str, document: Mapping[str, Any]) -> RatioSet:
    ratios = {ShotType(shot): Ratio.parse(text) for shot, text in document["ratios"].items()}
    how = {"upscale": document["upscale"], "fit": Fit(document["fit"]), "background": document["background"]}
    return replace(RatioSet.of(name, ratios), **how)


def _xmp_mode(value: bool | str) -> XmpMode:
    """Read where captions are written. Sidecars of earlier versions say whether there are XMP files."""
    return XmpMode(value) if isinstance(value, str) else XmpMode.SIDECAR if value else XmpMode.NONE


def is_moved(box: PixelBox, box_norm: Box, source: SourceRecord) -> bool:
    """Say whether somebody changed the box of a shot after shotcrop wrote it: then it no longer equals `box_norm`."""
    return to_pixels(box_norm, source.width, source.height) != box


def _captions(document: Mapping[str, Any]) -> CaptionRecord:
    values = dict(document)
    sha256 = values.pop("story_sha256", None)
    captions = CaptionRecord(**values)
    if sha256 in (None, text_sha256(captions.written_story)):
        return captions
    # What shotcrop wrote is unknown, but it was another story.
    return replace(captions, written_story="" if captions.story else " ")


def _written(document: Mapping[str, Any]) -> Written:
    values = {**document, "keywords": tuple(document.get("keywords", ()))}
    caption, alt_text = values.pop("caption_sha256", None), values.pop("alt_text_sha256", None)
    written, hashes = Written(**values), tuple(filter(None, (caption, alt_text)))
    if caption is None or hashes == text_hashes(written.caption, written.alt_text):
        return written
    return replace(written, hashes=hashes)


def _shot(shot: Mapping[str, Any], source: SourceRecord) -> ShotRecord:
    # In JSON Schema 3.0 is an integer, too.
    box = PixelBox(*(int(shot["box"][name]) for name in ("x", "y", "width", "height")))
    size = shot["size"]
    _, _, right, lower = box.corners
    if right > source.width or lower > source.height:
        raise ValueError(
            f"the box of {shot['shot']} is not inside the photo of {source.width} x {source.height} pixels"
        )
    box_norm = Box(*shot["box_norm"])
    # Absent in earlier versions, as is `rejected`.
    written, replaced, facts = shot.get("written"), shot.get("replaced"), shot.get("facts")
    record = ShotRecord(
        shot=ShotType(shot["shot"]),
        box=box,
        box_norm=box_norm,
        model_box=Box(*shot["model_box"]),
        file=shot["file"],
        size=None if size is None else FileSize(int(size["width"]), int(size["height"])),
        caption=shot["caption"],
        score=shot["score"],
        edited=shot["edited"] or is_moved(box, box_norm, source),
        rejected=shot.get("rejected", False),
        retouched=shot.get("retouched", False),
        written=None if written is None else _written(written),
        replaced=None if replaced is None else Replaced(**replaced),
        alt_text=shot.get("alt_text", ""),
        person=shot.get("person", MAIN),
        set_name=shot.get("set", DEFAULT_SET),
        left_out=shot.get("left_out", ""),
        padded=shot.get("padded", False),
        keywords=tuple(shot.get("keywords", ())),
        language=shot.get("language", ""),
        facts=None if facts is None else read_facts(facts),
    )
    # Earlier versions did not tell edited texts from an edited box: there, each edit may be one of texts.
    text_edited = shot.get("text_edited", shot["edited"]) or record.has_new_caption
    return replace(record, edited=record.edited or text_edited, text_edited=text_edited)
