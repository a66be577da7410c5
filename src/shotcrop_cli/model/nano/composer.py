"""The compact model as a `Composer`: detector, set transformer over candidates, refinement.

The detector sees each photo once. The composer network sees each scene twice, as it is and mirrored, and the mean of
both answers counts: people would crop a photo and its mirror image alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from shotcrop_cli.captions.rules import captions, verbalise
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.nano.candidates import KINDS, MOST_CANDIDATES, Candidates, boxes_of, list_candidates
from shotcrop_cli.model.nano.detector import Detection, Detector
from shotcrop_cli.model.nano.manifest import COMPOSER, PEOPLE_TAG, NanoManifest
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.reasoning import certain, company_of, ground, predicted_tags
from shotcrop_cli.model.nano.refinement import refine
from shotcrop_cli.model.nano.scene import Floats, Indices, Scene, mirror_boxes
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

    def person_probabilities(self) -> Floats:
        """Return for each person (n,) the probability of being the main subject, or part of it."""
        count = 1 + max(person for members in self.candidates.members for person in members)
        total = np.zeros(count, np.float32)
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
        plain = [list_candidates(scene) for scene in scenes]
        known = [candidates for candidates in plain if candidates is not None]
        if not known:
            return [None] * len(scenes)
        mirrored = [list_candidates(scene.mirror()) for scene in scenes]
        views = [*known, *(candidates for candidates in mirrored if candidates is not None)]
        feed = stack(views)
        with self.session.running():
            answers = self.session.session.run(list(OUTPUTS), {name: feed[name] for name in self.inputs})
        proposals = iter(self._merged(views, *answers))
        return [None if candidates is None else next(proposals) for candidates in plain]

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
        proposals = self.network.propose([detection.scene for detection in detections])
        return list(map(self._answer, detections, proposals))

    def _answer(self, detection: Detection, proposal: Proposal | None) -> Answer:
        presence = self._presence(detection)
        if presence < self.manifest.presence.threshold:
            return NoSubject(1.0 - presence)
        if proposal is None:
            return self._fallback(presence)
        scene, main = detection.scene, proposal.candidates.members[proposal.main]
        probabilities = proposal.person_probabilities()
        order = order_people(probabilities, main)
        people = tuple(self._person(scene, proposal, person, probabilities[person]) for person in order)
        shots = people[0].shots if len(main) == 1 else self._shots(scene, proposal, proposal.main)
        grounding = ground(scene, people[0], detection.tags, self.manifest)
        boxes, scores = [shot.box for shot in shots], [shot.score or 0.0 for shot in shots]
        tags = predicted_tags(detection.tags, self.manifest)
        company = company_of(scene, self.manifest.count)
        texts = captions(grounding, company, tags, boxes, scores)
        shots = tuple(Shot(shot.type, shot.box, text, shot.score) for shot, text in zip(shots, texts, strict=True))
        return Composition(shots, verbalise(certain(grounding, company)), grounding, people)

    def _fallback(self, presence: float) -> Answer:
        """Answer a photo that surely shows people though none were located."""
        boxes = self.manifest.fallback
        if not boxes:
            return NoSubject(1.0 - presence)
        shots = zip(SHOT_TYPES, boxes, strict=True)
        return Composition(tuple(Shot(kind, clamp(*box), score=0.0) for kind, box in shots))

    def _presence(self, detection: Detection) -> float:
        """Return the probability that a photo shows people."""
        scene = detection.scene
        head = float(scene.head_score[~scene.estimated].max(initial=0))
        body = float(scene.body_score.max(initial=0))
        return self.manifest.presence.probability(head, body, float(detection.tags[self._people_tag]))

    def _person(self, scene: Scene, proposal: Proposal, person: int, probability: float) -> Person:
        """Return a person's boxes; the candidates of single people come first, in the order of the people."""
        return Person(
            body=box_or_none(scene.body[person]),
            head=None if scene.estimated[person] else box_or_none(scene.head[person]),
            face=box_or_none(scene.face[person]),
            probability=min(float(probability), 1.0),
            shots=self._shots(scene, proposal, person),
        )

    def _shots(self, scene: Scene, proposal: Proposal, candidate: int) -> tuple[Shot, ...]:
        """Return a candidate's refined shots."""
        wanted = np.array([tuple(clamp(*map(float, box), min_side=SMALLEST_SIDE)) for box in proposal.boxes[candidate]])
        members = proposal.candidates.members[candidate]
        boxes = refine(scene, members, wanted.astype(np.float32), self.manifest.refinement)
        scores = [self.manifest.score.score(float(value)) for value in proposal.expected_iou[candidate]]
        shots = zip(SHOT_TYPES, boxes, scores, strict=True)
        return tuple(Shot(kind, clamp(*map(float, box)), score=score) for kind, box, score in shots)


def order_people(probabilities: Floats, main: Sequence[int]) -> Indices:
    """Return the indices of the people: those of the main subject first, each group by probability."""
    is_main = np.isin(np.arange(len(probabilities)), main)
    return np.lexsort((-probabilities, ~is_main))


def box_or_none(sides: Floats) -> Box | None:
    """Return a box (4,) of the photo frame, clipped to the photo; None for NaN."""
    return None if np.isnan(sides).any() else clamp(*map(float, sides))
