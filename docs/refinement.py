"""Draw what the refinement of the default model does: `PYTHONPATH=tests python docs/refinement.py`.

The script writes docs/refinement.svg. Each panel shows drawn figures, a crop with one fault, and the crop after the
refinement. The costs are those that a model has by default, where a panel names no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from figures import Figure, scene_of
from shotcrop_cli.model.nano.facts import gather_facts, to_even
from shotcrop_cli.model.nano.faults import ShotSize, iou
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.refinement import refine
from shotcrop_cli.model.nano.scene import Floats, Scene

PICTURE = Path(__file__).resolve().parent / "refinement.svg"
WIDE = (0.0, 0.0, 1.0, 1.0)
ASPECT = 1.5
"""Of all drawn photos."""

Sides = tuple[float, float, float, float]
Measure = Callable[["Example", Floats], float]


@dataclass(frozen=True, eq=False)
class Example:
    """A crop with a fault.

    Args:
        title: What is wrong.
        figures: The people; the main person comes first.
        medium: The composer's medium shot.
        close_up: Its close-up.
        shot: Which of them has the fault.
        amount: What is measured of a crop, in words.
        measure: Measures it.
        hands: Boxes of hands.
        animals: Boxes of animals.
        objects: Boxes of held objects.
        costs: Costs of faults that differ from the default.
    """

    title: str
    figures: tuple[Figure, ...]
    medium: Sides
    close_up: Sides
    shot: ShotSize
    amount: str
    measure: Measure
    hands: tuple[Sides, ...] = ()
    animals: tuple[Sides, ...] = ()
    objects: tuple[Sides, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def scene(self) -> Scene:
        """The drawn photo as a detector sees it."""
        sure = [[(*box, 0.9) for box in boxes] for boxes in (self.hands, self.animals, self.objects)]
        return scene_of(*self.figures, aspect=ASPECT, hands=sure[0], animals=sure[1], objects=sure[2])

    @property
    def before(self) -> Floats:
        """The composer's triple (3, 4)."""
        return np.array([WIDE, self.medium, self.close_up], np.float32)

    @property
    def after(self) -> Floats:
        """The refined triple (3, 4)."""
        return refine(self.scene, (0,), self.before, replace(FaultCosts(), **self.costs))

    def measured(self) -> tuple[float, float]:
        """Return the measure before and after."""
        return self.measure(self, self.before), self.measure(self, self.after)


def inside(part: Sequence[float] | Floats, box: Floats) -> float:
    """Return the share of a box (4,) inside another."""
    width, height = (min(part[i + 2], box[i + 2]) - max(part[i], box[i]) for i in range(2))
    return float(max(width, 0) * max(height, 0) / ((part[2] - part[0]) * (part[3] - part[1])))


def head_inside(person: int) -> Measure:
    """Measure the share of a head inside the crop."""
    return lambda one, triple: inside(one.scene.head[person], triple[one.shot])


def thing_inside(name: str) -> Measure:
    """Measure the share of the first hand, animal or object inside the crop."""
    return lambda one, triple: inside(getattr(one, name)[0], triple[one.shot])


def body_share(one: Example, triple: Floats) -> float:
    """Measure the share of the crop that the second person's body fills."""
    box = triple[one.shot]
    body = one.scene.body[1]
    return inside(body, box) * float((body[2:] - body[:2]).prod() / (box[2:] - box[:2]).prod())


def knee_distance(one: Example, triple: Floats) -> float:
    """Measure how far the lower edge is from the nearest knee, in heads."""
    knees = one.scene.joints[0, 8:10, 1]
    return float(np.abs(knees - triple[one.shot, 3]).min() / one.figures[0].head)


def feet_distance(one: Example, triple: Floats) -> float:
    """Measure how far the lower edge is below the soles, in heads; negative if it cuts the feet."""
    return float((triple[one.shot, 3] - one.scene.body[0, 3]) / one.figures[0].head)


def headroom(one: Example, triple: Floats) -> float:
    """Measure the gap above the main person's head, as a share of the crop's height."""
    box = triple[one.shot]
    return float((one.scene.head[0, 1] - box[1]) / (box[3] - box[1]))


def room_in_front(one: Example, triple: Floats) -> float:
    """Measure the share of the crop's width in front of eyes that look right."""
    box = triple[one.shot]
    eyes = gather_facts(one.scene, [(0,)]).eyes[0, 0] / ASPECT
    return float((box[2] - eyes) / (box[2] - box[0]))


def likeness(_one: Example, triple: Floats) -> float:
    """Measure the IoU of medium shot and close-up."""
    even = to_even(triple, ASPECT)
    return float(iou(even[ShotSize.CLOSE_UP], even[ShotSize.MEDIUM]))


