"""What the compact model surely sees in each crop: from detections, concepts and pixels to `CropFacts`.

Every rule is meant to be right at least 19 times in 20. docs/nano-log.md and the model card say how often each one was,
on which photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from shotcrop_cli.crop_facts import IN_CROP, SIMILAR_HEAD, CropFacts, Part, Who
from shotcrop_cli.geometry import clamp, iou, side_in, visible_share
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.model.nano.plain_colour import Pixels, plain_colour, share_of, shares_of
from shotcrop_cli.model.nano.scene import Floats, Mask, Scene
from shotcrop_cli.shots import FACINGS, FULL_FRAME, Box, Grounding, Person

SURE, SURE_OF_MORE = 0.64, 0.72
"""Certainties, of head and body together, from which there surely is one more person of similar size, and each of two
more; also somebody whose clothes are named."""
POSSIBLE, POSSIBLE_EQUAL = 0.2, 0.3
"""Scores from which there may be somebody, and somebody who leads as well. Source: 99 photos of `train` with a score
between both, of which about five show a second person of equal weight."""
SURE_BEHIND, SECOND_BEHIND = 0.76, 0.64
"""Certainties from which a first and a second person surely are in the background."""
TWO, TWO_CLOSER, NO_CROWD = 0.85, 0.8, -4.0
"""Certainties of a second person for "two people", in an establishing shot and in tighter ones, if no third is
possible: small people in the background are missed more often than large ones. In an establishing shot, the logit of a
crowd must be below the last value, too."""
COUNTS, TOGETHER = 0.4, 0.88
"""Where somebody of similar size is possible, there surely are others if all, of any size, who have at least the first
certainty have the second one together."""
LESS_SURE = 0.2
"""Others are less certain by this much where there may be a dog, which looks like a person to the model."""
BODY_IN_CROP = 0.03
"""Crops that may show a third body to this share say "people" instead of "two people"."""
HEAD_SHOWN, HEAD_SEEN = 0.9, 0.35
"""A close-up that holds less of the main head, or of one with a lower score and no face, shows a detail."""
BELOW_HEAD, HEAD_WIDTHS = 0.3, 1.5
"""A close-up shows shoulders if it goes down this far below the head, in heads, is this many heads wide, and holds a
shoulder."""

STANDING, SEEN_TO_THE_FEET = 6.5, 6.0
"""Where the main person's box ends, in heads below the crown: of an upright figure, and of one whose feet are visible
though the knees are bent. Predicted heads are a little too large rather than too small. See `shotcrop_cli.body` for the
proportions."""
THIGHS = (4.0, 5.0)
"""A crop whose lower edge is in this range, in heads below the crown, ends at the thighs of an upright figure."""
CUT, SLACK = 0.03, 0.01
"""The photo's lower border cuts a main person whose box ends this close to it, and a crop holds a part of them that
ends at most this far outside it: predicted boxes vary by as much."""
STEADY = 0.8
"""Lowest score of a shot for claims about the body. It was measured with an earlier model, as the agreement of two
answers: on held-out photos 36 of 37 claims on shoulders and waists were right above it, and 10 of 14 below."""
SMALL = 0.35
"""A main person lower than this share of a crop's height is small in it."""

FACE_SEEN, NOT_AWAY = 0.98, 0.1
"""Score from which a face is surely visible, and the probability of a face that points away that is too high for it."""
TO_CAMERA, TO_SIDE, AWAY = 0.8, 0.3, 0.5
"""Lowest probabilities of the tags for the direction of the face."""
NOSE_AHEAD, NOSE_ASIDE = 0.2, 0.45
"""How far the nose is off the middle of the eyes, in distances between them: at most to the camera, at least to a
side."""
FACE_ASIDE = 0.7
"""Least score of a face that points to a side."""
NOSE_ASIDE_OF_OTHERS = 0.6
"""The least for other people than the main person, whom no tag describes. Their faces must be surely visible, too."""
NARROWEST_EYES = 0.12
"""Eyes count as at least this far apart, in heads: in profile they meet."""

