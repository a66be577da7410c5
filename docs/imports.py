"""Draw who imports whom: `python docs/imports.py` writes docs/architecture.svg and counts boxes and arrows.

A box is a top-level module or sub-package of one of the three packages. An arrow is at least one import statement
between two boxes, wherever it is in a module. LAYERS is the rule that the tests check: a box imports boxes of its own
layer and of lower ones, and no two boxes import each other. The only exception are the bodies of commands, which load
the training and export packages when they run.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
FOLDERS = {"shotcrop_export": "export", "shotcrop_train": "train", "shotcrop_cli": "src"}
LAYERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("shotcrop_export", "export to ONNX", ("large", "nano", "record")),
    (
        "shotcrop_train",
        "stages",
        ("pipeline", "stages", "composer", "grpo", "ssft", "sft", "pseudo_label", "train_detector"),
    ),
    ("shotcrop_train", "parts of stages", ("rewards", "pseudo", "runs", "scorers", "estimates")),
    (
        "shotcrop_train",
        "checkpoints",
        ("torch_composer", "checkpoints", "checkpoint_folders", "text_base", "weighted_trainer"),
    ),
    ("shotcrop_train", "network and data", ("nano", "data", "recipe")),
    ("shotcrop_cli", "command line", ("main", "commands")),
    (
        "shotcrop_cli",
        "runs and checks",
        (
            "api",
            "watch",
            "runs",
            "checkup",
            "pipeline",
            "remote",
            "ray_engine",
            "cropper",
            "cli",
            "review",
            "run_options",
            "learning",
        ),
    ),
    ("shotcrop_cli", "models and scores", ("evaluation", "report", "interchange", "model", "captions")),
    ("shotcrop_cli", "photo library", ("storage", "library", "sidecar", "settings_changes", "crop_settings")),
    ("shotcrop_cli", "pixels", ("imaging", "framing", "head_framing", "ratio_sets", "subjects", "resources")),
    ("shotcrop_cli", "nouns and geometry", ("body", "geometry", "crop_facts", "shots", "install_hint", "errors")),
)
"""Package, name and boxes of each layer, from top to bottom."""

Arrow = tuple[str, str]


@dataclass(frozen=True)
class Imports:
    """The boxes of a source tree and the imports between them.

    Args:
        boxes: Such as `shotcrop_cli.model`.
        arrows: Pairs of the importing and the imported box.
        at_run_time: Arrows from commands up to the packages that they start.
    """

    boxes: frozenset[str]
    arrows: frozenset[Arrow]
    at_run_time: frozenset[Arrow]


def read(root: Path = ROOT) -> Imports:
    """Read the imports of a source tree."""
    modules = {
        ".".join(path.relative_to(root / folder).with_suffix("").parts).removesuffix(".__init__"): path
        for package, folder in FOLDERS.items()
        for path in sorted((root / folder / package).rglob("*.py"))
    }
    boxes = {box for module in modules if (box := _box(module, modules))}
    arrows: set[Arrow] = set()
    at_run_time: set[Arrow] = set()
    for module, path in modules.items():
        source = _box(module, modules)
        for name, in_function in _imported(ast.parse(path.read_text("utf-8"))):
            target = _box(name, modules)
            if source is None or target is None or source == target:
                continue
            upwards = list(FOLDERS).index(target.split(".")[0]) < list(FOLDERS).index(source.split(".")[0])
            (at_run_time if upwards and in_function else arrows).add((source, target))
    return Imports(frozenset(boxes), frozenset(arrows), frozenset(at_run_time))


def _box(name: str, modules: Mapping[str, Path]) -> str | None:
    """Return the box of a module or of a name in it; the packages' own `__init__` and `__main__` belong to none."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    parts = name.split(".")
    return None if len(parts) < 2 or parts[1].startswith("__") else ".".join(parts[:2])