def ratio(one: Example, triple: Floats) -> float:
    """Measure the crop's width / height."""
    box = triple[one.shot]
    return float(ASPECT * (box[2] - box[0]) / (box[3] - box[1]))


STANDING = Figure(0.42, 0.2, 0.1, look=None)
GOOD_MEDIUM, GOOD_CLOSE_UP = (0.28, 0.16, 0.56, 0.68), (0.35, 0.18, 0.49, 0.4)
MEDIUM, CLOSE_UP = ShotSize.MEDIUM, ShotSize.CLOSE_UP
RAISED = 4.0
"""Cost of the faults that weigh less than a move by default, so that the picture shows them."""
EXAMPLES = (
    Example(
        "A bystander's head is cut",
        (Figure(0.4, 0.2, 0.12, look=None), Figure(0.57, 0.2, 0.12, look=None)),
        (0.25, 0.15, 0.57, 0.75),
        (0.33, 0.18, 0.47, 0.42),
        MEDIUM,
        "of the head inside",
        head_inside(1),
    ),
    Example(
        "The main person's head is cut",
        (Figure(0.42, 0.2, 0.14, look=None),),
        (0.24, 0.14, 0.6, 0.9),
        (0.34, 0.25, 0.5, 0.5),
        CLOSE_UP,
        "of the head inside",
        head_inside(0),
    ),
    Example(
        "A body is left without its head",
        (Figure(0.42, 0.34, 0.1, look=None), Figure(0.62, 0.02, 0.1, look=None)),
        (0.29, 0.29, 0.557, 0.8),
        (0.35, 0.31, 0.49, 0.53),
        MEDIUM,
        "of the crop is that body",
        body_share,
    ),
    Example(
        "An animal is cut",
        (STANDING,),
        (0.28, 0.16, 0.6, 0.68),
        GOOD_CLOSE_UP,
        MEDIUM,
        "of the animal inside",
        thing_inside("animals"),
        animals=((0.57, 0.48, 0.64, 0.66),),
    ),
    Example(
        "A held object is cut",
        (STANDING,),
        (0.28, 0.16, 0.58, 0.68),
        GOOD_CLOSE_UP,
        MEDIUM,
        "of the object inside",
        thing_inside("objects"),
        objects=((0.56, 0.4, 0.6, 0.52),),
    ),
    Example(
        "A hand is cut",
        (STANDING,),
        (0.28, 0.16, 0.572, 0.68),
        GOOD_CLOSE_UP,
        MEDIUM,
        "of the hand inside",
        thing_inside("hands"),
        hands=((0.56, 0.5, 0.585, 0.55),),
    ),
    Example(
        "The lower edge is at the knees",
        (Figure(0.42, 0.1, 0.1, look=None, joints=True),),
        (0.22, 0.05, 0.62, 0.65),
        (0.35, 0.08, 0.49, 0.3),
        MEDIUM,
        "heads between edge and knees",
        knee_distance,
    ),
    Example(
        "The feet are cut",
        (Figure(0.42, 0.1, 0.1, look=None),),
        (0.2, 0.04, 0.64, 0.83),
        (0.35, 0.08, 0.49, 0.3),
        MEDIUM,
        "heads between soles and edge",
        feet_distance,
    ),
    Example(
        "Too little headroom",
        (STANDING,),
        (0.28, 0.202, 0.56, 0.68),
        GOOD_CLOSE_UP,
        MEDIUM,
        "above the head",
        headroom,
    ),
    Example(
        "Too much headroom",
        (Figure(0.42, 0.4, 0.1, look=None),),
        (0.24, 0.12, 0.6, 0.85),
        (0.35, 0.38, 0.49, 0.6),
        MEDIUM,
        "above the head",
        headroom,
        costs={"headroom": RAISED},
    ),
    Example(
        "No room in front of a turned head",
        (Figure(0.5, 0.2, 0.12, look=1.0),),
        (0.26, 0.14, 0.56, 0.74),
        (0.42, 0.17, 0.58, 0.42),
        MEDIUM,
        "in front of the eyes",
        room_in_front,
        costs={"look_room": RAISED},
    ),
    Example(
        "Medium shot and close-up are alike",
        (STANDING,),
        (0.31, 0.16, 0.53, 0.5),
        (0.31, 0.17, 0.53, 0.5),
        CLOSE_UP,
        "IoU with the medium shot",
        likeness,
        costs={"distinct": RAISED},
    ),
    Example(
        "The crop is a narrow strip",
        (STANDING,),
        (0.345, 0.16, 0.495, 0.75),
        (0.36, 0.18, 0.48, 0.4),
        MEDIUM,
        "width / height",
        ratio,
        costs={"aspect": RAISED},
    ),
)

