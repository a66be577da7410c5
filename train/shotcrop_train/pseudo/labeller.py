"""Label photos: ask proposers, merge near-duplicates, score, decide. Nothing is written to disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.shots import SHOT_TYPES, Composition, Grounding, Reasoning, ShotType
from shotcrop_train.data.grounding import guess_aspect
from shotcrop_train.data.samples import load_photo
from shotcrop_train.data.skipped_photos import UNREADABLE, SkippedPhotos
from shotcrop_train.pseudo.decision import Accepted, Calibration, Decision, Rule, Scores, best_of, decide
from shotcrop_train.pseudo.proposers import Proposal, Proposer, merge
from shotcrop_train.scorers import Judged, Photo, Scorer
from shotcrop_train.scorers.composition import breaks_composition_rules


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one shot: its proposals, their scores in the order of the criteria, and the decision."""

    proposals: tuple[Proposal, ...]
    scores: tuple[Scores, ...]
    decision: Decision

    @property
    def chosen(self) -> int:
        """Index of the accepted proposal, or of the best one if none was accepted."""
        return self.decision.index if isinstance(self.decision, Accepted) else best_of(self.scores)


@dataclass(frozen=True, slots=True)
class Label:
    """The outcome of one photo: a verdict for each shot, and the chain of thought that goes with them."""

    verdicts: tuple[Verdict, ...]
    reasoning: Reasoning
    grounding: Grounding


@dataclass(frozen=True)
class Labeller:
    """Proposers, scorers and rule, ready to label.

    Args:
        proposers: The proposers.
        scorers: The criteria.
        calibration: Maps the scorers' raw figures to 0..1.
        rule: When a proposal is accepted.
        near_duplicate: Boxes with a higher IoU are merged.
    """

    proposers: Sequence[Proposer]
    scorers: Sequence[Scorer]
    calibration: Calibration
    rule: Rule
    near_duplicate: float

    def label(self, photos: Sequence[Photo]) -> list[Label | None]:
        """Return a label for each photo, None where no proposer proposes anything."""
        if not photos:
            return []
        answers = [(proposer.name, proposer.propose(photos)) for proposer in self.proposers]
        triples = [
            [(name, triple) for name, those in answers if (triple := those[index]) is not None]
            for index in range(len(photos))
        ]
        proposals = [
            [merge([(name, triple[shot]) for name, triple in one], self.near_duplicate) for shot in SHOT_TYPES]
            for one in triples
        ]
        judged = [
            Judged(photo, proposal.shot, proposal.rivals)
            for photo, shots in zip(photos, proposals, strict=True)
            for proposal in chain.from_iterable(shots)
        ]
        scored = zip(judged, self._score(judged), strict=True)
        return [
            _label([self._verdict(shot, list(islice(scored, len(shot)))) for shot in shots], one) if one else None
            for shots, one in zip(proposals, triples, strict=True)
        ]

    def _score(self, judged: Sequence[Judged]) -> list[Scores]:
        columns = [
            [self.calibration.map(scorer.name, one.shot.type, raw) for one, raw in zip(judged, raws, strict=True)]
            for scorer, raws in ((scorer, scorer.score(judged)) for scorer in self.scorers)
        ]
        return list(zip(*columns, strict=True))

    def _verdict(self, proposals: Sequence[Proposal], scored: Sequence[tuple[Judged, Scores]]) -> Verdict:
        vetoed = [breaks_composition_rules(one) for one, _ in scored] if self.rule.veto else ()
        scores = tuple(score for _, score in scored)
        return Verdict(tuple(proposals), scores, decide(scores, self.rule, vetoed))


def _label(verdicts: Sequence[Verdict], triples: Sequence[tuple[str, Composition]]) -> Label:
    """Add the chain of thought of the proposer with the most accepted shots; of equals, the first that has one."""
    accepted = [
        verdict.proposals[verdict.chosen].proposers for verdict in verdicts if isinstance(verdict.decision, Accepted)
    ]

    def rank(named: tuple[str, Composition]) -> tuple[bool, int]:
        name, triple = named
        return triple.reasoning != Reasoning(), sum(name in proposers for proposers in accepted)

    _, best = max(triples, key=rank)
    return Label(tuple(verdicts), best.reasoning, best.grounding or Grounding())


def open_photo(record: Record, max_side: int) -> Photo:
    """Read a record's photo, its longer side at most `max_side` pixels. The aspect of a squashed photo is guessed.

    Raises:
        PhotoError: The photo is missing or damaged.
    """
    try:
        image = load_photo(record.path, max_side)
    except UNREADABLE as error:
        raise PhotoError(
            f"{record.path} cannot be opened: {error}", hint="repair the photo or delete its row"
        ) from error
    aspect = guess_aspect(record.detections.faces) if record.squashed else record.aspect
    return Photo(image, aspect, record.detections, record.path)


def expert_figures(
    records: Sequence[Record],
    max_side: int,
    rivals: Sequence[Proposer],
    scorers: Sequence[Scorer],
    skipped: SkippedPhotos | None = None,
) -> Iterator[tuple[str, ShotType, float]]:
    """Yield criterion, shot and raw figure for each score that the scorers give to the experts' crops in some photos.

    Args:
        records: Rows with an expert's triple.
        max_side: Photos are shrunk to this many pixels on their longer side.
        rivals: Proposers whose boxes are compared with the expert's; none where no scorer compares boxes.
        scorers: The scorers.
        skipped: Gets the photos that cannot be opened. Their crops are not scored.
    """
    skipped = SkippedPhotos() if skipped is None else skipped
    sound, photos = [], []
    for record in records:
        try:
            photos.append(open_photo(record, max_side))
        except PhotoError as error:
            skipped.add(record.path, error.__cause__ if isinstance(error.__cause__, Exception) else error)
        else:
            sound.append(record)
    proposed = [proposer.propose(photos) for proposer in rivals] if photos else []
    judged = []
    for index, (photo, record) in enumerate(zip(photos, sound, strict=True)):
        others = [triple for triples in proposed if (triple := triples[index]) is not None]
        shots = record.composition.shots if record.composition is not None else ()
        for shot in (one for one, accepted in zip(shots, record.accepted, strict=False) if accepted):
            judged.append(Judged(photo, shot, tuple(triple[shot.type].box for triple in others)))
    for scorer in scorers if judged else ():
        for one, raw in zip(judged, scorer.score(judged), strict=True):
            if raw is not None:
                yield scorer.name, one.shot.type, raw