def _imported(node: ast.AST, in_function: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the full name of everything that is imported below a node, and whether that is in a function's body."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.module is not None:
            yield from ((f"{child.module}.{alias.name}", in_function) for alias in child.names)
        elif isinstance(child, ast.Import):
            yield from ((alias.name, in_function) for alias in child.names)
        yield from _imported(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def rank(box: str) -> int:
    """Return the number of a box's layer, 0 at the top.

    Raises:
        KeyError: LAYERS does not name the box.
    """
    for number, (package, _, names) in enumerate(LAYERS):
        if box in (f"{package}.{name}" for name in names):
            return number
    raise KeyError(f"{box} is in no layer: add it to LAYERS in docs/imports.py")


def upward(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows that break the rule of the layers."""
    return sorted(arrow for arrow in arrows if rank(arrow[1]) < rank(arrow[0]))


def circles(arrows: Iterable[Arrow]) -> list[list[str]]:
    """Return groups of boxes that import each other, each sorted."""
    reached = _reached(arrows)
    groups = {tuple(sorted({box} | {other for other in reached[box] if box in reached[other]})) for box in reached}
    return [list(group) for group in sorted(groups) if len(group) > 1]


def reduced(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows that no chain of others implies."""
    arrows = set(arrows)
    reached = _reached(arrows)
    direct: dict[str, set[str]] = {box: {b for a, b in arrows if a == box} for box in reached}
    return sorted((a, b) for a, b in arrows if not any(b in reached[other] for other in direct[a] - {b}))


def _reached(arrows: Iterable[Arrow]) -> dict[str, set[str]]:
    """Return all boxes that can be reached from each one."""
    direct: dict[str, set[str]] = {}
    for a, b in arrows:
        direct.setdefault(a, set()).add(b)
        direct.setdefault(b, set())
    reached = {}
    for box in direct:
        seen: set[str] = set()
        waiting = [box]
        while waiting:
            for other in direct[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reached[box] = seen
    return reached


WIDTH, MARGIN, LABELS = 940, 16, 168
BOX, GAP, ROW, BAND = 24, 22, 50, 12
"""Heights of a box, of the gap beside it, of a row, and of what a layer has above its first row, in pixels."""
_COLOURS = {"shotcrop_export": "#fdf1e3", "shotcrop_train": "#eaf4ea", "shotcrop_cli": "#e8f0fa"}


@dataclass
class Spot:
    """A place in a row: a box, or where an arrow passes the row."""

    width: float
    box: str = ""
    x: float = 0.0
    near: list[Spot] = field(default_factory=list)

    @property
    def middle(self) -> float:
        """The mean of the places it is connected to."""
        return sum(spot.x for spot in self.near) / len(self.near) if self.near else self.x


def draw(imports: Imports) -> str:
    """Return the picture as SVG: layers from top to bottom, and the arrows that no chain of others implies."""
    arrows = reduced(imports.arrows)
    rows, layer_of = _rows(imports)
    row_of = {box: number for number, row in enumerate(rows) for box in row}
    spots = {box: Spot(7.4 * len(box.split(".")[1]) + 22, box) for box in row_of}
    grid: list[list[Spot]] = [[spots[box] for box in row] for row in rows]
    chains = []
    for a, b in arrows:
        passing = [Spot(10.0) for _ in range(row_of[a] + 1, row_of[b])]
        chain = [spots[a], *passing, spots[b]]
        for one, other in itertools.pairwise(chain):
            one.near.append(other)
            other.near.append(one)
        for number, spot in enumerate(passing, row_of[a] + 1):
            grid[number].append(spot)
        chains.append(chain)
    _arrange(grid)
    tops = [0.0] * len(rows)
    y = float(MARGIN + BAND)
    for number in range(len(rows)):
        y += BAND if number and layer_of[number] != layer_of[number - 1] else 0
        y += BAND if number and LAYERS[layer_of[number]][0] != LAYERS[layer_of[number - 1]][0] else 0
        tops[number] = y
        y += ROW
    return _svg(imports, rows, layer_of, tops, spots, chains, row_of, len(arrows), y)


def _rows(imports: Imports) -> tuple[list[list[str]], list[int]]:
    """Split each layer into rows, so that no arrow stays within a row; return also the layer of each row."""
    rows: list[list[str]] = []
    layer_of = []
    for number, (package, _, names) in enumerate(LAYERS):
        left = [box for name in names if (box := f"{package}.{name}") in imports.boxes]
        while left:
            top = [box for box in left if not any((other, box) in imports.arrows for other in left)] or left
            rows.append(top)
            layer_of.append(number)
            left = [box for box in left if box not in top]
    return rows, layer_of


def _arrange(grid: Sequence[list[Spot]]) -> None:
    """Order the spots of each row and place them, so that arrows are short and cross rarely."""
    for row in grid:
        for number, spot in enumerate(row):
            spot.x = LABELS + (WIDTH - LABELS) * (number + 0.5) / len(row)
    for turn in range(40):
        for row in grid if turn % 2 == 0 else reversed(grid):
            wanted = {id(spot): spot.middle for spot in row}
            row.sort(key=lambda spot, wanted=wanted: (wanted[id(spot)], spot.box))
            _place(row, [wanted[id(spot)] for spot in row])
        # Rows are placed one after another, which makes the whole drift to one side.
        spots = [spot for row in grid for spot in row]
        drift = (LABELS + WIDTH - MARGIN) / 2 - sum(spot.x for spot in spots) / len(spots)
        for spot in spots:
            spot.x += drift
    for row in grid:
        _place(row, [spot.x for spot in row])


def _place(row: Sequence[Spot], wanted: Sequence[float]) -> None:
    """Set the places of a row as near as possible to those wanted, without overlaps and inside the picture."""
    x = -float("inf")
    for spot, place in zip(row, wanted, strict=True):
        spot.x = max(place, x + spot.width / 2)
        x = spot.x + spot.width / 2 + GAP
    back = sum(spot.x - place for spot, place in zip(row, wanted, strict=True)) / len(row)
    first, last = row[0], row[-1]
    back = max(back, last.x + last.width / 2 - WIDTH + MARGIN)
    back = min(back, first.x - first.width / 2 - LABELS)
    for spot in row:
        spot.x -= back


def _svg(
    imports: Imports,
    rows: Sequence[Sequence[str]],
    layer_of: Sequence[int],
    tops: Sequence[float],
    spots: Mapping[str, Spot],
    chains: Sequence[Sequence[Spot]],
    row_of: Mapping[str, int],
    drawn: int,
    height: float,
) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 34:.0f}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        "<title>Which parts of shotcrop import which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#5b6b7b"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height + 34:.0f}" fill="#fff"/>',
    ]
    for number, (package, name, _) in enumerate(LAYERS):
        own = [tops[row] for row in range(len(rows)) if layer_of[row] == number]
        if not own:
            continue
        top, bottom = own[0] - BAND / 2 - 4, own[-1] + ROW - BAND / 2 + 2
        lines.append(
            f'<rect x="{MARGIN / 2}" y="{top:.0f}" width="{WIDTH - MARGIN}" height="{bottom - top:.0f}" rx="6" '
            f'fill="{_COLOURS[package]}"/>'
        )
        if number == 0 or LAYERS[number - 1][0] != package:
            lines.append(f'<text x="{MARGIN}" y="{top + 16:.0f}" font-weight="bold">{package}</text>')
        lines.append(f'<text x="{MARGIN}" y="{top + 34:.0f}" fill="#5b6b7b">{name}</text>')
    for chain in chains:
        first = row_of[chain[0].box]
        path = f"M{chain[0].x:.1f} {tops[first] + BOX:.1f}"
        for number, (one, other) in enumerate(itertools.pairwise(chain), first):
            above = tops[number] + BOX
            below = tops[number + 1] - (2 if other.box else 0)
            bend = (below - above) / 2
            path += f"C{one.x:.1f} {above + bend:.1f} {other.x:.1f} {below - bend:.1f} {other.x:.1f} {below:.1f}"
            path += "" if other.box else f"V{tops[number + 1] + BOX:.1f}"
        lines.append(f'<path d="{path}" fill="none" stroke="#5b6b7b" stroke-opacity=".75" marker-end="url(#tip)"/>')
    for box, number in row_of.items():
        spot = spots[box]
        lines.append(
            f'<rect x="{spot.x - spot.width / 2:.1f}" y="{tops[number]:.1f}" width="{spot.width:.1f}" '
            f'height="{BOX}" rx="4" fill="#fff" stroke="#2c3e50"/>'
        )
        lines.append(
            f'<text x="{spot.x:.1f}" y="{tops[number] + 17:.1f}" text-anchor="middle">{box.split(".")[1]}</text>'
        )
    lines.append(
        f'<text x="{MARGIN}" y="{height + 14:.0f}" fill="#5b6b7b">{len(imports.boxes)} boxes, {len(imports.arrows)} '
        f"imports between them. Drawn are the {drawn} that no chain of others implies.</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    """Write the picture, or count what another source tree has."""
    parser = argparse.ArgumentParser(description="Draw docs/architecture.svg from the import statements.")
    parser.add_argument("root", nargs="?", type=Path, help="only count the boxes and arrows of this source tree")
    root = parser.parse_args().root
    imports = read(root or ROOT)
    print(f"{len(imports.boxes)} boxes, {len(imports.arrows)} arrows, {len(imports.at_run_time)} more from commands")
    if root is None:
        PICTURE.write_text(draw(imports), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