JOINT_SEEN = 0.35
BELOW_SHOULDERS, CHEST_HEIGHT, HALF_CHEST = 0.15, 1.1, 0.42
"""The upper edge of the chest below the shoulders, its height, and half its width, in heads."""
LEAST_CHEST = 0.45
"""A crop shows the clothes if it holds at least this height of the chest, in heads."""
LEAST_HEAD = 0.4
"""The chest of somebody whose head has a lower score may be somewhere else."""
LEAST_HEAD_HEIGHT = 0.05
"""Clothes of other people are named from this height of the head on, as a share of the photo's."""
CLOTHES: Mapping[str, float] = {
    **dict.fromkeys(("red", "orange", "yellow", "green", "blue", "purple", "pink"), 0.55),
    "light": 0.82,
    "dark": 0.82,
}
"""The share of the chest's pixels that each colour must have."""
WAIST, OTHER_BELOW = 0.5, 0.4
"""Height of what is looked at below the chest, in heads, and the share of it that makes another colour there a second
colour of the clothes. Source: 161 claims for `train`, looked at: of 15 that this takes away, 11 wear two colours."""
SAME_COLOUR, SILHOUETTE = 0.25, 70
"""The share of the face that makes a colour that of the skin, and the value, 0 to 255, of a head against the light."""
BACKGROUND: Mapping[str, float] = {"dark": 0.8, "light": 0.8, "green": 0.6, "blue": 0.65}
TINT = 0.4
"""If so much of the photo has the colour of the clothes, it may be that of the light, the night or the water."""

SAME_PERSON, OWN_HEAD = 0.5, 0.65
"""Another body that overlaps the main person's by this much (IoU) may be the same once more, unless a head with this
score belongs to it."""
SIMILAR_BODY = 0.65
"""Somebody with a smaller head is not in the background if their body, surely there, has this share of the main
person's area. Source: 48 photos of `train` with another tall body, looked at: those of this area led, too, or were in a
crowd."""
SAME_HEAD, HEAD_IN_CLOSE_UP, HEAD_BESIDE = 0.35, 0.5, 0.5
"""Two heads may be one if they share this much of the smaller one. Close-ups of several people show heads of which the
others have at least this share of the main head's height, and this score. Source: 21 close-ups of `train` with a score
below 0.65, looked at: all show two heads."""

PERSON_SEEN, OTHER_SEEN = 0.5, 0.65
"""Certainties below which the main person, and somebody else, may be no person."""
ON_ANIMAL, SAME_BODY = 0.7, 0.6
"""A head of which an animal's box holds this share may be the animal's. So may the whole person if the boxes of body
and animal overlap by the second value (IoU), and one of two signs for an animal is there."""
LIKE_ANIMAL, BELOW_ANIMAL, LIKE_DOG, BELOW_DOG = 0.35, 0.06, -1.0, 0.15
"""Signs for an animal: its score, if that of the head is at most this much higher; or the logit of a dog, with the same
for the last value. Source: 108 people of `train` in the box of an animal, looked at. Of 21 who were animals, 20 had a
sign; of the others, who mostly crouch or jump, 12."""
LEAST_ANIMAL = 0.3
"""A dog is named if the detector also found an animal of this score in the crop."""
IN_CLOSE_UP = 0.1
"""A close-up of a dog may show another one if it holds this share of another animal (our choice)."""
MOST_OF_PHOTO = 0.6
"""A crop with this share of the photo shows the ball that the photo shows; a smaller one must hold an object."""
NO_MOTORCYCLE = -0.5
"""Bicycles look like motorcycles to the model above this logit of a motorcycle."""

