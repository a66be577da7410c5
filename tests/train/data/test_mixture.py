from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import AddedToken
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.model.large.answer import LOCATION_TOKENS, CoordSpace
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Grounding, NoSubject, Reasoning
from shotcrop_train.data.augmentation import Augmentation
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.mixture import Mixture, row
from shotcrop_train.data.samples import Sample, ShotTarget, empty_samples, expert_samples, load_photo, proposal_samples
from shotcrop_train.data.text_collator import IGNORED, TextCollator
from training import CAPTIONS, NO_AUGMENTATION, write_dataset
from vlm import FAMILIES, tiny_vlm

SHARES = {"expert": 0.6, "proposal": 0.2, "empty": 0.2}
PROCESSORS = {family: tiny_vlm(family)[1] for family in FAMILIES}
NO_PEOPLE = Sample(Path("empty.jpg"), 1.5, Grounding(people=0), ())
TEXT = TextContract(CoordSpace.PERMILLE, True, lambda size: size)


def groups(folder: Path) -> dict[str, list[Sample]]:
    for kind in ("experts", "proposals", "empty"):
        write_dataset(folder / kind, 6, kind)
    return {
        "expert": expert_samples(read_dataset(folder / "experts")),
        "proposal": proposal_samples(read_dataset(folder / "proposals"), 0.25),
        "empty": empty_samples(read_dataset(folder / "empty")),
    }


def sample(*weights: float, captions: tuple[str, ...] = tuple(CAPTIONS), reasoning: str = "A field.") -> Sample:
    boxes = (Box(0.0, 0.0, 1.0, 1.0), Box(0.2, 0.1, 0.8, 0.7), Box(0.4, 0.2, 0.5, 0.35))
    shots = tuple(
        ShotTarget(box, (caption,), weight) for box, caption, weight in zip(boxes, captions, weights, strict=True)
    )
    return Sample(
        Path("a.jpg"),
        1.5,
        Grounding(boxes[1], boxes[2], 1, "outdoor", "left", "full"),
        shots,
        Reasoning(reasoning, "A man.", "He stands."),
    )


def rows(contract: TextContract, *samples: Sample) -> list[dict[str, Any]]:
    """Write samples beside photos of different shapes."""
    made = []
    for index, one in enumerate(samples):
        image = Image.new("RGB", (96 + 40 * index, 72), (40 * index, 90, 90))
        made.append(row(one, image, contract, np.random.default_rng(0)) | {"draw": index})
    return made


def test_a_row_is_what_trl_wants_with_spans_and_its_number(tmp_path: Path) -> None:
    mixture = Mixture(groups(tmp_path), SHARES, 12, NO_AUGMENTATION, 3, TEXT)
    dataset = mixture.dataset()
    assert len(dataset) == 12
    for index in range(12):
        one = dataset[index]
        assert set(one) == {"image", "prompt", "completion", "spans", "draw"}
        assert [message["role"] for message in one["prompt"] + one["completion"]] == ["user", "assistant"]
        assert one["image"].size == (96, 72) and one["draw"] == index
        assert not one["spans"] or [weight for _, _, weight in one["spans"][3:]] == [0.0] * (len(one["spans"]) - 3)
        assert one["completion"] == mixture.draw(index)["completion"]


def test_weights_reach_the_spans(tmp_path: Path) -> None:
    made = groups(tmp_path)
    for name, weight in (("expert", 1.0), ("proposal", 0.25)):
        mixture = Mixture(made, {name: 1.0}, 1, NO_AUGMENTATION, 0, TEXT)
        assert [found for _, _, found in mixture.draw(0)["spans"][:3]] == [weight] * 3


def test_a_rejected_shot_weighs_nothing_and_keeps_its_place(tmp_path: Path) -> None:
    write_dataset(tmp_path / "experts", 1, "experts")
    (record,) = read_dataset(tmp_path / "experts")
    (made,) = expert_samples([replace(record, accepted=(True, False, True))])
    assert [shot.weight for shot in made.shots] == [1.0, 0.0, 1.0]
    assert made.shots[1].box is not None
    assert made.reasoning.scene == "A field."


def test_large_models_see_photos_in_their_own_shape_up_to_a_longest_side(tmp_path: Path) -> None:
    made = groups(tmp_path)
    for max_side, size in ((None, (96, 72)), (200, (96, 72)), (48, (48, 36))):
        mixture = Mixture(made, SHARES, 4, NO_AUGMENTATION, 0, TEXT, max_side=max_side)
        assert {mixture.draw(index)["image"].size for index in range(4)} == {size}


