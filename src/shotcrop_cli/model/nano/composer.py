"""The compact model as a `Composer`: detector, set transformer over candidates, refinement.

The detector sees each photo once. The composer network sees each scene twice, as it is and mirrored, and the mean of
both answers counts: people would crop a photo and its mirror image alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from shotcrop_cli.captions.rules import reword
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.nano.candidates import (
    KINDS,
    MOST_CANDIDATES,
    PERSON,
    Candidates,
    boxes_of,
    list_views,
)
from shotcrop_cli.model.nano.detector import Detection, Detector
from shotcrop_cli.model.nano.manifest import COMPOSER, PEOPLE_TAG, NanoManifest
from shotcrop_cli.model.nano.plain_colour import Pixels
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.reasoning import certain, company_of, ground, ground_scene
from shotcrop_cli.model.nano.refinement import Subject, put_in_order, refine_all
from shotcrop_cli.model.nano.scene import Floats, Indices, Scene, mirror_boxes
from shotcrop_cli.model.nano.sightings import Sight
from shotcrop_cli.model.nano.style import restyle
from shotcrop_cli.model.notices import Notices
from shotcrop_cli.model.session import Device, Session, open_session
from shotcrop_cli.model.tensorrt import Engine, Shapes
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, ModelIdentity, NoSubject, Person, Shot

OUTPUTS = ("probability", "boxes", "expected")
"""Names in the graph: each candidate's probability (N, k) of being the main subject, its boxes (N, k, 3, 4) as
`candidates.boxes_of` wants them, and their expected IoU (N, k, 3) with an expert's."""
SMALLEST_SIDE = 0.02
"""Shortest side of a box that is refined, as a share of the photo's."""
LOOKS = 2
"""Views of a scene: as it is and mirrored."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """What the network says of the k candidates of a scene.

    Args:
        candidates: The candidates.
        probability: (k,) that a candidate is the main subject; the sum is 1.
        boxes: (k, 3, 4), widest shot first, in the photo frame.
        expected_iou: (k, 3) with an expert's boxes.
    """

    candidates: Candidates
    probability: Floats
    boxes: Floats
    expected_iou: Floats

    @property
    def main(self) -> int:
        """The most likely candidate."""
        return int(self.probability.argmax())

    @property
    def people(self) -> int:
        """How many candidates are single people; they come first, in the order of the scene."""
        return int((self.candidates.kind == PERSON).sum())

    def subjects(self) -> list[Subject]:
        """Return the boxes to refine: those of every person, then those of the main subject if it is more than one."""
        return [Subject(self.candidates.members[i], one) for i, one in self._rows(widened(self.boxes, SMALLEST_SIDE))]

    def subject_ious(self) -> Floats:
        """Return the expected IoUs (s, 3) of `subjects`."""
        return np.stack([one for _, one in self._rows(self.expected_iou)])

    def _rows(self, values: Floats) -> list[tuple[int, Floats]]:
        """Return the numbers of the candidates that `subjects` lists, each with its row of some values (k, ...)."""
        numbers = [*range(self.people), *([self.main] if self.main >= self.people else [])]
        return [(number, values[number]) for number in numbers]

    @property
    def certainty(self) -> float:
        """The probability that somebody of the main subject is part of the right one."""
        main = set(self.candidates.members[self.main])
        shares = zip(self.candidates.members, self.probability.tolist(), strict=True)
        total: float = sum(share for members, share in shares if main.intersection(members))
        return min(total, 1.0)

    def person_probabilities(self) -> Floats:
        """Return for each person (n,) the probability of being the main subject, or part of it."""
        total = np.zeros(self.people, np.float32)
        for members, probability in zip(self.candidates.members, self.probability, strict=True):
            total[list(members)] += probability
        return total


class SetTransformer:
    """Runs the composer's graph.

    Args:
        manifest: The model's manifest.
        session: The graph, loaded.
    """

    def __init__(self, manifest: NanoManifest, session: Session) -> None:
        self.inputs, self.session = tuple(input_shapes(manifest)), session

    @classmethod
    def load(cls, bundle: Bundle, manifest: NanoManifest, device: Device, threads: int | None) -> SetTransformer:
        """Load the graph of a model folder; see `Detector.load`."""
        shapes = input_shapes(manifest).items()
        engine = Engine(bundle.sha256, tuple(Shapes.per_photo(name, shape, LOOKS) for name, shape in shapes))
        return cls(manifest, open_session(bundle.path(COMPOSER), device, threads, engine=engine))

    def propose(self, scenes: Sequence[Scene]) -> list[Proposal | None]:
        """Compose scenes; the proposal is None for a scene without anybody."""
        listed = [list_views(scene) for scene in scenes]
        known = [views for views in listed if views is not None]
        if not known:
            return [None] * len(scenes)
        views = [plain for plain, _ in known] + [mirrored for _, mirrored in known]
        feed = stack(views)
        with self.session.running():
            answers = self.session.session.run(list(OUTPUTS), {name: feed[name] for name in self.inputs})
        proposals = iter(self._merged(views, *answers))
        return [None if views is None else next(proposals) for views in listed]

    def _merged(
        self, views: Sequence[Candidates], probability: Floats, offsets: Floats, expected: Floats
    ) -> Iterator[Proposal]:
        """Yield the mean of each scene's two answers; the mirrored views follow the others in the same order."""
        count = len(views) // LOOKS
        for row, candidates in enumerate(views[:count]):
            k, other = len(candidates), count + row
            boxes = boxes_of(offsets[row, :k], candidates)
            mirrored = mirror_boxes(boxes_of(offsets[other, :k], views[other]))
            yield Proposal(
                candidates,
                (probability[row, :k] + probability[other, :k]) / 2,
                (boxes + mirrored) / 2,
                (expected[row, :k] + expected[other, :k]) / 2,
            )


