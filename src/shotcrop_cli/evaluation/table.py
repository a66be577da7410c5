"""The table and the JSON object that `shotcrop eval` prints."""

from __future__ import annotations

import json

from rich.table import Table

from shotcrop_cli.evaluation.bootstrap import MEASURES, Metric
from shotcrop_cli.evaluation.scoring import Evaluation
from shotcrop_cli.shots import SHOT_TYPES


def score_table(evaluation: Evaluation, title: str, *, by_shot: bool = True) -> Table:
    """Lay out all metrics: one row each, a column per shot, the mean and its 95 % interval.

    Args:
        evaluation: What to show.
        title: Title of the table, which names the model or baseline.
        by_shot: Whether to show the columns of the shots; without them the table fits 60 columns.
    """
    table = Table(title=title, title_justify="left", caption=_caption(evaluation), caption_justify="left")
    table.add_column("metric", no_wrap=True)
    kinds = SHOT_TYPES if by_shot else ()
    for heading in (*(str(kind) for kind in kinds), "mean", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measure in MEASURES:
        shots = [evaluation.scores.get(measure.name, kind) for kind in SHOT_TYPES]
        mean = evaluation.scores.get(measure.name)
        # A metric of one shot alone has that shot's interval.
        whole = mean or next((metric for metric in shots if metric), None)
        if whole is None:
            continue
        interval = f"{whole.low:.3f} … {whole.high:.3f}"
        columns = [*map(_value, shots), _value(mean)] if by_shot else [_value(whole)]
        table.add_row(measure.name, *columns, interval, str(whole.n))
    return table


def score_json(evaluation: Evaluation, *, dataset: str, answers: str, baseline: str | None) -> str:
    """Write an evaluation as one JSON object on one line.

    Args:
        evaluation: What to write.
        dataset: The folder.
        answers: The model or baseline that answered.
        baseline: The reference of `gain`, or None.
    """
    return json.dumps(
        {
            "dataset": dataset,
            "answers": answers,
            "baseline": baseline,
            "photos": evaluation.annotated,
            "photos_without_people": evaluation.empty,
            "skipped": evaluation.skipped,
            "failed": len(evaluation.failures),
            "metrics": [
                {
                    "name": metric.name,
                    "shot": metric.shot and metric.shot.value,
                    "value": metric.value,
                    "low": metric.low,
                    "high": metric.high,
                    "n": metric.n,
                }
                for metric in evaluation.scores.metrics
            ],
        },
        ensure_ascii=False,
    )


def _value(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.value:.3f}"


def _caption(evaluation: Evaluation) -> str:
    parts = [f"{evaluation.annotated} annotated photos"]
    if evaluation.empty:
        parts.append(f"{evaluation.empty} without people")
    if evaluation.failures:
        parts.append(f"{len(evaluation.failures)} without a readable answer")
    return ", ".join(parts)
