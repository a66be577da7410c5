"""Large models from checkpoint to crops, on tiny models of the real classes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from PIL import Image
from transformers import GenerationConfig

from conftest import names_in
from large import ANSWER, BOXES, save_diverse_vlm, save_taught_vlm, write_noise
from shotcrop_cli.commands.export_onnx import export_onnx_command
from shotcrop_cli.errors import AnswerError, ModelError
from shotcrop_cli.main import cli
from shotcrop_cli.model.bundle import DECODER, EMBED, EXPORT_RECORD, LARGE_GRAPHS, MANIFEST, ROWS, WEIGHTS, read_bundle
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.composer import LargeComposer
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.network import LargeNetwork
from shotcrop_cli.model.large.patches import make_patches
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import Composition, ShotType
from shotcrop_cli.sidecar import SCHEMA_PATH, read
from shotcrop_export.large import export
from shotcrop_export.large.export import LargeExportOptions, export_large
from shotcrop_train.checkpoints import load_base
from vlm import FAMILIES, photo

DECODERS = ("gqa", "concat")
STEPS = 40
SIZES = [(64, 48), (200, 120), (33, 90), (150, 149)]
"""Photos of four shapes, whose grids of patches differ."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("noise") / "photos", SIZES)


Exported = Callable[..., Path]
Generated = Callable[[str, int], list[list[int]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Exported:
    """Return what exports a model of a family with diverse answers, once."""
    root = tmp_path_factory.mktemp("diverse")

    def export(family: str, decoder: str = "gqa") -> Path:
        checkpoint, model = root / "checkpoints" / family, root / f"{family}-{decoder}"
        if not checkpoint.exists():
            save_diverse_vlm(checkpoint, family)
        if not model.exists():
            arguments = [str(checkpoint), str(model), "--photos", str(photos), "--answer-tokens", "24"]
            result = CliRunner().invoke(export_onnx_command, [*arguments, "--decoder", decoder], catch_exceptions=False)
            assert result.exit_code == 0
            assert "tokens equal over 8 answers" in result.output
        return model

    return export


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Return a model in half precision that has learned one answer, with boxes in pixels as in its family."""
    root = tmp_path_factory.mktemp("taught")
    checkpoint = save_taught_vlm(root / "checkpoint", "qwen2.5-vl", CoordSpace.ABSOLUTE)
    export_large(checkpoint, root / "model", sorted(photos.iterdir())[:1], LargeExportOptions("taught", Precision.FP16))
    return root / "model"


def images_in(folder: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]


def endless(folder: Path, tokens: int) -> LargeComposer:
    """Load a model whose answers have no end but their length."""
    bundle = read_bundle(folder)
    assert isinstance(bundle.manifest, LargeManifest)
    prompt = replace(bundle.manifest.prompt, end_tokens=(), answer_tokens=tokens)
    manifest = replace(bundle.manifest, prompt=prompt)
    return LargeComposer(bundle, manifest, LargeNetwork(bundle, manifest, Device("cpu")), 64)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_export_is_verified_one_at_a_time_and_in_fours(exported: Exported, family: str, decoder: str) -> None:
    record = json.loads((exported(family, decoder) / EXPORT_RECORD).read_text("utf-8"))
    difference = record["torch_onnx_difference"]
    assert difference["answers"] == 4 + 4  # four single photos, and as a batch
    assert difference["equal_tokens"] == difference["tokens"] == 8 * 48
    assert difference["distinct_tokens"] > 20  # a model that repeats itself would prove little
    assert 0.0 < difference["largest_logit_difference"] < 1e-4 * difference["largest_logit"]
    assert record["verified"] == "as exported"


@pytest.fixture(scope="module")
def generated(exported: Exported, photos: Path) -> Generated:
    """Return what lets transformers answer 16 photos of four sizes, once per family and size of the batch."""
    known: dict[tuple[str, int], list[list[int]]] = {}

    def generate(family: str, batch: int) -> list[list[int]]:
        if (family, batch) in known:
            return known[family, batch]
        images, answers = images_in(photos) * 4, []
        base = load_base(exported(family).parent / "checkpoints" / family)
        content = [{"type": "image"}, {"type": "text", "text": base.contract.prompt(None)}]
        text = base.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        base.model.generation_config = GenerationConfig(pad_token_id=0)  # without an end
        for first in range(0, max(4, batch), batch):
            part = [[one] for one in images[first : first + batch]]
            inputs = base.processor(images=part, text=[text] * batch, padding=True, return_tensors="pt")
            tokens = base.model.generate(**inputs, max_new_tokens=STEPS, do_sample=False)
            answers += tokens[:, inputs["input_ids"].shape[1] :].tolist()
        known[family, batch] = answers
        return answers

    return generate


@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_runtime_writes_the_tokens_of_generate(
    exported: Exported, generated: Generated, photos: Path, family: str, decoder: str, batch: int
) -> None:
    composer, expected = endless(exported(family, decoder), STEPS), generated(family, batch)
    patches = [make_patches(one, composer.manifest.vision) for one in images_in(photos) * 4]
    found = [composer.generate(patches[first : first + batch]) for first in range(0, len(expected), batch)]
    assert [answer for part in found for answer in part] == expected


@pytest.mark.parametrize("decoder", DECODERS)
def test_answers_that_have_ended_leave_the_batch_and_change_no_other(
    exported: Exported, photos: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    composer = endless(exported("qwen3-vl", decoder), STEPS)
    patches = [make_patches(one, composer.manifest.vision) for one in images_in(photos) * 2]
    whole = composer.generate(patches)
    # The end that answers come to at the most different times, none of them at once.
    later = {token for answer in whole for token in answer} - {answer[0] for answer in whole}
    end = max(sorted(later), key=lambda token: len({len(until(token, answer)) for answer in whole}))
    composer.manifest = replace(composer.manifest, prompt=replace(composer.manifest.prompt, end_tokens=(end,)))
    expected = [until(end, answer) for answer in whole]
    assert len({len(answer) for answer in expected}) > 2
    rows: list[int] = []
    step = LargeNetwork.step
    monkeypatch.setattr(LargeNetwork, "step", lambda self, tokens: rows.append(len(tokens)) or step(self, tokens))
    assert composer.generate(patches) == expected
    assert set(rows) <= {8, 4, 2, 1} and min(rows) < 8 == rows[0]
    assert sum(rows) < 8 * len(rows)
    assert sum(rows) < 2 * sum(map(len, expected)) + 8  # never more than half of the rows stand idle
    assert composer.generate(patches) == expected  # the next batch is whole again


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_about_several_pictures_get_the_tokens_of_generate(
    exported: Exported, photos: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    composer, images, question = endless(exported(family), 24), images_in(photos)[:3], "What do these pictures show?"
    base = load_base(exported(family).parent / "checkpoints" / family)
    content = [*[{"type": "image"}] * 3, {"type": "text", "text": question}]
    text = base.processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    base.model.generation_config = GenerationConfig(pad_token_id=0)  # without an end
    inputs = base.processor(images=[images], text=[text], return_tensors="pt")
    tokens = base.model.generate(**inputs, max_new_tokens=24, do_sample=False)
    written: list[list[int]] = []
    generate = composer._generate
    monkeypatch.setattr(composer, "_generate", lambda *given: written.extend(generate(*given)) or written)
    with pytest.raises(AnswerError, match="cut off after 24 tokens"):
        composer.ask(question, images)
    assert written == tokens[:, inputs["input_ids"].shape[1] :].tolist()
    assert len(set(written[0])) > 3


def test_a_model_captions_crops_that_it_did_not_make(
    exported: Exported, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model answers no JSON, so captions by rule stay. What it may answer is then given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, output = exported("qwen3-vl"), tmp_path / "shots"
    example = Path(__file__).parents[3] / "examples/photos/astronaut.jpg"
    run = ["crop", str(example), "-o", str(output), "--captions", f"model:{folder}"]
    result = CliRunner().invoke(cli, run)
    assert result.exit_code == 0, result.output
    assert "on this machine; nothing is sent anywhere" in result.output
    assert "captions: 0 written, 1 failed, 0 left" in result.output
    record = read(output / "astronaut.jpg.json")
    assert all(shot.caption for shot in record.shots) and record.captions is None

    asked: list[tuple[str, int]] = []

    def answers(_composer: LargeComposer, question: str, pictures: list[Image.Image]) -> str:
        asked.append((question, len(pictures)))
        texts = {str(kind): {"caption": f"a woman, {kind}", "alt_text": f"a woman in {kind}"} for kind in BOXES}
        return "Here it is: " + json.dumps({**texts, "story": "A woman smiles in front of the flag"})

    monkeypatch.setattr(LargeComposer, "ask", answers)
    caption = ["caption", str(output), "--captions", f"model:{folder}"]
    result = CliRunner().invoke(cli, caption)
    assert result.exit_code == 0, result.output
    record = read(output / "astronaut.jpg.json")
    assert [shot.caption for shot in record.shots] == [f"a woman, {kind}" for kind in BOXES]
    assert record.captions is not None and record.captions.model.startswith("qwen3-vl")
    assert [pictures for _, pictures in asked] == [3] and "picture desk" in asked[0][0]
    assert "1 unchanged" in CliRunner().invoke(cli, caption).output and len(asked) == 1


def until(end: int, answer: list[int]) -> list[int]:
    """Return an answer up to its end token."""
    return answer[: answer.index(end) + 1] if end in answer else answer


def test_photos_that_do_not_fit_in_memory_together_are_answered_in_parts(exported: Exported, photos: Path) -> None:
    composer, images = endless(exported("qwen3-vl"), 24), images_in(photos)
    seen: list[int] = []
    composer.generate = lambda photos: seen.append(len(photos)) or [[1]] * len(photos)  # type: ignore[method-assign,func-returns-value]
    composer.max_batch = 3
    assert len(composer.compose(images, [1.0] * 4)) == 4
    assert seen == [3, 1]


def test_large_photos_see_the_vision_tower_one_by_one(
    exported: Exported, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composer, images = endless(exported("qwen3-vl"), 8), images_in(photos)
    patches = [make_patches(one, composer.manifest.vision) for one in images]
    together = composer.network.encode_photos(patches)
    monkeypatch.setattr("shotcrop_cli.model.large.network.ATTENTION_BYTES", 1)
    alone = composer.network.encode_photos(patches)
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one.layers, other.layers, strict=True):
            assert a == pytest.approx(b, abs=1e-5)


def test_a_photo_that_no_model_takes_costs_no_other_its_answer(exported: Exported) -> None:
    composer = endless(exported("qwen3-vl"), 4)
    strip, square = Image.new("RGB", (402, 2)), Image.new("RGB", (64, 64))
    first, second, third = composer.compose([square, strip, square], [1.0, 201.0, 1.0])
    assert isinstance(second, AnswerError) and "200 times" in str(second)
    assert str(first) == str(third) == "the answer was cut off after 4 tokens"


def test_an_answer_ends_where_the_model_ends_it(taught: Path) -> None:
    composer = load_composer(find_model(str(taught)), "cpu")
    assert isinstance(composer, LargeComposer)
    (answer,) = composer.generate([make_patches(photo(56, 56), composer.manifest.vision)])
    ends = composer.manifest.prompt.end_tokens
    assert len(answer) < composer.manifest.prompt.answer_tokens
    assert [token in ends for token in answer].count(True) == 1 and answer[-1] in ends


def test_boxes_in_pixels_are_of_the_photo_that_the_model_sees(taught: Path) -> None:
    composer = load_composer(find_model(str(taught)), "cpu")
    assert composer.thumbnail_size == (0, 159)  # the longer side of a photo twice as wide as high, of 112 x 112 pixels
    assert composer.compose([photo(64, 64), photo(51, 51)], [1.0, 1.0]) == [ANSWER, ANSWER]


def test_what_a_model_was_taught_is_what_it_is_asked(taught: Path) -> None:
    manifest = read_bundle(taught).manifest
    assert isinstance(manifest, LargeManifest)
    assert (manifest.prompt.coord_space, manifest.prompt.think) == (CoordSpace.ABSOLUTE, False)
    assert manifest.prompt.prefix == "<|im_start|>user\n<|vision_start|>"
    assert manifest.prompt.suffix.startswith("<|vision_end|>Tell the story")
    assert manifest.prompt.suffix.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_weights_lie_beside_the_graphs_in_half_the_space(exported: Exported, taught: Path) -> None:
    full, half = (
        sum((folder / name).stat().st_size for name in WEIGHTS) for folder in (exported("qwen2.5-vl"), taught)
    )
    assert 0.49 < half / full < 0.55
    assert all((taught / graph).stat().st_size < 100_000 for graph in LARGE_GRAPHS)


def run_crop(model: Path, source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, and check that it loads no training library."""
    script = (
        "import sys; from shotcrop_cli.main import cli\n"
        f"try: cli(['crop', {str(source)!r}, '-o', {str(output)!r}, '--device', 'cpu', '--model', {str(model)!r}])\n"
        "finally: assert not {'torch', 'transformers'} & set(sys.modules), 'a training library was loaded'"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOTCROP")}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)


def test_crop_needs_nothing_but_the_model_folder(taught: Path, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "photos" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo(64, 64).save(path)
    done = run_crop(taught, tmp_path / "photos", tmp_path / "shots")
    assert done.returncode == 0, done.stderr
    assert "model taught takes about " in done.stderr
    assert "3 done, 0 unchanged, 0 without people, 0 failed" in done.stderr
    sidecar = json.loads((tmp_path / "shots" / "1.jpg.json").read_text("utf-8"))
    jsonschema.validate(sidecar, json.loads(SCHEMA_PATH.read_text("utf-8")))
    assert sidecar["model"]["id"] == "taught"
    assert [shot["caption"] for shot in sidecar["shots"]] == [f"the {kind}" for kind in ShotType]
    assert sidecar["shots"][1]["model_box"] == list(BOXES[ShotType.MEDIUM])


def test_answers_that_say_nothing_fail_photo_by_photo(exported: Exported, photos: Path, tmp_path: Path) -> None:
    done = run_crop(exported("qwen3-vl"), photos, tmp_path / "shots")
    assert done.returncode == 1
    assert "0 done, 0 unchanged, 0 without people, 4 failed" in done.stderr
    assert ": the answer was cut off after 24 tokens" in done.stderr
    for path in photos.iterdir():
        assert f"failed: {path}: " in done.stderr
    assert not [name for name in names_in(tmp_path / "shots") if name.endswith((".json", ".png"))]


def test_export_contains_no_path_of_this_machine(exported: Exported) -> None:
    for path in exported("qwen2.5-vl").iterdir():
        assert b"site-packages" not in path.read_bytes()
        assert b"shotcrop_export/" not in path.read_bytes()


def test_a_model_that_answers_otherwise_is_not_exported(
    exported: Exported, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def graphs_of_another_model(_model: Any, _manifest: LargeManifest, folder: Path) -> None:
        for name in (*LARGE_GRAPHS, ROWS, *WEIGHTS):
            shutil.copy(exported("qwen3-vl") / name, folder / name)

    monkeypatch.setattr(export, "export_graphs", graphs_of_another_model)
    checkpoint = save_diverse_vlm(tmp_path / "checkpoint", "qwen3-vl", seed=1)
    with pytest.raises(ModelError, match="differs from torch"):
        export_large(checkpoint, tmp_path / "model", sorted(photos.iterdir()), LargeExportOptions("other"))
    assert names_in(tmp_path) == ["checkpoint"]


def test_half_precision_explains_no_altered_weight(
    taught: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export.export_graphs

    def with_one_norm_scaled(model: Any, manifest: LargeManifest, folder: Path) -> None:
        altered = copy.deepcopy(model)
        weights = dict(altered.named_parameters())
        norm = next(name for name in weights if "layers.0.input_layernorm" in name)
        weights[norm].data.mul_(1.05)
        right(altered, manifest, folder)

    monkeypatch.setattr(export, "export_graphs", with_one_norm_scaled)
    with pytest.raises(ModelError, match="differs from torch"):
        export_large(
            taught.parent / "checkpoint",
            tmp_path / "model",
            sorted(photos.iterdir())[:1],
            LargeExportOptions("taught", Precision.FP16),
        )


@pytest.mark.parametrize("name", [EMBED, f"{DECODER}.data"])
def test_a_large_model_with_a_file_missing_or_damaged_is_refused(taught: Path, tmp_path: Path, name: str) -> None:
    model = shutil.copytree(taught, tmp_path / "model")
    with (model / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=f"{name} is altered"):
        read_bundle(model)
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"has no readable {name}"):
        read_bundle(model)


def test_a_large_models_manifest_with_a_key_too_many_is_refused(taught: Path, tmp_path: Path) -> None:
    model = shutil.copytree(taught, tmp_path / "model")
    manifest = json.loads((model / MANIFEST).read_text("utf-8"))
    (model / MANIFEST).write_text(json.dumps(manifest | {"colour": "red"}), "utf-8")
    with pytest.raises(ModelError, match="unknown keys: colour"):
        read_bundle(model)


def test_large_compositions_carry_no_scores(taught: Path) -> None:
    (answer,) = load_composer(find_model(str(taught)), "cpu").compose([photo(56, 56)], [1.0])
    assert isinstance(answer, Composition)
    assert [shot.score for shot in answer.shots] == [None, None, None]