def input_shapes(manifest: NanoManifest) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the graph's inputs for one scene, by name; see `stack`."""
    places = MOST_CANDIDATES
    shapes: dict[str, tuple[int, ...]] = {
        "features": (places, manifest.features),
        "known": (places, manifest.features),
        "valid": (places,),
        "kind": (places, KINDS),
    }
    if manifest.uses_pixels:
        shapes |= {"pixels": (places, manifest.person_features), "photo": (manifest.photo_features,)}
    return shapes


def stack(views: Sequence[Candidates]) -> dict[str, Floats]:
    """Pad candidates to `MOST_CANDIDATES` and stack them as the graph's inputs.

    Returns:
        features (N, k, f): asinh of the features, which leaves small values as they are and takes the logarithm of
        large ones, 0 where unknown; known (N, k, f) and valid (N, k): 1 or 0; kind (N, k, KINDS): one-hot; pixels
        (N, k, p) and photo (N, q): features from the detector.
    """

    def empty(*shape: int) -> Floats:
        return np.zeros((len(views), MOST_CANDIDATES, *shape), np.float32)

    first = views[0]
    features, known = empty(first.features.shape[1]), empty(first.features.shape[1])
    valid, kind, pixels = empty(), empty(KINDS), empty(first.person_features.shape[1])
    for row, one in enumerate(views):
        k = len(one)
        features[row, :k] = np.arcsinh(np.nan_to_num(one.features))
        known[row, :k] = ~np.isnan(one.features)
        valid[row, :k] = 1
        kind[row, np.arange(k), one.kind] = 1
        pixels[row, :k] = one.person_features
    photo = np.stack([one.photo_features for one in views])
    return {"features": features, "known": known, "valid": valid, "kind": kind, "pixels": pixels, "photo": photo}


