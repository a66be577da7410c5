"""Draw the curves of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_train.runs.run_log import read_log


@dataclass(frozen=True)
class Panel:
    """One diagram.

    Args:
        title: Title of the diagram.
        prefixes: It shows every number of the log whose name starts with one of these.
    """

    title: str
    prefixes: tuple[str, ...]


SFT_PANELS = (Panel("training loss", ("loss",)), Panel("held-back IoU", ("held_iou",)))


def draw_curves(log: Path, target: Path, panels: Sequence[Panel] = SFT_PANELS) -> None:
    """Draw the numbers of a `log.jsonl` over the steps into a PNG, with the panels side by side.

    If a number was logged twice at one step, because the run was interrupted and continued, the last value counts.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_log(log)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.5 * len(panels), 4), layout="constrained", squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        names = sorted({name for line in lines for name in line if name.startswith(panel.prefixes)})
        for name in names:
            points = {line["step"]: line[name] for line in lines if name in line}
            axis.plot(sorted(points), [points[step] for step in sorted(points)], label=name)
        axis.set(title=panel.title, xlabel="step")
        axis.grid(alpha=0.3)
        if names:
            axis.legend(fontsize=8)
    figure.savefig(target, dpi=120)
    pyplot.close(figure)
