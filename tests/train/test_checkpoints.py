from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from PIL import Image

import vlm
from shotcrop_cli.errors import AnswerError, ExitCode, ModelError
from shotcrop_cli.model.large.answer import LOCATION_BINS, LOCATION_TOKENS, CoordSpace, render
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Reasoning, Shot
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.contract import TextContract
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.text_base import TextBase, freeze_vision, load_text_base
from shotcrop_train.torch_composer import TorchComposer

KEEP_SIZE = ModelRecipe(max_pixels=0)
SIZES = [(96, 72), (72, 96), (400, 300), (30, 31), (1000, 250)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {family: vlm.save_tiny_vlm(root / family, family) for family in vlm.FAMILIES}


def text_contract(base: TextBase) -> TextContract:
    return base.contract


@pytest.mark.parametrize("family", vlm.FAMILIES)
def test_a_base_writes_boxes_in_the_coordinates_of_its_family(folders: dict[str, Path], family: str) -> None:
    base = load_base(folders[family], KEEP_SIZE)
    assert isinstance(base, TextBase)
    habit = {"qwen3-vl": CoordSpace.PERMILLE, "qwen2.5-vl": CoordSpace.ABSOLUTE}
    assert text_contract(base).space is habit[family]


@pytest.mark.parametrize("family", vlm.FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_the_seen_size_is_the_one_the_processor_resizes_to(
    folders: dict[str, Path], family: str, size: tuple[int, int]
) -> None:
    base = load_base(folders[family], KEEP_SIZE)
    processor = base.processor.image_processor
    _, rows, columns = processor(images=[vlm.photo(*size)], return_tensors="np")["image_grid_thw"][0].tolist()
    assert text_contract(base).seen(size) == (columns * processor.patch_size, rows * processor.patch_size)


def test_pixel_limits_of_the_recipe_reach_the_processor(folders: dict[str, Path]) -> None:
    base = load_base(folders["qwen3-vl"], ModelRecipe(max_pixels=64 * 64))
    assert text_contract(base).seen((640, 640)) == (64, 64)
    pixels = base.processor.image_processor(images=[Image.new("RGB", (640, 640))], return_tensors="np")
    assert pixels["image_grid_thw"][0].tolist() == [1, 4, 4]
    assert base.max_side is not None and base.max_side < 100


def test_a_checkpoint_is_asked_as_it_was_trained(folders: dict[str, Path], tmp_path: Path) -> None:
    recipe = ModelRecipe(coord_space="absolute", think=False, max_pixels=64 * 64)
    trained = load_base(folders["qwen3-vl"]).configured(recipe)
    trained.model.save_pretrained(tmp_path)
    trained.processor.save_pretrained(tmp_path)
    again = load_base(tmp_path, ModelRecipe())
    assert text_contract(again).space is CoordSpace.ABSOLUTE
    assert not text_contract(again).think
    assert text_contract(again).seen((640, 640)) == (64, 64)


def test_location_tokens_join_the_vocabulary_once_and_lie_on_a_line(folders: dict[str, Path]) -> None:
    before = load_base(folders["qwen3-vl"]).model.get_input_embeddings().weight
    base = load_base(folders["qwen3-vl"], ModelRecipe(location_tokens=True))
    base = base.configured(ModelRecipe(location_tokens=True))
    assert text_contract(base).space is CoordSpace.LOCATION
    tokenizer = base.processor.tokenizer
    ids = tokenizer("".join(LOCATION_TOKENS[bin_] for bin_ in (0, 128, 255, 255)))["input_ids"]
    assert len(ids) == 4
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<loc_0><loc_128><loc_255><loc_255>"
    weight = base.model.get_input_embeddings().weight.detach()
    assert len(weight) == len(before) + LOCATION_BINS
    assert torch.equal(weight[: len(before)], before)
    assert torch.equal(base.model.get_output_embeddings().weight, weight)
    steps = weight[len(before) :].diff(dim=0).norm(dim=1)
    assert float(steps.min()) > 0
    assert float(steps.max()) < 1.01 * float(steps.min())


@pytest.mark.parametrize("family", vlm.FAMILIES)
def test_lora_does_not_touch_a_frozen_vision_tower(folders: dict[str, Path], family: str) -> None:
    def touched(recipe: ModelRecipe) -> set[str]:
        base = load_base(folders[family], recipe)
        model = get_peft_model(base.model, base.lora(recipe))
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    frozen = touched(ModelRecipe(lora_rank=4))
    assert frozen
    assert all("language_model.layers" in name for name in frozen)
    assert {name.split(".")[-4] for name in frozen} == set(ModelRecipe().lora_targets)
    targets = ("q_proj", "qkv")
    open_ = touched(ModelRecipe(lora_rank=4, freeze_vision=False, lora_targets=targets))
    assert any("visual" in name for name in open_)


def test_lora_is_twice_as_strong_as_its_rank_by_default() -> None:
    base = load_text_base(*vlm.tiny_vlm(), ModelRecipe())
    automatic, given = (base.lora(ModelRecipe(lora_rank=8, lora_alpha=alpha)) for alpha in (0, 4))
    assert automatic is not None and given is not None
    assert (automatic.lora_alpha, given.lora_alpha) == (16, 4)
    assert base.lora(ModelRecipe()) is None


def test_a_model_without_a_known_vision_tower_is_not_silently_left_unfrozen() -> None:
    with pytest.raises(ModelError, match="freeze_vision = false"):
        freeze_vision(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("name", ["dtype", "coord_space"])
def test_unknown_choices_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be one of auto"):
        ModelRecipe(**{name: "nonsense"})  # type: ignore[arg-type]


def test_a_missing_base_names_what_to_download_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        load_base("Qwen/Qwen3-VL-4B-Instruct-not-here", offline=True)
    message = str(caught.value)
    assert "\n" not in message
    assert "hf download Qwen/Qwen3-VL-4B-Instruct-not-here --local-dir models/Qwen3-VL-4B-Instruct-not-here" in message
    assert caught.value.exit_code is ExitCode.MODEL


def test_offline_never_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, *, local_files_only: bool, **_: object) -> str:
        asked.append(local_files_only)
        raise OSError("no")

    monkeypatch.setattr("shotcrop_train.checkpoints.snapshot_download", snapshot)
    for offline in (True, False):
        with pytest.raises(ModelError, match="org/name"):
            load_base("org/name", offline=offline)
    assert asked == [True, False]


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no checkpoint"):
        load_base(tmp_path)
    with pytest.raises(ModelError, match="no checkpoint"):
        load_base(tmp_path / "a" / "b" / "missing")


def test_a_processor_of_an_unknown_class_is_not_taken_for_a_tokenizer(folders: dict[str, Path], tmp_path: Path) -> None:
    base = load_base(folders["qwen3-vl"])
    base.model.save_pretrained(tmp_path)
    base.processor.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer_config.json"):
        path = tmp_path / name
        path.write_text(path.read_text("utf-8").replace("ImageOnlyQwenProcessor", "UnknownProcessor"), "utf-8")
    with pytest.raises(ModelError, match="no processor of photos"):
        load_base(tmp_path)


def test_pickled_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    base = load_base(folders["qwen3-vl"])
    base.processor.save_pretrained(tmp_path)
    base.model.config.save_pretrained(tmp_path)
    torch.save(base.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is no checkpoint"):
        load_base(tmp_path)


def test_a_lora_checkpoint_names_its_missing_base(folders: dict[str, Path], tmp_path: Path) -> None:
    recipe = ModelRecipe(lora_rank=4)
    base = load_base(folders["qwen3-vl"], recipe)
    get_peft_model(base.model, base.lora(recipe)).save_pretrained(tmp_path)
    base.processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(folders["qwen3-vl"].resolve())
    config["base_model_name_or_path"] = "org/gone"
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="org/gone"):
        load_base(tmp_path, offline=True)


ANSWER = Composition(
    (
        Shot(SHOT_TYPES[0], Box(0.0, 0.0, 1.0, 1.0), "A field."),
        Shot(SHOT_TYPES[1], Box(0.25, 0.25, 0.75, 1.0), "A man."),
        Shot(SHOT_TYPES[2], Box(0.25, 0.25, 0.5, 0.5), "A face."),
    ),
    Reasoning("A field.", "A man.", "He stands."),
)


@pytest.mark.parametrize("family", vlm.FAMILIES)
def test_answers_in_words_are_read_in_the_coordinates_of_the_base(
    folders: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(folders[family], KEEP_SIZE)
    contract, tokenizer = text_contract(base), base.processor.tokenizer
    photos = [vlm.photo(96, 72), vlm.photo(72, 200)]
    texts = [render(ANSWER, space=contract.space, image_size=contract.seen(photo.size)) for photo in photos]
    asked: list[str] = []

    def generate(input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        asked.extend(tokenizer.batch_decode(input_ids, skip_special_tokens=True))
        answers = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")["input_ids"]
        return torch.cat((input_ids, answers), dim=1)

    monkeypatch.setattr(base.model, "generate", generate)
    answers = TorchComposer(base).compose(photos, [photo.width / photo.height for photo in photos])
    for answer in answers:
        assert isinstance(answer, Composition)
        assert answer.reasoning == ANSWER.reasoning
        for found, true in zip(answer.shots, ANSWER.shots, strict=True):
            assert tuple(found.box) == pytest.approx(tuple(true.box), abs=0.02)
    assert all(contract.prompt(None) in text for text in asked)


def test_unreadable_answers_are_values_and_the_mode_is_kept(folders: dict[str, Path]) -> None:
    base = load_base(folders["qwen3-vl"], KEEP_SIZE)
    base.model.train()
    composer = TorchComposer(base, batch_size=2, answer_tokens=8)
    answers = composer.compose([vlm.photo(), vlm.photo(50, 90), vlm.photo(120, 60)], [1.3, 0.6, 2.0])
    assert [type(answer) for answer in answers] == [AnswerError] * 3
    assert base.model.training
    assert composer.thumbnail_size == (0, 0)
    assert composer.identity.id == str(folders["qwen3-vl"].resolve())