class NanoComposer:
    """Answers photos with the compact model.

    Args:
        bundle: The model folder.
        manifest: Its manifest.
        detector: Its first graph, loaded.
        network: Its second graph, loaded.
    """

    def __init__(self, bundle: Bundle, manifest: NanoManifest, detector: Detector, network: SetTransformer) -> None:
        self.manifest, self.detector, self.network = manifest, detector, network
        self.identity = ModelIdentity(manifest.name, bundle.sha256, detector.session.provider)
        self.thumbnail_size = (manifest.image_size, manifest.image_size)
        self._people_tag = manifest.tags.index(PEOPLE_TAG)

    @classmethod
    def load(cls, bundle: Bundle, device: Device, threads: int | None, _notices: Notices) -> NanoComposer:
        """Load the model; see `shotcrop_cli.model.load.load_composer`."""
        manifest = bundle.manifest
        assert isinstance(manifest, NanoManifest)
        detector = Detector.load(bundle, manifest, device, threads)
        return cls(bundle, manifest, detector, SetTransformer.load(bundle, manifest, device, threads))

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`."""
        if not thumbnails:
            return []
        size = self.manifest.image_size
        photos = np.stack([np.asarray(squash(image, size)) for image in thumbnails])
        detections = self.detector.detect(photos, aspects)
        presences = list(map(self._presence, detections))
        least = self.manifest.presence.threshold
        shown = [number for number, presence in enumerate(presences) if presence >= least]
        scenes = [detections[number].scene for number in shown]
        proposals = self.network.propose(scenes)
        style = self.manifest.style
        subjects = [
            restyle(style, scene, proposal.subjects()) if proposal else []
            for scene, proposal in zip(scenes, proposals, strict=True)
        ]
        refined = refine_all(list(zip(scenes, subjects, strict=True)), self.manifest.refinement)
        for boxes in refined:
            put_in_order(boxes)
        seen = [(detections[number], photos[number]) for number in shown]
        answers = (
            self._answer(*one, proposal, boxes) for one, proposal, boxes in zip(seen, proposals, refined, strict=True)
        )
        return [(next(answers) if presence >= least else None) or NoSubject(1.0 - presence) for presence in presences]

    def _answer(
        self, detection: Detection, pixels: Pixels, proposal: Proposal | None, refined: Floats
    ) -> Composition | None:
        """Answer a photo that shows people; `refined` holds the boxes of `Proposal.subjects`."""
        if proposal is None:
            return self._fallback(detection, pixels)
        scene, main = detection.scene, proposal.candidates.members[proposal.main]
        probabilities = proposal.person_probabilities()
        boxes, ious = refined.tolist(), proposal.subject_ious().tolist()
        triples = [self._shots(*one) for one in zip(boxes, ious, strict=True)]
        order = order_people(probabilities, main).tolist()
        people = tuple(_person(scene, person, float(probabilities[person]), triples[person]) for person in order)
        chosen = main[0] if len(main) == 1 else -1
        shots = self._shots(boxes[chosen], ious[chosen], proposal.certainty)
        grounding = ground(scene, people[0], detection.tags, self.manifest)
        sight = Sight(scene, detection.tags, detection.concepts, pixels, order[0], grounding, self.manifest)
        people = tuple(map(sight.facts_about, people, order))
        count = certain(grounding, company_of(scene, self.manifest.count)).people
        return _in_words(sight, shots, people, count)

    def _fallback(self, detection: Detection, pixels: Pixels) -> Composition | None:
        """Answer a photo that surely shows people though none were located."""
        if not self.manifest.fallback:
            return None
        boxes = zip(SHOT_TYPES, self.manifest.fallback, strict=True)
        shots = tuple(Shot(kind, clamp(*box), score=0.0) for kind, box in boxes)
        grounding = ground_scene(detection.tags, self.manifest)
        sight = Sight(detection.scene, detection.tags, detection.concepts, pixels, None, grounding, self.manifest)
        return _in_words(sight, shots)

    def _presence(self, detection: Detection) -> float:
        """Return the probability that a photo shows people."""
        scene = detection.scene
        head = float(scene.head_score[~scene.estimated].max(initial=0))
        body = float(scene.body_score.max(initial=0))
        return self.manifest.presence.probability(head, body, float(detection.tags[self._people_tag]))

    def _shots(
        self, boxes: Sequence[Sequence[float]], expected_ious: Sequence[float], probability: float = 1.0
    ) -> tuple[Shot, ...]:
        """Return the shots of refined boxes; see `ScoreCurve.score` for the probability."""
        scores = (self.manifest.score.score(one, probability) for one in expected_ious)
        shots = zip(SHOT_TYPES, boxes, scores, strict=True)
        return tuple(Shot(kind, clamp(*box), score=score) for kind, box, score in shots)


def _in_words(
    sight: Sight, shots: tuple[Shot, ...], people: tuple[Person, ...] = (), count: int | None = None
) -> Composition:
    """Return an answer with captions and reasoning."""
    facts = sight.crops([shot.box for shot in shots], [shot.score or 0.0 for shot in shots])
    return reword(Composition(shots, grounding=sight.grounding, people=people, facts=facts, people_count=count))


def _person(scene: Scene, person: int, probability: float, shots: tuple[Shot, ...]) -> Person:
    """Return what is known of a person."""
    return Person(
        body=box_or_none(scene.body[person]),
        head=None if scene.estimated[person] else box_or_none(scene.head[person]),
        face=box_or_none(scene.face[person]),
        probability=min(probability, 1.0),
        shots=shots,
        confidence=float(1 - (1 - scene.head_score[person]) * (1 - scene.body_score[person])),
    )


def order_people(probabilities: Floats, main: Sequence[int]) -> Indices:
    """Return the indices of the people: those of the main subject first, each group by probability."""
    is_main = np.isin(np.arange(len(probabilities)), main)
    return np.lexsort((-probabilities, ~is_main))


def widened(boxes: Floats, shortest: float) -> Floats:
    """Return boxes (..., 4) inside the photo whose sides are at least this long, as float64; see `geometry.clamp`."""
    low, high = np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])
    low, high = low.astype(np.float64), high.astype(np.float64)
    start = ((low + high - shortest) / 2).clip(0, 1 - shortest)
    short = high - low < shortest
    sides = np.where(short, start, low), np.where(short, np.minimum(start + shortest, 1), high)
    return np.concatenate(sides, -1)


def box_or_none(sides: Floats) -> Box | None:
    """Return a box (4,) of the photo frame, clipped to the photo; None for NaN."""
    values: list[float] = sides.tolist()
    return None if any(map(math.isnan, values)) else clamp(*values)
