from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from shotcrop_cli.model.nano import grammar
from shotcrop_cli.shots import Box, Grounding
from shotcrop_train.nano import NanoConfig, NanoForConditionalGeneration
from shotcrop_train.nano.configuration import default_text_config
from shotcrop_train.nano.loss import LossWeights, bag_loss, generalised_iou, grounding_boxes, nano_loss, spot_loss
from shotcrop_train.nano.neck import cell_centres, expected_boxes, likeliest_boxes
from shotcrop_train.nano.torch_network import TorchNetwork, decoder_of, vocabulary_of
from shotcrop_train.nano.tower import BATCH_NORM_EPS, LITE2_STAGES, Lite2Tower, fold_batch_norms
from training import CAPTIONS, save_tiny_model, tiny_model

ANSWER = grammar.write(
    Grounding(Box(0.2, 0.1, 0.5, 0.9), Box(0.3, 0.1, 0.4, 0.2), 1, "outdoor", "left", "full"),
    [
        (Box(0.0, 0.0, 1.0, 1.0), CAPTIONS[0]),
        (Box(0.1, 0.1, 0.6, 0.6), CAPTIONS[1]),
        (Box(0.3, 0.1, 0.5, 0.3), "a face"),
    ],
)


def rows(count: int) -> Dataset:
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(count)]
    return Dataset.from_list(
        [
            {
                "image": photo,
                "prompt": [{"role": "user", "content": grammar.ASPECT}],
                "completion": [{"role": "assistant", "content": ANSWER}],
            }
            for photo in photos
        ]
    )


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "learning_rate": 3e-3,
    }


def losses(trainer: Any, key: str) -> list[float]:
    return [float(line[key]) for line in trainer.state.log_history if key in line]


def test_stock_sft_trainer_drives_the_model(tmp_path: Path) -> None:
    model, processor = tiny_model()
    arguments = SFTConfig(max_steps=8, max_length=None, gradient_checkpointing=False, **settings(tmp_path))
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=rows(8), processing_class=processor)
    trainer.train()
    found = losses(trainer, "loss")
    assert found[-1] < found[0] - 0.4


def test_stock_grpo_trainer_drives_the_model(tmp_path: Path) -> None:
    model, processor = tiny_model()

    def reward(completions: list[list[dict[str, str]]], **_: Any) -> list[float]:
        # Location tokens must reach the reward: they are no special tokens.
        return [float(completion[0]["content"].count("<loc_")) for completion in completions]

    arguments = GRPOConfig(
        max_steps=2, num_generations=4, max_completion_length=16, gradient_checkpointing=False, **settings(tmp_path)
    )
    trainer = GRPOTrainer(
        model=model,
        args=arguments,
        train_dataset=rows(4).remove_columns("completion"),
        reward_funcs=reward,
        processing_class=processor,
    )
    trainer.train()
    assert max(losses(trainer, "reward")) > 0.0


