from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.nano import grammar
from shotcrop_cli.model.nano.generate import MAX_CAPTION_TOKENS, Decoder, Floats, Ids, caption_masks, decode_location
from shotcrop_cli.shots import Box, Composition, Grounding, NoSubject

PIECES = [" a", " man", " rides", "ing", "é", " dog", ",", "\n"]
VOCABULARY = grammar.Vocabulary(len(PIECES))


def decoder(threshold: float = 0.5, think: bool = True, words: bool = True) -> Decoder:
    return Decoder(VOCABULARY, *caption_masks(PIECES), no_subject_threshold=threshold, think=think, words=words)


class NoisyNetwork:
    """Answers every step with logits drawn at random: the worst model there is."""

    wide = True

    def __init__(self, seed: int, scale: float = 10.0) -> None:
        self.rng, self.scale, self.batch = np.random.default_rng(seed), scale, 0

    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        self.batch = len(prompt)
        return self._logits(), self.rng.uniform(-0.2, 1.2, size=(self.batch, 2, 4)).astype(np.float32)

    def step(self, tokens: Ids) -> Floats:
        assert tokens.shape[0] == self.batch and tokens.shape[1] > 0
        return self._logits()

    def _logits(self) -> Floats:
        return (self.rng.normal(size=(self.batch, len(VOCABULARY))) * self.scale).astype(np.float32)


def text_of(tokens: list[int]) -> str:
    names = [*PIECES, *grammar.CONTROL_TOKENS]
    return "".join(names[token] for token in tokens)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_every_answer_of_any_model_follows_the_grammar(seed: int, batch: int) -> None:
    pixels, prompt = np.zeros((batch, 3, 2, 2), np.float32), np.zeros((batch, 3), np.int64)
    for draft in decoder().decode(NoisyNetwork(seed), pixels, prompt):
        assert draft.done
        try:
            answer = grammar.read(text_of(draft.tokens))
        except AnswerError as error:
            pytest.fail(str(error))
        if draft.empty:
            assert isinstance(answer, NoSubject)
            continue
        assert isinstance(answer, Composition)
        assert len(draft.boxes) == 5
        assert all(caption for caption in draft.captions[:3])
        assert all(len(caption) <= MAX_CAPTION_TOKENS for caption in draft.captions)
        # What is fed back is the box that is given out, to the bin.
        for shot, box in zip(answer.shots, draft.boxes[2:], strict=True):
            assert all(abs(a - b) <= 0.51 / 255 for a, b in zip(shot.box, box, strict=True))


def test_a_model_whose_words_are_not_wanted_reads_unknown_captions() -> None:
    pixels, prompt = np.zeros((3, 3, 2, 2), np.float32), np.zeros((3, 3), np.int64)
    for draft in decoder(threshold=1.1, words=False).decode(NoisyNetwork(2), pixels, prompt):
        assert len(draft.tokens) == len(grammar.LAYOUT) - 1
        places = [place for place, slot in enumerate(grammar.LAYOUT) if slot is grammar.Slot.TEXT]
        assert [draft.tokens[place] for place in places] == [VOCABULARY.id(grammar.UNKNOWN)] * 3
        assert len(draft.boxes) == 5 and draft.captions[:3] == [[], [], []]


def test_a_model_without_chain_of_thought_reads_what_it_read_in_training() -> None:
    pixels, prompt = np.zeros((3, 3, 2, 2), np.float32), np.zeros((3, 3), np.int64)
    taught = grammar.write(Grounding(), [(Box(0.0, 0.0, 1.0, 1.0), "a")] * 3)
    thought = taught[: taught.index(grammar.SHOT_TOKENS[0])]
    for draft in decoder(think=False).decode(NoisyNetwork(1), pixels, prompt):
        assert text_of(draft.tokens).startswith(thought + grammar.SHOT_TOKENS[0])
        assert not draft.empty and len(draft.boxes) == 5 and len(draft.captions[:3]) == 3
        grounding = draft.sure_grounding()
        assert (grounding.people, grounding.setting, grounding.facing) == (None, None, None)
        assert grounding.main_person is not None and grounding.head is not None


def test_captions_use_plain_text_only_and_begin_with_a_word() -> None:
    allowed, starts = caption_masks(PIECES)
    assert [piece for piece, ok in zip(PIECES, allowed, strict=True) if ok] == [
        " a",
        " man",
        " rides",
        "ing",
        " dog",
        ",",
    ]
    pixels, prompt = np.zeros((8, 3, 2, 2), np.float32), np.zeros((8, 3), np.int64)
    for draft in decoder(threshold=2.0).decode(NoisyNetwork(3), pixels, prompt):
        for caption in draft.captions[:3]:
            assert starts[caption[0]]
            assert allowed[caption].all()
            assert all(a != b for a, b in pairwise(caption))