def test_a_photo_is_loaded_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 60)).save(tmp_path / "turned.jpg", exif=exif)
    assert load_photo(tmp_path / "turned.jpg").size == (60, 90)
    assert load_photo(tmp_path / "turned.jpg", 45).size == (30, 45)


def test_answers_in_words_are_drawn_from_complete_samples_alone(tmp_path: Path) -> None:
    made = groups(tmp_path)
    partial = [replace(one, shots=(*one.shots[:2], ShotTarget())) for one in made["expert"]]
    mixture = Mixture({**made, "expert": [*partial, made["expert"][0]]}, {"expert": 1.0}, 8, NO_AUGMENTATION, 0, TEXT)
    assert len(mixture.groups[0]) == 1
    with pytest.raises(ValueError, match=r"group .expert. has a share .* but no samples"):
        Mixture({"expert": partial}, {"expert": 1.0}, 8, NO_AUGMENTATION, 0, TEXT)


def test_augmented_answers_in_words_stay_readable(tmp_path: Path) -> None:
    varied = Augmentation(crop=1.0, smallest_crop=0.3)
    mixture = Mixture(groups(tmp_path), SHARES, 40, varied, 0, TEXT)
    sizes = set()
    for index in range(40):
        one = mixture.draw(index)
        sizes.add(one["image"].size)
        answer = TEXT.read(one["completion"][0]["content"], one["image"].size)
        assert isinstance(answer, (Composition, NoSubject))
    assert len(sizes) > 5


every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_with_all_weights_1_the_batch_is_trls_own(family: str) -> None:
    processor = PROCESSORS[family]
    made = rows(TEXT, sample(1, 1, 1), sample(1, 1, 1, captions=("a", "b", "c")))
    plain = [{key: one[key] for key in ("image", "prompt", "completion")} for one in made]
    expected = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)(plain)
    batch = TextCollator(processor)(made)
    assert set(batch) == {*expected, "token_weights"}
    for key, tensor in expected.items():
        assert torch.equal(batch[key], tensor)
    assert torch.equal(batch["token_weights"], (expected["labels"] != IGNORED).float())
    # Photos of two shapes have grids of two sizes.
    assert batch["image_grid_thw"].shape == (2, 3)
    assert set(made[0]) == {"image", "prompt", "completion", "spans", "draw"}


def labelled_text(processor: Any, ids: torch.Tensor, labels: torch.Tensor) -> str:
    return str(processor.tokenizer.decode(ids[labels != IGNORED]))


@every_family
def test_a_large_model_learns_nothing_from_a_rejected_shot(family: str) -> None:
    processor = PROCESSORS[family]
    made = rows(TEXT, sample(1, 0, 1), sample(0, 1, 0), sample(1, 1, 1))
    batch = TextCollator(processor)(made)
    for ids, labels, kept in zip(batch["input_ids"], batch["labels"], ((0, 2), (1,), (0, 1, 2)), strict=True):
        text = labelled_text(processor, ids, labels)
        # Tokens on a rejected entry's border go with it: a brace or a quote at most.
        assert text.startswith(
            "<think>\nscene: A field.\nsubject: A man.\nstory: He stands.\n</think>\n<answer"
        ) and text.endswith("answer><|im_end|>\n")
        for place, (kind, caption) in enumerate(zip(SHOT_TYPES, CAPTIONS, strict=True)):
            assert (caption in text) == (f"{kind}" in text) == (place in kept)


def test_weights_between_0_and_1_are_those_of_the_whole_entry() -> None:
    processor = PROCESSORS["qwen3-vl"]
    made = rows(TEXT, sample(1, 0.25, 1))
    batch = TextCollator(processor)(made)
    ids, weights = batch["input_ids"][0], batch["token_weights"][0]
    start, end, _ = made[0]["spans"][1]
    entry = processor.tokenizer.decode(ids[weights == 0.25])
    assert made[0]["completion"][0]["content"][start:end] in entry
    assert set(weights.tolist()) == {0.0, 0.25, 1.0}
    assert ((weights > 0) == (batch["labels"][0] != IGNORED)).all()


