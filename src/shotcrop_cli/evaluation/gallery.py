"""The failure gallery: the photos where a model was furthest from the expert, as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lxml import html
from lxml.builder import E

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.geometry import iou
from shotcrop_cli.report.entry import open_scaled
from shotcrop_cli.report.sheet import SHOT_COLOURS, in_words
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, NoSubject, ShotType

BOUNDS = (720, 540)
"""Greatest width and height of the photos on the page, in pixels."""

QUALITY = 80
"""JPEG quality of these photos."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 2rem; max-width: 74rem; color: #202022 }
figure { display: flex; gap: 1.5rem; margin: 0 0 2rem; padding-top: 1.5rem; border-top: 1px solid #deded9 }
figcaption { flex: 1; min-width: 18rem }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere }
.photo { position: relative; align-self: flex-start; line-height: 0 }
svg { position: absolute; inset: 0; width: 100%; height: 100%; filter: drop-shadow(0 0 1px white) }
rect { fill: none; stroke-width: 3; vector-effect: non-scaling-stroke }
.expert { stroke-dasharray: 9 6 }
.quiet { color: #76767a }
td { padding: .2rem .8rem .2rem 0; vertical-align: top }
"""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A photo and a model's answer to it.

    Args:
        record: The photo and the expert's triple; without a triple it shows no people.
        answer: The model's answer.
    """

    record: Record
    answer: Answer

    @property
    def iou(self) -> float:
        """Mean IoU over the three shots; 0 where either side has none."""
        return fmean(self.overlap(kind) for kind in SHOT_TYPES)

    def overlap(self, kind: ShotType) -> float:
        """Return the IoU of one shot; 0 where either side has none."""
        truth, answer = self.record.composition, self.answer
        return iou(truth[kind].box, answer[kind].box) if truth and isinstance(answer, Composition) else 0.0

    @property
    def invents_people(self) -> bool:
        """Whether the photo shows no people and the model cropped some."""
        return self.record.no_subject and isinstance(self.answer, Composition)


def worst(records: Sequence[Record], answers: Sequence[Answer], count: int) -> list[Exhibit]:
    """Choose the photos to show.

    Args:
        records: Judged photos.
        answers: One per record, in the same order.
        count: Greatest number of photos with an expert's triple.

    Returns:
        The photos without people in which the model found some, then those furthest from the expert's, worst first.
    """
    exhibits = [Exhibit(*pair) for pair in zip(records, answers, strict=True)]
    judged = sorted((one for one in exhibits if one.record.composition is not None), key=lambda one: one.iou)
    return [one for one in exhibits if one.invents_people] + judged[:count]


def gallery_page(exhibits: Iterable[Exhibit], title: str) -> str:
    """Write the page, with the photos in it.

    Args:
        exhibits: The photos in the order of the page; they are opened one by one.
        title: Heading of the page.
    """
    legend = [E.span(in_words(kind), style=f"color: {_colour(kind)}; margin-right: 1rem") for kind in SHOT_TYPES]
    page = E.html(
        E.head(E.meta(charset="utf-8"), E.title(title), E.style(STYLE)),
        E.body(
            E.h1(title),
            E.p(*legend, E.span("Dashed lines are the expert's boxes, solid lines the model's.", {"class": "quiet"})),
            *map(_figure, exhibits),
        ),
        lang="en",
    )
    text: str = html.tostring(page, doctype="<!DOCTYPE html>", encoding="unicode")
    return text


def _figure(exhibit: Exhibit) -> Any:
    record, answer = exhibit.record, exhibit.answer
    return E.figure(
        _photo(exhibit),
        E.figcaption(
            E.h2(record.path.name),
            E.p(f"{record.source or 'source unknown'}, {_verdict(exhibit)}", {"class": "quiet"}),
            E.table(*(_row(exhibit, kind) for kind in SHOT_TYPES)),
            *([E.p(str(answer))] if isinstance(answer, AnswerError) else []),
        ),
    )


def _verdict(exhibit: Exhibit) -> str:
    if exhibit.invents_people:
        return "no people are in it, and the model found some"
    if isinstance(exhibit.answer, NoSubject):
        return "the model found no people"
    return f"mean IoU {exhibit.iou:.2f}"


def _row(exhibit: Exhibit, kind: ShotType) -> Any:
    truth, answer = exhibit.record.composition, exhibit.answer
    cells = []
    if isinstance(answer, Composition):
        shot = answer[kind]
        figures = [f"IoU {exhibit.overlap(kind):.2f}"] if truth else []
        figures += [] if shot.score is None else [f"score {shot.score:.2f}"]
        cells += [E.p(shot.caption or "no caption", style="margin: 0"), E.p(", ".join(figures))]
    if truth is not None and truth[kind].caption:
        cells.append(E.p(f"The expert's: {truth[kind].caption}", {"class": "quiet"}, style="margin: 0"))
    return E.tr(E.td(in_words(kind), style=f"color: {_colour(kind)}; white-space: nowrap"), E.td(*cells))


def _photo(exhibit: Exhibit) -> Any:
    picture = open_scaled(exhibit.record.path, BOUNDS)
    if picture is None:
        return E.div("the photo cannot be read", {"class": "photo"})
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return E.div(
        E.img(src=f"data:image/jpeg;base64,{data}", width=str(picture.width), height=str(picture.height), alt=""),
        E.svg(*_rectangles(exhibit), viewBox="0 0 1 1", preserveAspectRatio="none"),
        {"class": "photo"},
    )


def _rectangles(exhibit: Exhibit) -> Iterator[Any]:
    for whose, triple in (("expert", exhibit.record.composition), ("model", exhibit.answer)):
        if isinstance(triple, Composition):
            for shot in triple.shots:
                yield _rectangle(shot.box, _colour(shot.type), whose)


def _rectangle(box: Box, colour: str, whose: str) -> Any:
    sides = {"x": box.x0, "y": box.y0, "width": box.width, "height": box.height}
    return E.rect({name: f"{value:.4f}" for name, value in sides.items()}, {"class": whose, "stroke": colour})


def _colour(kind: ShotType) -> str:
    return "#{:02x}{:02x}{:02x}".format(*SHOT_COLOURS[kind])