def test_a_saved_model_loads_with_the_auto_classes_and_answers_alike(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "checkpoint")
    loaded, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert isinstance(loaded, NanoForConditionalGeneration)
    model, _ = tiny_model()
    inputs = processor(images=[Image.new("RGB", (80, 60))], text=[grammar.prompt(1)], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(loaded.eval()(**inputs).logits, model.eval()(**inputs).logits)


def test_the_processor_tells_the_model_the_aspect() -> None:
    _, processor = tiny_model()
    photos = [Image.new("RGB", (80, 40)), Image.new("RGB", (40, 80))]
    ids = processor(images=photos, text=[grammar.prompt(1)] * 2)["input_ids"]
    names = [processor.tokenizer.convert_ids_to_tokens(row)[-3] for row in ids]
    assert names == [grammar.aspect_token(2.0), grammar.aspect_token(0.5)]
    assert len(ids[0]) == processor.num_image_tokens + 4


def test_the_chat_template_gives_the_prompt_of_the_grammar() -> None:
    _, processor = tiny_model()
    content = [{"type": "image"}, {"type": "text", "text": grammar.ASPECT}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    assert text == grammar.prompt(1)


def test_cached_steps_give_the_logits_of_a_whole_pass() -> None:
    model, processor = tiny_model()
    model.eval()
    ids = np.array(processor.tokenizer([grammar.prompt(processor.num_image_tokens, "<aspect_7>")] * 2)["input_ids"])
    pixels = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    model.config.no_subject_threshold = 2.0
    (draft, _) = decoder_of(processor.tokenizer, model.config).decode(TorchNetwork(model), pixels, ids)
    whole = np.concatenate([ids[0], draft.tokens])[None]
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(whole), pixel_values=torch.from_numpy(pixels[:1])).logits[0].numpy()
    network = TorchNetwork(model)
    stepped = [network.start(pixels[:1], ids[:1])[0]] + [network.step(np.array([[token]])) for token in draft.tokens]
    assert np.abs(np.concatenate(stepped) - logits[ids.shape[1] - 1 :]).max() < 1e-4


def test_the_shipped_size_is_at_most_fifteen_million_parameters() -> None:
    model = NanoForConditionalGeneration(NanoConfig(text_config=default_text_config(4096)))
    assert sum(parameter.numel() for parameter in model.parameters()) <= 15_000_000


def test_the_tower_keeps_the_published_network_exactly() -> None:
    """Folding is compared with an unfolded block computed by hand, on random weights and statistics."""
    rng = torch.Generator().manual_seed(0)
    weights = {}
    block = 0

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"] = torch.rand(channels, generator=rng) + 0.5
        weights[f"{name}.bias"] = torch.randn(channels, generator=rng)
        weights[f"{name}.running_mean"] = torch.randn(channels, generator=rng)
        weights[f"{name}.running_var"] = torch.rand(channels, generator=rng) + 0.5

    def conv(name: str, *shape: int) -> None:
        weights[f"{name}.weight"] = torch.randn(*shape, generator=rng) * 0.1

    conv("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    inputs = 32
    for stage in LITE2_STAGES:
        for _ in range(stage.blocks):
            name, width = f"_blocks.{block}", inputs * stage.expansion
            if stage.expansion != 1:
                conv(f"{name}._expand_conv", width, inputs, 1, 1)
                norm(f"{name}._bn0", width)
            conv(f"{name}._depthwise_conv", width, 1, stage.kernel, stage.kernel)
            norm(f"{name}._bn1", width)
            conv(f"{name}._project_conv", stage.channels, width, 1, 1)
            norm(f"{name}._bn2", stage.channels)
            inputs, block = stage.channels, block + 1
    tower = Lite2Tower()
    tower.load_state_dict(fold_batch_norms(weights))

    def batch_norm(x: Any, name: str) -> Any:
        parts = (weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, *parts, eps=BATCH_NORM_EPS)

    x = torch.randn(1, 3, 32, 32, generator=rng)
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))  # SAME for kernel 3, stride 2
    expected = torch.nn.functional.conv2d(padded, weights["_conv_stem.weight"], stride=2)
    expected = batch_norm(expected, "_bn0").clamp(0, 6)
    assert torch.allclose(tower.stem(x), expected, atol=1e-4)
    depthwise = torch.nn.functional.conv2d(expected, weights["_blocks.0._depthwise_conv.weight"], padding=1, groups=32)
    depthwise = batch_norm(depthwise, "_blocks.0._bn1").clamp(0, 6)
    project = torch.nn.functional.conv2d(depthwise, weights["_blocks.0._project_conv.weight"])
    assert torch.allclose(tower.stages[0](expected), batch_norm(project, "_blocks.0._bn2"), atol=1e-4)
    assert [tuple(feature.shape[1:]) for feature in tower(torch.zeros(1, 3, 64, 64))] == [
        (48, 8, 8),
        (120, 4, 4),
        (352, 2, 2),
    ]


def test_freezing_stops_the_first_stages_only() -> None:
    tower = Lite2Tower()
    tower.freeze(2)
    trained = {name.split(".")[1] for name, value in tower.named_parameters() if value.requires_grad}
    assert trained == {"2", "3", "4", "5", "6"}


NOTHING_SPOTTED = (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4, 4))


def test_loss_falls_as_the_location_nears_its_target() -> None:
    vocabulary = vocabulary_of(tiny_model()[1].tokenizer)
    size, first = len(vocabulary), vocabulary.locations.start
    labels = torch.tensor([[-100, first + 50, first + 60, first + 150, first + 160]])

    def loss(shift: int) -> float:
        # Hidden states are the logits themselves: the head is the identity.
        hidden = torch.zeros(1, 5, size)
        for place, label in enumerate(labels[0, 1:].tolist()):
            hidden[0, place, label + shift] = 20.0
        parts = nano_loss(
            hidden,
            *NOTHING_SPOTTED,
            torch.zeros(1, size),
            torch.eye(size),
            labels,
            torch.ones(1, 5),
            torch.zeros(1, vocabulary.text_tokens),
            vocabulary,
            LossWeights(),
        )
        return float(parts.total)

    values = [loss(shift) for shift in (0, 3, 10, 30)]
    assert values == sorted(values)