MARGINS: Mapping[str, float] = {
    **{"water": 0.4, "beach": 0.4, "bicycle": 0.4, "rocks": 0.55, "playground": 0.25, "crowd": 0.75},
    **{"swimming": 0.65, "ball": 0.9, "basketball": 0.3, "tennis": 0.1, "child": 0.3, "dog": 0.3, "trees": 0.4},
    **{"skateboard": 0.5, "boat": -0.3, "climbing": -0.5, "motorcycle": -0.4},
}
"""What the thresholds of concepts need in addition: with features in 8-bit integers, fewer were right than in single
precision, for which the thresholds were chosen."""
NO_SNOW, NO_ICE = -1.0, -4.1
"""Logits of snow and ice from which water may be snow, and a beach may be snow or ice."""
OUTSIDE = frozenset(("snow", "beach", "rocks", "grass", "trees", "street"))
"""Places that are outdoors."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What the model knows about a photo when it writes captions.

    Args:
        scene: The detections.
        tags: Logits of the manifest's tags.
        concepts: Logits (k, c, c) of the manifest's concepts.
        pixels: (S, S, 3), the thumbnail.
        main: Index of the main person in the scene; None if no one was located.
        grounding: The facts about the main person; the setting is None where the model is unsure.
        manifest: The model's.
        is_other: Whether `main` is somebody else than the model's main person, whom the tags do not describe.
    """

    scene: Scene
    tags: Floats
    concepts: Floats
    pixels: Pixels
    main: int | None
    grounding: Grounding
    manifest: NanoManifest
    is_other: bool = False

    def crops(self, boxes: Sequence[Box], scores: Sequence[float]) -> tuple[CropFacts, CropFacts, CropFacts]:
        """Return the facts about the three crops of a photo.

        Args:
            boxes: The boxes of the shots, widest first.
            scores: The model's confidence in each box.
        """
        wide, medium, tight = boxes
        first = self._wide(wide)
        second, third = self._medium(medium, scores[1] >= STEADY), self._tight(tight)
        if self.is_other:
            is_one_of_several = first.who.is_several or (self._others(FULL_FRAME) >= SURE).any()
            first, second, third = (
                _one_of_several(facts, Who.MAIN) if is_one_of_several else _not_the_main_one(facts)
                for facts in (first, second, third)
            )
        elif first.who.is_several:
            # A medium shot of the main person may show several, too.
            second, third = _one_of_several(second), _one_of_several(third, Who.MAIN)
        return first, second, third

    def facts_about(self, person: Person, index: int) -> Person:
        """Return a person with the facts about their own crops.

        Args:
            person: Somebody in the photo.
            index: Theirs in the scene.
        """
        own = Grounding(person.body, person.head, setting=self.grounding.setting)
        sight = replace(self, main=index, grounding=own, is_other=index != self.main)
        boxes, scores = [shot.box for shot in person.shots], [shot.score or 0.0 for shot in person.shots]
        return replace(person, facts=sight.crops(boxes, scores))

    def _wide(self, box: Box) -> CropFacts:
        who = self._who(box, TWO if self._logit("crowd") < NO_CROWD else np.inf)
        if who is Who.UNSURE:
            return self._around(box, who)
        framing = side = None
        body = self.grounding.main_person
        if who.is_several and self._are_small(box):
            framing = "distance"
        elif who.is_one and body is not None and not self._may_be_no_one:
            framing = "distance" if body.height < SMALL * box.height else "full" if self._shows_all(box) else None
            side = side_in(body, box)
        facing = self._facing if who.is_one and framing != "distance" else None
        return replace(self._around(box, who), facing=facing, framing=framing, side=side)

    def _medium(self, box: Box, steady: bool) -> CropFacts:
        who, framing = self._who(box), None
        if who is Who.UNSURE:
            return self._around(box, who)
        if who.is_one:
            ends, edge = self._below_crown(self.grounding.main_person), self._below_crown(box)
            if steady and self._shows_all(box):
                framing = "full"
            elif steady and ends >= STANDING and THIGHS[0] <= edge < THIGHS[1]:
                framing = "three-quarter"
        return replace(self._around(box, who), facing=self._facing if who.is_one else None, framing=framing)

    def _around(self, box: Box, who: Who) -> CropFacts:
        """Return what an establishing or a medium shot shows: the people, their clothes, and what is around them."""
        around = CropFacts(who, thing=self._thing(box), place=self._place(box))
        if who is Who.UNSURE:
            return around
        colour, another = self._colours(box, who)
        behind = self._behind(box) if who in (Who.MAIN, Who.PERSON) else None
        return replace(around, colour=colour, another=another, action=self._action(box), behind=behind)

    def _tight(self, box: Box) -> CropFacts:
        who, head = self._who(box), self.grounding.head
        if who.is_several and not self._shows_two_heads(box):
            who = Who.MAIN
        if head is not None and self._is_dog(head):
            is_one = len(self._animals_in(box, IN_CLOSE_UP)) < 2
            return CropFacts(*((Who.DOG, Part.HEAD) if is_one else (Who.UNSURE, Part.DETAIL)), place=self._place(box))
        seen = self._is_face_sure and (self.is_other or self._likely["away"] < NOT_AWAY)
        if head is None or visible_share(head, box) < HEAD_SHOWN or not (seen or self._is_head_sure):
            return CropFacts(who, Part.DETAIL, place=self.grounding.setting)
        if who is Who.UNSURE:
            return CropFacts(who, Part.DETAIL, place=self._place(box))
        colour, another = self._colours(box, who)
        return CropFacts(
            who,
            Part.FACE if seen else Part.SHOULDERS if self._shows_shoulders(box, head) else Part.HEAD,
            colour,
            place=self._place(box),
            facing=self._facing if who.is_one else None,
            background=self._background(box),
            another=another,
        )

    def _who(self, box: Box, two: float = TWO_CLOSER) -> Who:
        """Return whom a crop shows.

        Args:
            box: The crop.
            two: The certainty of a second person who makes them two.
        """
        if self.main is None:
            return Who.UNSURE
        everybody = self._others(box)
        # An animal that was taken for the main person sets no measure.
        others = everybody if self._may_be_no_one else everybody * self._is_similar
        count = int((others >= SURE).sum())
        if self._may_be_no_one and count < 2:
            return Who.MAIN if count else Who.UNSURE
        if count:
            if (others >= SURE_OF_MORE).sum() > 1 + self._may_be_no_one:
                return Who.CROWD if self._sees("crowd", box) else Who.GROUP
            is_two = others.max() >= two and self._possible(box).sum() == 1 and not self._may_be_no_one
            return Who.TWO if is_two else Who.PEOPLE
        if (self._possible_heads(box, POSSIBLE_EQUAL) & self._is_similar).any():
            if self._behind(box):
                return Who.MAIN
            together = 1 - np.prod(1 - everybody[everybody >= COUNTS])
            return Who.PEOPLE if together >= TOGETHER else Who.MAIN
        if not self._is_alone:
            return Who.PERSON
        return Who.CHILD if self._sees("child", None) else Who.ALONE

    def _behind(self, box: Box) -> str | None:
        """Return how many people a crop surely shows in the background."""
        if self.main is None:
            return None
        first, second = np.sort(np.append(self._others(box) * ~self._is_similar, 0.0))[-1:-3:-1]
        if first < SURE_BEHIND:
            return None
        if second >= SECOND_BEHIND:
            return "several"
        return "one" if (self._possible_heads(box) & ~self._is_similar).sum() == 1 else None

    def _others(self, box: Box) -> Floats:
        """Return the certainties (n,) that a crop shows somebody besides the main person; 0 for who may be no one."""
        doubt = LESS_SURE if self._logit("dog") > LIKE_DOG else 0.0
        certainties: Floats = np.where(self._inside(box) & self._is_somebody_else, self._certainty - doubt, 0)
        return certainties

    def _possible(self, box: Box) -> Mask:
        """Tell of whom (n,) besides the main person a crop may show anything."""
        bodies = _head_shares(self.scene.body, box) >= BODY_IN_CROP
        possible: Mask = self._possible_heads(box) | (bodies & (self.scene.body_score >= POSSIBLE))
        possible[self.main] = False
        return possible

    def _possible_heads(self, box: Box, least: float = POSSIBLE) -> Mask:
        """Tell whose head (n,) besides the main person's a crop may show, from a score on."""
        scores = np.maximum(self.scene.head_score, self.scene.body_score)
        possible: Mask = self._inside(box) & (scores >= least)
        possible[self.main] = False
        return possible

    @cached_property
    def _is_similar(self) -> Mask:
        """Tell who (n,) is not in the background of the main person."""
        scene, main = self.scene, self.main
        heights = scene.head[:, 3] - scene.head[:, 1]
        areas = np.prod(scene.body[:, 2:] - scene.body[:, :2], axis=1)
        is_large = (areas >= SIMILAR_BODY * areas[main]) & (self._certainty >= SURE)
        similar: Mask = (heights >= SIMILAR_HEAD * heights[main]) | is_large
        return similar

    @cached_property
    def _is_somebody_else(self) -> Mask:
        """Tell who (n,) is neither the main person, perhaps once more, nor perhaps an animal."""
        scene, own = self.scene, self.scene.body[self.main]
        return np.array(
            [
                number != self.main
                and (_iou(body, own) < SAME_PERSON or scene.head_score[number] >= OWN_HEAD)
                and all(_iou(body, animal) < SAME_BODY for animal in scene.animals if animal[4] >= LEAST_ANIMAL)
                for number, body in enumerate(scene.body)
            ],
            bool,
        )

    def _are_small(self, box: Box) -> bool:
        """Whether everybody in a crop is small in it."""
        bodies = self.scene.body[self._inside(box) & (self._certainty >= PERSON_SEEN)]
        heights = bodies[:, 3] - bodies[:, 1]
        return bool(len(heights)) and bool((heights < SMALL * box.height).all())

    def _inside(self, box: Box) -> Mask:
        """Tell whose heads a crop holds (n,); the main person's always counts."""
        inside: Mask = _head_shares(self.scene.head, box) >= IN_CROP
        inside[self.main] = True
        return inside

    @cached_property
    def _certainty(self) -> Floats:
        """How certain it is that each of the people (n,) is one, from head and body together."""
        certainty: Floats = 1 - (1 - self.scene.head_score) * (1 - self.scene.body_score)
        return certainty

    @cached_property
    def _may_be_no_one(self) -> bool:
        """Whether the main person may be an animal or an object."""
        main, scene = self.main, self.scene
        if main is None:
            return False
        if self._certainty[main] < (OTHER_SEEN if self.is_other else PERSON_SEEN):
            return True
        score, like_dog = scene.head_score[main], self._logit("dog") > LIKE_DOG
        return any(
            (
                (animal[4] >= LIKE_ANIMAL and score <= animal[4] + BELOW_ANIMAL)
                or (like_dog and score <= animal[4] + BELOW_DOG)
            )
            and _head_share(scene.head[main], _box(animal)) >= ON_ANIMAL
            and _iou(scene.body[main], animal) >= SAME_BODY
            for animal in scene.animals
        )

    @property
    def _is_head_sure(self) -> bool:
        """Whether the main head is surely a head."""
        main = self.main
        return main is not None and not self.scene.estimated[main] and bool(self.scene.head_score[main] >= HEAD_SEEN)

    def _shows_shoulders(self, box: Box, head: Box) -> bool:
        """Whether a close-up surely shows one of the main person's shoulders."""
        if self.main is None or box.y1 < head.y1 + BELOW_HEAD * head.height or box.width < HEAD_WIDTHS * head.width:
            return False
        shoulders = self.scene.joints[self.main, :2]
        return any(
            seen > JOINT_SEEN and box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 for x, y, seen in shoulders.tolist()
        )

    def _colours(self, box: Box, who: Who) -> tuple[str | None, str | None]:
        """Return the colour of the main person's clothes; of several people, two that two of them wear."""
        own = None if self._may_be_no_one else self._clothes(box)
        if not who.is_several:
            return own, None
        heads = self.scene.head
        inside = (self._others(box) >= SURE_OF_MORE) & (heads[:, 3] - heads[:, 1] >= LEAST_HEAD_HEIGHT)
        known = [own] if own else []
        for index in np.flatnonzero(inside).tolist():
            colour = self._look_at(index)._clothes(box)
            if colour and colour not in known:
                known.append(colour)
                if len(known) > 1:
                    break
        first, second, *_ = *known, None, None
        return first, second

    def _look_at(self, index: int) -> Sight:
        """Return the sight of somebody else in the scene."""
        body, head = self.scene.body[index], self.scene.head[index]
        grounding = Grounding(None if np.isnan(body).any() else _box(body), _box(head), setting=self.grounding.setting)
        return replace(self, main=index, grounding=grounding, is_other=True)

    def _shows_two_heads(self, box: Box) -> bool:
        """Whether a crop surely shows the head of somebody besides the main person, and no small one."""
        scene, main = self.scene, self.main
        if main is None:
            return False
        one = _box(scene.head[main])
        return any(
            certainty >= SURE
            and not scene.estimated[number]
            and scene.head_score[number] >= HEAD_BESIDE
            and head[3] - head[1] >= HEAD_IN_CLOSE_UP * one.height
            and max(_head_share(head, one), visible_share(one, _box(head))) < SAME_HEAD
            for number, (head, certainty) in enumerate(zip(scene.head, self._others(box), strict=True))
        )

    def _is_dog(self, head: Box) -> bool:
        """Whether the detector found a dog where it found the main head."""
        return self._sees("dog", None) and any(
            one[4] >= LEAST_ANIMAL and visible_share(head, _box(one)) >= ON_ANIMAL for one in self.scene.animals
        )

    @cached_property
    def _is_alone(self) -> bool:
        """Whether the photo surely shows no one else: a child in it is then the main person."""
        scores = np.maximum(self.scene.head_score, self.scene.body_score)
        return int((scores >= POSSIBLE).sum()) <= 1

    def _shows_all(self, box: Box) -> bool:
        """Whether a crop surely shows the main person from crown to feet."""
        person, head = self.grounding.main_person, self.grounding.head
        if person is None or head is None or person.y1 > 1.0 - CUT or self._below_crown(person) < SEEN_TO_THE_FEET:
            return False
        return box.y0 <= head.y0 + SLACK and person.y1 - SLACK <= box.y1

    def _below_crown(self, box: Box | None) -> float:
        """Return how far a box's lower edge is below the main person's crown, in heads; 0 if unknown."""
        head = self.grounding.head
        return 0.0 if box is None or head is None else (box.y1 - head.y0) / head.height

    @cached_property
    def _likely(self) -> Mapping[str, float]:
        """The probabilities of the tags for the direction of the main person's face."""
        logits = np.array([self.tags[self.manifest.tags.index(name)] for name in FACINGS], np.float64)
        odds = np.exp(logits - logits.max())
        return dict(zip(FACINGS, (odds / odds.sum()).tolist(), strict=True))

    @property
    def _is_face_sure(self) -> bool:
        """Whether the main person's face is surely visible."""
        return self.main is not None and bool(self.scene.face_score[self.main] >= FACE_SEEN)

    @cached_property
    def _facing(self) -> str | None:
        """Where the main person's face points."""
        if self.main is None:
            return None
        likely = self._likely
        points = self.scene.landmarks[self.main]
        if not self.scene.face_score[self.main] > 0 or np.isnan(points).any():
            return "away" if not self.is_other and likely["away"] >= AWAY else None
        head = self.scene.head[self.main]
        # Both lengths are horizontal, except for the limit, which is in heads.
        least = NARROWEST_EYES * (head[3] - head[1]) / self.scene.aspect
        aside = float((points[2, 0] - points[:2, 0].mean()) / max(abs(points[1, 0] - points[0, 0]), least))
        side = "left" if aside < 0 else "right"
        if self.is_other:
            return side if self._is_face_sure and abs(aside) >= NOSE_ASIDE_OF_OTHERS else None
        if likely["camera"] >= TO_CAMERA and abs(aside) <= NOSE_AHEAD:
            return "camera"
        is_sure = self.scene.face_score[self.main] >= FACE_ASIDE and likely[side] >= TO_SIDE
        return side if is_sure and abs(aside) >= NOSE_ASIDE else None

    def _clothes(self, box: Box) -> str | None:
        """Return the colour of the main person's clothes, as far as a crop shows them."""
        chest, head = self._chest, self.grounding.head
        if chest is None or head is None or self._is_dog(head):
            return None
        x0, x1 = max(chest[0], box.x0), min(chest[2], box.x1)
        y0, y1 = max(chest[1], box.y0), min(chest[3], box.y1)
        if y1 - y0 < LEAST_CHEST * head.height or x1 <= x0:
            return None
        colour = plain_colour(self._pixels_in((x0, y0, x1, y1)), CLOTHES)
        if colour is None or self._changes_below(colour, x0, x1, y1, head.height):
            return None
        if colour == "light":
            return colour
        # A chest of the face's colour may be bare.
        alike = self._is_silhouette if colour == "dark" else share_of(colour, self._face) >= SAME_COLOUR
        return None if alike or share_of(colour, self.pixels.reshape(-1, 3), pale=True) >= TINT else colour

    def _changes_below(self, colour: str, x0: float, x1: float, y: float, unit: float) -> bool:
        """Whether clothes have another colour below the chest, which ends at y."""
        below = self._pixels_in((x0, y, x1, min(y + WAIST * unit, 1.0)))
        if not len(below):
            return False
        return any(share >= OTHER_BELOW for other, share in shares_of(below).items() if other != colour)

    @cached_property
    def _face(self) -> Pixels:
        """The pixels in the middle of the main head."""
        head = self.grounding.head
        assert head is not None
        across, down = head.width / 4, head.height / 4
        return self._pixels_in((head.x0 + across, head.y0 + down, head.x1 - across, head.y1 - down))

    @cached_property
    def _is_silhouette(self) -> bool:
        """Whether the main head is as dark as dark clothes would be."""
        return bool(np.median(self._face.max(1)) < SILHOUETTE)

    @cached_property
    def _chest(self) -> tuple[float, float, float, float] | None:
        """The chest of the main person, between shoulders and waist; None where it is not sure."""
        head, body, main = self.grounding.head, self.grounding.main_person, self.main
        if head is None or main is None or self.scene.head_score[main] < LEAST_HEAD:
            return None
        joints = self.scene.joints[main]
        shoulders, hips = joints[:2], joints[6:8]
        if not (shoulders[:, 2] > JOINT_SEEN).all():
            return None
        unit = head.height
        x, y = (float(value) for value in shoulders[:, :2].mean(0))
        top = y + BELOW_SHOULDERS * unit
        bottom = top + CHEST_HEIGHT * unit
        if (hips[:, 2] > JOINT_SEEN).all():
            hip_x, hip_y = (float(value) for value in hips[:, :2].mean(0))
            bottom = max(min(bottom, y + 0.75 * (hip_y - y)), y + 0.5 * unit)
            x += 0.35 * (hip_x - x)
        if body is not None:
            bottom = min(bottom, body.y1)
        half = HALF_CHEST * unit / self.scene.aspect
        return max(x - half, 0.0), top, min(x + half, 1.0), min(bottom, 1.0)

    def _background(self, box: Box) -> str | None:
        """Return the colour of what is to the left and right of the heads in a crop."""
        head = self.grounding.head
        assert head is not None
        lowest = head.y0 + 0.75 * head.height
        strips = []
        for left, right in ((box.x0, head.x0 - 0.15 * head.width), (head.x1 + 0.15 * head.width, box.x1)):
            if right - left < 0.1 * box.width:
                return None
            strips.append(self._pixels_in((left, box.y0, right, lowest)))
        others = (i for i in range(len(self.scene)) if i != self.main)
        if any(_touches(self.scene.head[i], box) or _touches(self.scene.body[i], box) for i in others):
            return None
        colours = {plain_colour(strip, BACKGROUND) for strip in strips}
        colour = colours.pop()
        return None if colours else colour

    def _pixels_in(self, box: tuple[float, float, float, float]) -> Pixels:
        """Return the pixels (n, 3) in a box of the photo frame."""
        height, width = self.pixels.shape[:2]
        x0, x1 = int(box[0] * width), int(np.ceil(box[2] * width))
        y0, y1 = int(box[1] * height), int(np.ceil(box[3] * height))
        inside: Pixels = self.pixels[y0:y1, x0:x1].reshape(-1, 3)
        return inside

    def _sees(self, concept: str, box: Box | None) -> bool:
        """Whether the photo, and the crop if there is one, surely show a concept."""
        rule = self._rules.get(concept)
        if rule is None:
            return False
        row, threshold = rule
        return self._logits[row] >= threshold and (box is None or _mean_in(self.concepts[row], box) >= threshold)

    def _logit(self, concept: str) -> float:
        """Return the photo's logit of a concept; minus infinity for unknown ones."""
        rule = self._rules.get(concept)
        return -np.inf if rule is None else self._logits[rule[0]]

    @cached_property
    def _logits(self) -> Sequence[float]:
        """The photo's logits of all concepts."""
        logits: list[float] = self.concepts.reshape(len(self.concepts), -1).mean(1).tolist()
        return logits

    @cached_property
    def _rules(self) -> Mapping[str, tuple[int, float]]:
        return {
            rule.name: (row, rule.threshold + MARGINS.get(rule.name, 0.0))
            for row, rule in enumerate(self.manifest.concepts)
        }

    def _place(self, box: Box) -> str | None:
        """Return where the people are, as far as a crop shows it."""
        found = {
            name
            for name in ("snow", "ice", "pool", "beach", "water", "rocks", "playground", "grass", "trees", "street")
            if self._sees(name, box)
        }
        setting = self.grounding.setting
        if setting == "indoor":
            found -= OUTSIDE
        if {"snow", "water"} <= found:
            # White water looks like snow, and snow like white water.
            found -= {"snow", "water"}
        if self._logit("snow") >= NO_SNOW:
            found -= {"beach", "water"}
        if self._logit("ice") >= NO_ICE:
            found -= {"beach"}
        if "water" in found and self._sees("swimming", box):
            found.add("in water")
        order = ("snow", "ice", "pool", "in water", "beach", "water", "rocks", "playground", "grass", "trees", "street")
        return next((name for name in order if name in found), setting)

    def _thing(self, box: Box) -> str | None:
        """Return an animal or object in a crop."""
        if self._sees("dog", box) and len(self._animals_in(box)) == 1:
            return "dog"
        bicycle, motorcycle = self._logit("bicycle"), self._logit("motorcycle")
        if self._sees("motorcycle", box) and motorcycle > bicycle:
            return "motorcycle"
        if self._sees("bicycle", box) and motorcycle < NO_MOTORCYCLE:
            return "bicycle"
        if self._sees("ball", box) and not self._action(box) and self._holds_object(box):
            return "ball"
        return next((name for name in ("skateboard", "boat") if self._sees(name, box)), None)

    def _animals_in(self, box: Box, share: float = IN_CROP) -> Sequence[Floats]:
        """Return the animals of which a crop holds a share, each as a box with a score (5,)."""
        return [
            animal
            for animal in self.scene.animals
            if animal[4] >= LEAST_ANIMAL and _head_share(animal[:4], box) >= share
        ]

    def _holds_object(self, box: Box) -> bool:
        """Whether a crop holds most of the photo, or an object that may be a ball."""
        objects = self.scene.objects
        return box.area >= MOST_OF_PHOTO or any(_head_share(one[:4], box) >= IN_CROP for one in objects)

    def _action(self, box: Box) -> str | None:
        """Return what the people in a crop do."""
        return next((name for name in ("climbing", "basketball", "tennis", "baseball") if self._sees(name, box)), None)