def test_the_answer_for_a_photo_without_people_is_learned_whole() -> None:
    batch = TextCollator(PROCESSORS["qwen3-vl"])(rows(TEXT, NO_PEOPLE))
    text = labelled_text(PROCESSORS["qwen3-vl"], batch["input_ids"][0], batch["labels"][0])
    assert text == '<answer>{"no_subject": true}</answer><|im_end|>\n'


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)
weighted = st.sampled_from([0.0, 0.5, 1.0])


@settings(max_examples=40)
@given(st.tuples(words, words, words), st.tuples(weighted, weighted, weighted), words)
def test_no_token_with_a_label_touches_a_rejected_entry(
    captions: tuple[str, ...], weights: tuple[float, ...], scene: str
) -> None:
    processor = PROCESSORS["qwen3-vl"]
    made = rows(TEXT, sample(*weights, captions=captions, reasoning=scene))
    batch = TextCollator(processor)(made)
    answer = made[0]["completion"][0]["content"]
    tokens = processor.tokenizer(answer, return_offsets_mapping=True)
    # Behind the prompt, the answer's own tokens come first; the end of the turn is no part of them.
    first = int((batch["token_weights"][0] > 0).nonzero()[0, 0])
    assert batch["input_ids"][0, first : first + len(tokens["input_ids"])].tolist() == tokens["input_ids"]
    for place, (low, high) in enumerate(tokens["offset_mapping"], start=first):
        touched = [weight for start, end, weight in made[0]["spans"] if low < end and start < high]
        assert float(batch["token_weights"][0, place]) == min(touched, default=1.0)
        assert bool(batch["labels"][0, place] == IGNORED) == (0.0 in touched)


def test_added_location_tokens_are_learned_one_by_one() -> None:
    processor = tiny_vlm()[1]
    processor.tokenizer.add_tokens([AddedToken(token, normalized=False) for token in LOCATION_TOKENS])
    contract = TextContract(CoordSpace.LOCATION, False, lambda size: size)
    batch = TextCollator(processor)(rows(contract, sample(1, 0, 1)))
    learned = batch["labels"][0][batch["labels"][0] != IGNORED]
    names = processor.tokenizer.convert_ids_to_tokens(learned)
    assert [name for name in names if name.startswith("<loc_")] == [
        *("<loc_0>", "<loc_0>", "<loc_255>", "<loc_255>"),
        *("<loc_102>", "<loc_51>", "<loc_128>", "<loc_89>"),
    ]


def test_a_batch_can_be_cut_to_a_longest_sequence() -> None:
    processor = PROCESSORS["qwen3-vl"]
    made = rows(TEXT, sample(1, 0, 1), sample(1, 1, 1))
    whole = TextCollator(processor)(made)
    length = whole["input_ids"].shape[1] - 25
    cut = TextCollator(processor, max_length=length)(made)
    for key in ("input_ids", "labels", "token_weights", "attention_mask"):
        assert torch.equal(cut[key], whole[key][:, :length])


def with_template(change: tuple[str, str]) -> Any:
    processor = tiny_vlm()[1]
    assert change[0] in processor.chat_template
    processor.chat_template = processor.chat_template.replace(*change)
    return processor


def test_a_template_may_open_the_thought_itself() -> None:
    opened = with_template(("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n<think>\n'"))
    made = rows(TEXT, sample(1, 0, 1))
    batch = TextCollator(opened)(made)
    text = labelled_text(opened, batch["input_ids"][0], batch["labels"][0])
    assert text.startswith("scene: A field.\nsubject: A man.\nstory: He stands.\n</think>")
    assert CAPTIONS[0] in text and CAPTIONS[1] not in text and CAPTIONS[2] in text


def test_a_template_that_changes_answers_is_refused() -> None:
    shouting = with_template(("{{ part['text'] }}", "{{ part['text'] | upper }}"))
    with pytest.raises(ValueError, match="the chat template changes the answer"):
        TextCollator(shouting)(rows(TEXT, sample(1, 1, 1)))


def test_labels_that_are_not_the_answers_tokens_are_refused() -> None:
    processor = tiny_vlm()[1]
    plain = processor.tokenizer

    class Forgetful:
        """A tokenizer that writes other tokens when it is asked for offsets."""

        def __call__(self, text: Any, **kwargs: Any) -> Any:
            return plain(f" {text}" if kwargs.get("return_offsets_mapping") else text, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(plain, name)

    processor.tokenizer = Forgetful()
    with pytest.raises(ValueError, match="the labels are not the answer's tokens"):
        TextCollator(processor)(rows(TEXT, sample(1, 1, 1)))
