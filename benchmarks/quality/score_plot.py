"""Draw scores against the share of shots that are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shotcrop_cli.evaluation.bootstrap import HIT
from shotcrop_cli.evaluation.calibration import Bin


def draw(bins: Sequence[Bin], target: Path) -> None:
    """Draw the reliability diagram into an SVG file. Equal bins give equal files.

    Args:
        bins: The shots, grouped by score.
        target: The file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scores = [one.score for one in bins]
    with matplotlib.rc_context({"svg.hashsalt": "shotcrop", "svg.fonttype": "none"}):
        figure, axis = pyplot.subplots(figsize=(5.5, 4.5), layout="constrained")
        axis.plot((0, 1), (0, 1), color="grey", linestyle="--", label="a probability")
        axis.plot(scores, [one.right for one in bins], marker="o", label=f"share with IoU >= {HIT:g}")
        axis.plot(scores, [one.iou for one in bins], marker="s", label="mean IoU")
        for one in bins:
            axis.annotate(f"{one.n} shots", (one.score, one.right), (0, 7), textcoords="offset points", ha="center")
        axis.set(xlabel="score", xlim=(-0.05, 1.05), ylim=(0, 1.08))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
        figure.savefig(target, metadata={"Date": None})
        pyplot.close(figure)