PANEL, GAP, COLUMNS = (270.0, 180.0), 18.0, 3
HEADER, LEGEND = 36.0, 28.0
STYLE = """
  text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold }
  .photo { fill: #f2f2ee; stroke: #999 } .other { opacity: .45 }
  .figure { fill: none; stroke: #556; stroke-width: 3; stroke-linecap: round } .head { fill: #dcb; stroke: #556 }
  .thing { fill: #9b8; stroke: #453 } .before { fill: none; stroke: #c22; stroke-width: 2; stroke-dasharray: 5 3 }
  .after { fill: none; stroke: #176; stroke-width: 2.5 }
"""


def draw(examples: Sequence[Example] = EXAMPLES) -> str:
    """Return the picture as SVG."""
    rows = -(-len(examples) // COLUMNS)
    width = COLUMNS * (PANEL[0] + GAP) + GAP
    height = rows * (PANEL[1] + HEADER + GAP) + LEGEND + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">',
        "<title>Crops of drawn figures before and after the refinement</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
        f'<path class="before" d="M{GAP:g} 20h30"/><text x="{GAP + 36:g}" y="24">proposed by the network</text>',
        f'<path class="after" d="M{GAP + 210:g} 20h30"/><text x="{GAP + 246:g}" y="24">after the refinement</text>',
        f'<text x="{GAP + 420:g}" y="24">* at a cost of {RAISED:g}, more than the default</text>',
    ]
    for number, one in enumerate(examples):
        x = GAP + number % COLUMNS * (PANEL[0] + GAP)
        y = LEGEND + GAP + number // COLUMNS * (PANEL[1] + HEADER + GAP)
        parts.append(f'<g transform="translate({x:g} {y:g})">{_panel(one)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(one: Example) -> str:
    before, after = one.measured()
    shown = f"{before:.2f} to {after:.2f} {one.amount}"
    title = one.title + (" *" if one.costs else "")
    scene = one.scene
    people = [_figure(scene, person) for person in reversed(range(len(scene)))]
    things = [_box("thing", box) for box in (*one.hands, *one.animals, *one.objects)]
    return "\n".join(
        [
            f'<text class="title" y="12">{escape(title)}</text><text y="27">{escape(shown)}</text>',
            f'<svg y="{HEADER:g}" width="{PANEL[0]:g}" height="{PANEL[1]:g}">',
            '<rect class="photo" width="100%" height="100%"/>',
            *people,
            *things,
            _box("before", one.before[one.shot]),
            _box("after", one.after[one.shot]),
            "</svg>",
        ]
    )


def _box(kind: str, box: Sequence[float] | Floats) -> str:
    x0, y0, x1, y1 = (float(side) * PANEL[axis % 2] for axis, side in enumerate(box))
    return f'<rect class="{kind}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>'


def _figure(scene: Scene, person: int) -> str:
    """Draw a person as a head and a few lines, in head units around the crown."""
    x0, y0, x1, y1 = (float(side) * PANEL[axis % 2] for axis, side in enumerate(scene.head[person]))
    x, head = (x0 + x1) / 2, y1 - y0

    def path(*points: tuple[float, float]) -> str:
        return "M" + "L".join(f"{x + head * across:.1f} {y0 + head * down:.1f}" for across, down in points)

    lines = [
        path((0, 1), (0, 4)),
        path((-0.9, 4), (-0.7, 1.5), (0.7, 1.5), (0.9, 4)),
        path((-0.5, 7.4), (-0.4, 4), (0.4, 4), (0.5, 7.4)),
    ]
    nose = ""
    if not np.isnan(scene.landmarks[person, 2, 0]):
        tip = float(scene.landmarks[person, 2, 0]) * PANEL[0]
        side = 0.45 if tip > x else -0.45
        nose = f'<path class="figure" d="{path((side * 0.8, 0.5), (side * 1.3, 0.6))}"/>'
    kind = "" if person == 0 else ' class="other"'
    body = "".join(f'<path class="figure" d="{line}"/>' for line in lines)
    oval = f'<ellipse class="head" cx="{x:.1f}" cy="{(y0 + y1) / 2:.1f}" rx="{(x1 - x0) / 2:.1f}" ry="{head / 2:.1f}"/>'
    return f"<g{kind}>{body}{oval}{nose}</g>"


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
    for example in EXAMPLES:
        old, new = example.measured()
        print(f"{example.title}: {old:.2f} to {new:.2f} {example.amount}")