def test_rows_of_a_batch_do_not_disturb_each_other() -> None:
    class Repeating(NoisyNetwork):
        def _logits(self) -> Floats:
            return np.repeat(super()._logits()[:1], self.batch, axis=0)

        def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
            logits, spots = super().start(pixels, prompt)
            return logits, np.repeat(spots[:1], self.batch, axis=0)

    pixels, prompt = np.zeros((4, 3, 2, 2), np.float32), np.zeros((4, 3), np.int64)
    alike = decoder(2.0).decode(Repeating(5), pixels, prompt)
    assert all(draft.tokens == alike[0].tokens for draft in alike)


class Telling(NoisyNetwork):
    """A deterministic network whose logits depend on all tokens so far, and which counts its steps."""

    def __init__(self, wide: bool) -> None:
        super().__init__(0)
        self.wide, self.steps, self.read = wide, 0, np.zeros((0, 0), np.int64)

    def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
        spots = np.random.default_rng(1).uniform(0.1, 0.9, size=(len(prompt), 2, 4)).astype(np.float32)
        self.batch, self.read = len(prompt), prompt
        return self._told(), spots

    def step(self, tokens: Ids) -> Floats:
        self.steps += 1
        self.read = np.concatenate([self.read, tokens], axis=1)
        return self._told()

    def _told(self) -> Floats:
        rows = [np.random.default_rng(row.tolist()).normal(size=len(VOCABULARY)) * 10 for row in self.read]
        return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize(
    ("words", "think", "steps"), [(False, True, (30, 15)), (False, False, (30, 12)), (True, True, None)]
)
def test_tokens_known_beforehand_share_a_step_and_change_no_answer(
    words: bool, think: bool, steps: tuple[int, int] | None
) -> None:
    pixels, prompt = np.zeros((4, 3, 2, 2), np.float32), np.arange(12).reshape(4, 3)
    one_by_one, together = Telling(wide=False), Telling(wide=True)
    rules = decoder(1.1, think=think, words=words)
    drafts = zip(rules.decode(one_by_one, pixels, prompt), rules.decode(together, pixels, prompt), strict=True)
    for one, other in drafts:
        assert (one.tokens, one.boxes, one.scores) == (other.tokens, other.boxes, other.scores)
        assert (one.captions, one.confidences) == (other.captions, other.confidences)
    assert together.steps < one_by_one.steps
    assert steps is None or (one_by_one.steps, together.steps) == steps


def test_no_subject_threshold_decides() -> None:
    class Nobody(NoisyNetwork):
        def _logits(self) -> Floats:
            logits = np.zeros((self.batch, len(VOCABULARY)), np.float32)
            logits[:, VOCABULARY.id("<people_0>")] = 2.0  # softmax over five: .65
            return logits

    pixels, prompt = np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 3), np.int64)
    (draft,) = decoder(0.6).decode(Nobody(0), pixels, prompt)
    assert draft.empty
    assert draft.no_subject == pytest.approx(0.649, abs=1e-3)
    (draft,) = decoder(0.7).decode(Nobody(0), pixels, prompt)
    assert not draft.empty
    assert draft.grounding().people == 1


def test_what_the_model_is_unsure_of_is_left_out() -> None:
    pixels, prompt = np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 3), np.int64)
    (vague,) = decoder(2.0).decode(NoisyNetwork(0, scale=0.01), pixels, prompt)
    sure = vague.sure_grounding()
    assert (sure.people, sure.setting, sure.facing) == (None, None, None)
    assert vague.grounding().setting is not None
    (certain,) = decoder(2.0).decode(NoisyNetwork(2, scale=300.0), pixels, prompt)
    assert certain.sure_grounding() == certain.grounding()


def test_lead_and_head_are_where_the_spotter_saw_them() -> None:
    spots = np.array([[[0.1, 0.2, 0.7, 0.9], [0.3, 0.2, 0.45, 0.4]]], np.float32)

    class Spotting(NoisyNetwork):
        def start(self, pixels: Floats, prompt: Ids) -> tuple[Floats, Floats]:
            return super().start(pixels, prompt)[0], spots

    pixels, prompt = np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 3), np.int64)
    (draft,) = decoder(2.0).decode(Spotting(1), pixels, prompt)
    grounding = draft.grounding()
    assert grounding.main_person is not None and grounding.head is not None
    assert tuple(grounding.main_person) == pytest.approx(tuple(spots[0, 0]))
    assert tuple(grounding.head) == pytest.approx(tuple(spots[0, 1]))


def test_locations_are_read_below_a_bin() -> None:
    probabilities = np.zeros(256, np.float32)
    probabilities[[100, 101]] = 0.5
    coordinate, mass = decode_location(probabilities)
    assert coordinate == pytest.approx(100.5 / 255)
    assert mass == pytest.approx(1.0)
    spread = np.full(256, 1 / 256, np.float32)
    assert decode_location(spread)[1] < 0.1