def _one_of_several(facts: CropFacts, *others: Who) -> CropFacts:
    """Call a single person one of the people of a photo that shows more.

    Args:
        facts: What a crop shows.
        others: Whom else to call so.
    """
    is_single = facts.who in (Who.PERSON, Who.ALONE, *others)
    return replace(facts, who=Who.ONE, behind=None) if is_single else facts


def _not_the_main_one(facts: CropFacts) -> CropFacts:
    """Call somebody who is not the main person of the photo a person."""
    return replace(facts, who=Who.PERSON) if facts.who is Who.MAIN else facts


def _head_share(sides: Floats, box: Box) -> float:
    """Return which share of a box (4,) another box holds; 0 for unknown boxes."""
    x0, y0, x1, y1 = (float(side) for side in sides)
    area = (x1 - x0) * (y1 - y0)
    width, height = min(x1, box.x1) - max(x0, box.x0), min(y1, box.y1) - max(y0, box.y0)
    return width * height / area if area > 0 and width > 0 and height > 0 else 0.0


def _head_shares(sides: Floats, box: Box) -> Floats:
    """Return which share of each of n boxes (n, 4) another box holds; 0 for unknown boxes."""
    x0, y0, x1, y1 = sides.astype(np.float64).T
    area = (x1 - x0) * (y1 - y0)
    width, height = np.minimum(x1, box.x1) - np.maximum(x0, box.x0), np.minimum(y1, box.y1) - np.maximum(y0, box.y0)
    is_shared = (area > 0) & (width > 0) & (height > 0)
    shares: Floats = np.divide(width * height, area, out=np.zeros(len(sides)), where=is_shared)
    return shares


def _iou(one: Floats, other: Floats) -> float:
    """Return the intersection over union of two boxes; 0 for unknown boxes."""
    return 0.0 if np.isnan(one).any() or np.isnan(other).any() else iou(_box(one), _box(other))


def _box(sides: Floats) -> Box:
    x0, y0, x1, y1 = (float(side) for side in sides[:4])
    return clamp(x0, y0, x1, y1)


def _touches(sides: Floats, box: Box) -> bool:
    return _head_share(sides, box) > 0


def _mean_in(grid: Floats, box: Box) -> float:
    """Return the mean of a grid's cells (c, c) over a box of the photo frame."""
    count = len(grid)
    edges = np.arange(count + 1) / count
    across = (np.minimum(edges[1:], box.x1) - np.maximum(edges[:-1], box.x0)).clip(0)
    down = (np.minimum(edges[1:], box.y1) - np.maximum(edges[:-1], box.y0)).clip(0)
    return float((grid * down[:, None] * across).sum() / (down.sum() * across.sum()))
