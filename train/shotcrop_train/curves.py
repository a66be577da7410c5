"""Loss and evaluation curves of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curves(log: Path, target: Path) -> None:
    """Draw the losses and the held-back IoUs of a `log.jsonl` over the steps, side by side, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, prefix, title in zip(axes, ("loss", "held_iou"), ("training loss", "held-back IoU"), strict=True):
        names = sorted({name for line in lines for name in line if name.startswith(prefix)})
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            axis.plot(*zip(*points, strict=True), label=name, linewidth=2 if name == prefix else 1)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        if names:
            axis.legend(fontsize=8)
    figure.savefig(target, dpi=120)
    pyplot.close(figure)
