"""Compare the default model's crops with baselines and the expert's crops, and show where they are worst.

    python -m benchmarks.quality.quality DATA [--model NAME|PATH] [--out DIR] [--markdown FILE] [--plot FILE]

DATA holds `train` (for the mean boxes and the judge of captions), `dev` (annotated photos that no model was trained
on) and `no_person/dev` (photos without people). The script prints the tables. It writes into DIR a page with the worst
photos, `failures.html`, and the diagram of the scores. The page contains the photos, so do not publish it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures, add_markdown, publish
from benchmarks.quality.faults import Details, better_expert, faults_table, read_details, second_expert
from benchmarks.quality.quality_tables import (
    CRAFT,
    NO_PEOPLE,
    OVERLAPS,
    Row,
    calibration_table,
    groups,
    lead,
    native_scale,
    review_table,
    scores_table,
    source,
)
from benchmarks.quality.rivals import expert, rivals
from benchmarks.quality.score_plot import draw
from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.baselines import mean_boxes
from shotcrop_cli.evaluation.calibration import JudgedShot, by_score, calibration_error, judged_shots
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.evaluation.gallery import gallery_page, worst
from shotcrop_cli.evaluation.scoring import caption_matcher, model_answers, score
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.shots import Answer, ModelIdentity

WORST = 20
"""Photos in the gallery."""
BATCH_SIZE = 16
OUT = Path("runs", "quality")
PAGE, PLOT = "failures.html", "score-calibration.svg"


@dataclass(frozen=True, slots=True)
class Exam:
    """The photos and the model's answers.

    Args:
        peopled: Photos with an expert's crops.
        empty: Photos without people.
        answers: First to `peopled`, then to `empty`.
        model: The model that answered.
        details: Of `peopled`: a second expert's crops, and what faults are counted with.
    """

    peopled: tuple[Record, ...]
    empty: tuple[Record, ...]
    answers: tuple[Answer, ...]
    model: ModelIdentity
    details: tuple[Details, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """All photos, in the order of the answers."""
        return self.peopled + self.empty

    @property
    def triples(self) -> tuple[Answer, ...]:
        """The answers to the photos with an expert's crops."""
        return self.answers[: len(self.peopled)]

    @property
    def shots(self) -> list[JudgedShot]:
        """The shots that have a score."""
        pairs = zip(self.peopled, self.triples, strict=True)
        return judged_shots((record.composition, answer) for record, answer in pairs if record.composition)


def annotated(folder: Path) -> tuple[Record, ...]:
    """Return the photos of a dataset that have an expert's crops."""
    found = tuple(record for record in read_dataset(folder) if record.composition is not None)
    if not found:
        raise ShotcropError(f"{folder} has no annotated photo", hint="name a folder with train, dev and no_person/dev")
    return found


def examine(data: Path, model: str | None) -> Exam:
    """Let a model answer the evaluation photos."""
    peopled = annotated(data / "dev")
    empty = tuple(record for record in read_dataset(data / "no_person" / "dev") if record.no_subject)
    composer = load_composer(find_model(model))
    answers = model_answers((*peopled, *empty), composer, BATCH_SIZE, lambda _done: None)
    return Exam(peopled, empty, tuple(answers), composer.identity, tuple(read_details(data / "dev", peopled)))


def tables(exam: Exam, train: Sequence[Record]) -> list[Figures]:
    """Compare the model with baselines and the expert, overall and by group.

    Args:
        exam: The model's answers.
        train: Photos with an expert's crops, for the mean boxes and the judge of captions.
    """
    triples_to_learn = [record.composition for record in train if record.composition is not None]
    mean = mean_boxes(triples_to_learn)
    worded = any(shot.caption for triple in triples_to_learn for shot in triple.shots)
    matcher = caption_matcher(train) if worded else None
    peopled, triples, shots = exam.peopled, exam.triples, exam.shots
    whole = Row(exam.model.id, score(exam.records, exam.answers, matcher=matcher).scores)
    seconds = second_expert(exam.details)
    all_rows = [
        *(Row(one.name, score(peopled, one.answers, matcher=matcher).scores) for one in rivals(peopled, mean)),
        whole,
        *(Row(one.name, score(peopled, one.answers, matcher=matcher).scores) for one in (*seconds, expert(peopled))),
    ]
    return [
        scores_table(f"Compared with the expert's crops of {len(peopled)} photos", all_rows, OVERLAPS),
        *(_with_two_experts(exam) if seconds else ()),
        faults_table(
            f"Faults in these {len(peopled)} photos",
            exam.details,
            {exam.model.id: triples} | {one.name: one.answers for one in (expert(peopled), *seconds)},
        ),
        scores_table("Composition and order, on the same photos", all_rows, CRAFT),
        scores_table(f"Recognising {len(exam.empty)} photos without people among these", [whole], NO_PEOPLE),
        scores_table("By source", groups(peopled, triples, source), OVERLAPS, "source (photos)"),
        scores_table(
            "By how the photo itself frames the main person",
            groups(peopled, triples, native_scale),
            OVERLAPS,
            "scale (photos)",
        ),
        scores_table(
            "By the expert's word for the main person", groups(peopled, triples, lead), OVERLAPS, "word (photos)"
        ),
        calibration_table(f"Scores of {len(shots)} shots", shots),
        review_table("Shots that `--min-score` would list for review", shots),
    ]


def _with_two_experts(exam: Exam) -> list[Figures]:
    better = better_expert(exam.peopled, exam.details, exam.triples)
    row = Row(exam.model.id, score(better, exam.triples).scores)
    return [scores_table("Compared with the nearer of two experts, photo by photo", [row], OVERLAPS)]


def notes(exam: Exam) -> list[str]:
    """Return what a reader of the tables must know."""
    error = calibration_error(by_score(exam.shots))
    scored = (
        "The model gives no scores."
        if error is None
        else f"The expected calibration error of its scores is {error:.3f}."
    )
    unanswered = sum(isinstance(answer, AnswerError) for answer in exam.answers)
    missing = f" {unanswered} photos got no readable answer." if unanswered else ""
    return [f"Measured with {exam.model.id} (model hash {exam.model.sha256[:12]}). {scored}{missing}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train, dev and no_person/dev")
    parser.add_argument("--model", metavar="NAME|PATH", help="model to measure; default: the default model")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"output folder; default: {OUT}")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=f"SVG file for the diagram; default: {PLOT} in DIR")
    add_markdown(parser)
    arguments = parser.parse_args()
    out, plot = arguments.out, arguments.plot or arguments.out / PLOT
    try:
        train = annotated(arguments.data / "train")
        exam = examine(arguments.data, arguments.model)
    except ShotcropError as error:
        raise SystemExit(f"error: {error}") from None
    out.mkdir(parents=True, exist_ok=True)
    worst_photos = gallery_page(worst(exam.records, exam.answers, WORST), f"Where {exam.model.id} is worst")
    (out / PAGE).write_text(worst_photos, "utf-8")
    draw(by_score(exam.shots), plot)
    publish("quality", tables(exam, train), notes(exam), arguments.markdown)
    print(f"Worst photos: {out / PAGE}. Scores: {plot}.")


if __name__ == "__main__":
    main()
