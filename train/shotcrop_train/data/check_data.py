"""`shotcrop train check-data`: report what is wrong with a dataset, in words that its annotators understand.

An error must be fixed before the dataset can be used. A warning should be checked. A note counts what the dataset
holds. All thresholds are our own choice: careful annotations trigger almost none of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from shotcrop_cli.evaluation.dataset import Record, read_lines, read_row
from shotcrop_cli.evaluation.joint_cuts import cuts_chin
from shotcrop_cli.evaluation.main_person import main_face
from shotcrop_cli.evaluation.metrics import FACE_INSIDE, FACE_SHOWN
from shotcrop_cli.geometry import PERMILLE, visible_share
from shotcrop_cli.shots import FACINGS, NATIVE_SCALES, SETTINGS, SHOT_TYPES, Composition, ShotType
from shotcrop_train.data.photo_checks import PhotoChecks, Remark, Severity

ROW_FIELDS = (
    *("file_name", "source", "width", "height", "squashed"),
    *("annotation", "captions", "detections", "no_subject", "pseudo"),
)
ANNOTATION_FIELDS = ("people", "setting", "facing", "native_scale", "scene", "subject", "story", "shots")
SHOT_FIELDS = ("box", "caption", "accepted")
CHOICES = {"setting": SETTINGS, "facing": FACINGS, "native_scale": NATIVE_SCALES}
SENTENCES = ("scene", "subject", "story")

MOST_WORDS = 20
"""Longest caption in words: two more than the annotation guide allows."""
ENOUGH_TRIPLES = 50
"""With fewer triples, shares of settings and directions say nothing."""
RARE = 0.02
"""A model will hardly learn a setting or direction that a smaller share of the photos has."""

_NAMES = {
    ShotType.ESTABLISHING: re.compile(r"\bestablishing\b", re.IGNORECASE),
    ShotType.MEDIUM: re.compile(r"\bmedium[ -]shot\b", re.IGNORECASE),
    ShotType.CLOSE_UP: re.compile(r"\bclose[ _-]?up\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Args:
        line: Line of `metadata.jsonl`, None if it is about the whole dataset.
        photo: Name of the photo, empty if it is about the whole dataset.
        severity: `error`, `warning` or `note`.
        message: One line in an annotator's words.
    """

    line: int | None
    photo: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}" + (f", {self.photo}" if self.photo else "") + ": "
        return f"{where}{self.severity}: {self.message}"


def check(folder: Path) -> list[Finding]:
    """Check a dataset: every row, every photo, and the dataset as a whole.

    Args:
        folder: Holds the photos and `metadata.jsonl`.

    Returns:
        The findings in the order of the file, those about the whole dataset last. If none is an error,
        `shotcrop_cli.evaluation.dataset.read_dataset` can read the dataset.

    Raises:
        ShotcropError: There is no `metadata.jsonl`, or it is not text.
    """
    findings: list[Finding] = []
    records: list[Record] = []
    photos = PhotoChecks(folder)
    for line, text in read_lines(folder):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            findings.append(Finding(line, "", "error", f"this line is not JSON: {error}"))
            continue
        if not isinstance(row, dict):
            findings.append(Finding(line, "", "error", "this line must be one object in braces { }"))
            continue
        name = row["file_name"] if isinstance(row.get("file_name"), str) else ""
        remarks = [*_fields(row), *_annotation(row.get("annotation")), *photos.check(line, name, row)]
        # An error that was reported in plainer words already is not reported again, nor is what follows from it.
        broken = any(severity == "error" for severity, _ in remarks)
        try:
            record = read_row(folder, text)
        except (ValueError, OverflowError, RecursionError) as error:
            remarks += [] if broken else [("error", str(error))]
        else:
            records.append(record)
            remarks += [] if broken else _set(record)
        findings += [Finding(line, name, severity, message) for severity, message in remarks]
    return findings + [Finding(None, "", *remark) for remark in (*photos.unnamed(), *_balance(records))]


def _fields(row: Mapping[str, Any]) -> Iterator[Remark]:
    annotation = row.get("annotation")
    yield from _unknown(row, ROW_FIELDS, "the row")
    if isinstance(annotation, dict):
        yield from _unknown(annotation, ANNOTATION_FIELDS, "annotation")


def _unknown(entry: Mapping[str, Any], known: Sequence[str], where: str) -> Iterator[Remark]:
    for key in entry:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            advice = f"did you mean '{close[0]}'?" if close else f"known fields are {', '.join(known)}"
            yield "warning", f"{where} has an unknown field '{key}': {advice}"