def test_unlabelled_and_weightless_tokens_cost_nothing() -> None:
    vocabulary = vocabulary_of(tiny_model()[1].tokenizer)
    size, first = len(vocabulary), vocabulary.locations.start
    torch.manual_seed(0)
    hidden = torch.randn(1, 6, size, requires_grad=True)
    labels = torch.tensor([[-100, 5, first + 1, first + 2, first + 3, first + 4]])
    weights = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    told, bags = torch.randn(1, size, requires_grad=True), torch.zeros(1, vocabulary.text_tokens)
    parts = nano_loss(hidden, *NOTHING_SPOTTED, told, torch.eye(size), labels, weights, bags, vocabulary, LossWeights())
    parts.total.backward()
    assert all(float(part.detach()) == 0.0 for part in (parts.l1, parts.giou, parts.locations, parts.bag))
    assert told.grad is not None and not told.grad.any()
    assert hidden.grad is not None
    assert hidden.grad[0, 0].abs().sum() > 0
    assert hidden.grad[0, 1:].abs().sum() == 0


def test_the_teller_is_taught_the_words_of_captioned_photos_alone() -> None:
    bags = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    def loss(told: list[float]) -> float:
        return float(bag_loss(torch.tensor([told, [9.0, -9.0, 9.0, -9.0]]), torch.eye(4), bags))

    right, undecided, wrong = loss([20.0, 20.0, 0.0, 0.0]), loss([0.0] * 4), loss([0.0, 0.0, 20.0, 20.0])
    assert right == pytest.approx(math.log(2), abs=1e-4)
    assert undecided == pytest.approx(math.log(4), abs=1e-4)
    assert wrong > undecided


def test_spotter_is_taught_the_boxes_that_the_answer_names() -> None:
    _, processor = tiny_model()
    vocabulary = vocabulary_of(processor.tokenizer)
    nobody = processor.tokenizer([grammar.PEOPLE[0] + grammar.END + grammar.PAD * 80])["input_ids"][0]
    answer = processor.tokenizer([ANSWER])["input_ids"][0]
    labels = torch.tensor([answer, nobody[: len(answer)]])
    boxes, known = grounding_boxes(labels, vocabulary)
    assert known.tolist() == [[True, True], [False, False]]
    assert torch.allclose(boxes[0], torch.tensor([[0.2, 0.1, 0.5, 0.9], [0.3, 0.1, 0.4, 0.2]]), atol=0.5 / 255 + 1e-6)

    def loss(x: int, y: int, wide: float) -> float:
        """Loss of a spotter that is sure of a cell and sees a box around its own centre from everywhere."""
        scores = torch.full((2, 2, 16, 16), -30.0)
        scores[:, :, y, x] = 0.0
        centres = cell_centres(16, scores)
        spots = torch.cat((centres - wide / 2, centres + wide / 2))[None, None].expand(2, 2, -1, -1, -1)
        return float(spot_loss(scores[:, 1:], spots[:, 1:], boxes[:, 1:], known[:, 1:]))

    # The head's centre, (.35, .15), lies in cell (5, 2); it is .1 wide.
    assert loss(5, 2, 0.1) < loss(5, 2, 0.3)
    assert loss(5, 2, 0.1) < loss(9, 2, 0.1)
    assert loss(5, 2, 0.1) < loss(5, 9, 0.1)


def test_spotted_probabilities_sum_to_one_over_the_photo() -> None:
    model, _ = tiny_model()
    tokens, scores, boxes, _ = model.model.spot(torch.zeros(2, 3, 64, 64))
    assert tokens.shape == (2, 6, 32)
    assert boxes.shape == (2, 2, 4, 4, 4)
    assert torch.allclose(scores.exp().sum((2, 3)), torch.ones(2, 2))
    assert (boxes[:, :, :2] < boxes[:, :, 2:]).all()
    for found in (expected_boxes(scores, boxes), likeliest_boxes(scores, boxes)):
        assert found.shape == (2, 2, 4)
        assert ((found >= 0) & (found <= 1)).all()


def test_generalised_iou_is_one_for_equal_boxes_and_negative_for_distant_ones() -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.0, 0.0, 0.1, 0.1]])
    assert torch.allclose(generalised_iou(boxes, boxes), torch.ones(2))
    assert float(generalised_iou(boxes[:1], torch.tensor([[0.8, 0.8, 0.9, 0.9]]))) < 0