def _annotation(annotation: object) -> Iterator[Remark]:
    if annotation is None:
        return
    if not isinstance(annotation, dict):
        yield "error", "annotation must be an object in braces { }"
        return
    for key, choices in CHOICES.items():
        value = annotation.get(key)
        if value is not None and value not in choices:
            yield "error", f"{key} must be one of {', '.join(choices)}, not {json.dumps(value)}"
    people = annotation.get("people")
    if people is not None and (isinstance(people, bool) or not isinstance(people, int) or people < 1):
        yield "error", f"people must be the number of people, 1 or more, not {json.dumps(people)}"
    if empty := [key for key in SENTENCES if not annotation.get(key)]:
        yield "warning", f"{', '.join(empty)}: empty, but the model learns to reason from it"
    shots = annotation.get("shots")
    if not isinstance(shots, dict):
        yield "error", "annotation.shots is missing: it holds establishing, medium and close_up"
        return
    for key in shots:
        if key not in tuple(map(str, SHOT_TYPES)):
            yield "error", f"there is no shot '{key}': the three shots are {', '.join(map(str, SHOT_TYPES))}"
    for kind in SHOT_TYPES:
        if not isinstance(shots.get(str(kind)), dict):
            yield "error", f"the {kind} shot is missing"
        else:
            yield from _shot(kind, shots[str(kind)])


def _shot(kind: ShotType, shot: Mapping[str, Any]) -> Iterator[Remark]:
    yield from _unknown(shot, SHOT_FIELDS, f"the {kind} shot")
    if (fault := _box_fault(shot.get("box"))) is not None:
        yield "error", f"{kind}: {fault}"
    caption = shot.get("caption", "")
    if not isinstance(caption, str):
        yield "error", f"{kind}: the caption must be text"
        return
    words = len(caption.split())
    if words == 0:
        yield "warning", f"{kind}: the caption is empty"
    if words > MOST_WORDS:
        yield "warning", f"{kind}: the caption has {words} words; write 6 to 18"
    if "<" in caption or ">" in caption:
        yield "warning", f"{kind}: remove < and > from the caption"
    for other, name in _NAMES.items():
        if other is not kind and (match := name.search(caption)):
            yield "warning", f"{kind}: the caption names another shot ('{match.group()}')"


def _box_fault(box: object) -> str | None:
    numbers = [side for side in box if isinstance(side, (int, float))] if isinstance(box, list) else []
    if not isinstance(box, list) or len(box) != 4 or len(numbers) != 4:
        return "the box must be four numbers, [left, top, right, bottom]"
    x0, y0, x1, y1 = numbers
    if min(numbers) >= 0 and max(numbers) <= 1:
        return f"the box {box} is too small to see: its sides run from 0 to {PERMILLE}, not from 0 to 1"
    if not (min(numbers) >= 0 and max(numbers) <= PERMILLE):
        return (
            f"the box {box} leaves the photo: its sides run from 0 to {PERMILLE}, whatever the photo's size in pixels"
        )
    if x0 > x1 or y0 > y1:
        return f"the box {box} is turned around: write [left, top, right, bottom], left before right, top before bottom"
    if x0 == x1 or y0 == y1:
        return f"the box {box} is empty"
    return None


def _set(record: Record) -> Iterator[Remark]:
    """Check the shots of a triple together, as far as a model learns from them."""
    if record.composition is None:
        return
    shots = [shot for shot, accepted in zip(record.composition.shots, record.accepted, strict=True) if accepted]
    for wide, tight in pairwise(shots):
        if tight.box.area >= wide.box.area:
            yield "error", f"the {tight.type} shot is not smaller than the {wide.type} shot: are they swapped?"
    for one, other in combinations(shots, 2):
        if one.caption and one.caption.casefold() == other.caption.casefold():
            yield "warning", f"{one.type} and {other.type} have the same caption: say what each box shows"
    if record.accepted[-1]:
        yield from _face(record, record.composition)


def _face(record: Record, composition: Composition) -> Iterator[Remark]:
    close_up = composition[ShotType.CLOSE_UP].box
    face = main_face(record.detections, close_up)
    shown = 0.0 if face is None else visible_share(face.box, close_up)
    if face is None or shown < FACE_SHOWN:
        return
    if cuts_chin(close_up, face):
        yield "warning", "the close-up cuts the chin: move its lower edge down to the collar"
    elif shown < FACE_INSIDE:
        yield "warning", f"the close-up cuts the face, it shows {shown:.0%} of it: make the box wider"


def _balance(records: Sequence[Record]) -> Iterator[Remark]:
    """Count what the dataset holds, and warn of what is too rare to be learned."""
    triples = [record for record in records if record.composition is not None]
    empty = sum(record.no_subject for record in records)
    bare = len(records) - len(triples) - empty
    kinds = f"{len(triples)} with three shots, {empty} without people, {bare} with neither"
    yield "note", f"{len(records)} rows can be read: {kinds}"
    if not triples:
        return
    learned = [f"{kind} {sum(record.accepted[place] for record in triples)}" for place, kind in enumerate(SHOT_TYPES)]
    yield "note", f"shots to learn from: {', '.join(learned)}"
    for key in ("setting", "facing"):
        counts = Counter(
            getattr(record.composition.grounding, key)
            for record in triples
            if record.composition is not None and record.composition.grounding is not None
        )
        given = [f"{value} {counts[value]}" for value in CHOICES[key]]
        yield "note", f"{key}: {', '.join(given)}, not given {counts[None]}"
        if len(triples) >= ENOUGH_TRIPLES:
            rare = [value for value in CHOICES[key] if counts[value] < RARE * len(triples)]
            if rare:
                yield "warning", f"{key}: hardly any photo is {', '.join(rare)}; add more of these"
