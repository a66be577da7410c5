from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from shotcrop_cli.commands.export_onnx import export_onnx_command
from shotcrop_cli.errors import ModelError, OutputError, ShotcropError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.geometry import flip
from shotcrop_cli.model.bundle import DECODER, EXPORT_RECORD, MANIFEST, Bundle, read_bundle
from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.grammar import LAYOUT, prompt
from shotcrop_cli.model.nano.network import OnnxNetwork
from shotcrop_cli.model.session import Device
from shotcrop_cli.model.tensorrt import LARGEST_BATCH
from shotcrop_cli.shots import SHOT_TYPES, Composition, NoSubject
from shotcrop_export.nano import export
from shotcrop_export.nano import verify as verification
from shotcrop_export.nano.export import NanoExportOptions, export_nano, round_to_half
from shotcrop_train.checkpoints import load_nano
from shotcrop_train.nano.confidence import Curve
from shotcrop_train.nano.torch_network import TorchNetwork, decoder_of
from training import save_tiny_model, tiny_model


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index, size in enumerate([(64, 48), (48, 64), (90, 60), (64, 64), (70, 40)]):
        noise = rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    folder = tmp_path_factory.mktemp("export")
    checkpoint = save_tiny_model(folder / "checkpoint")
    result = CliRunner().invoke(
        export_onnx_command, [str(checkpoint), str(folder / "model"), "--photos", str(photos)], catch_exceptions=False
    )
    assert result.exit_code == 0
    return folder / "model"


def test_export_is_verified_one_at_a_time_and_in_fours(exported: Path) -> None:
    record = json.loads((exported / EXPORT_RECORD).read_text("utf-8"))
    difference = record["torch_onnx_difference"]
    assert difference["answers"] == 5 + 4  # five single photos, and four of them as a batch
    assert difference["equal_tokens"] == difference["tokens"] > 0
    assert 0.0 < difference["largest_logit_difference"] < verification.TOLERANCE
    assert {"torch", "onnx", "onnxruntime", "transformers"} <= set(record["versions"])


def test_exported_model_composes_any_batch_alike(exported: Path, photos: Path) -> None:
    composer = load_composer(find_model(str(exported)), "cpu")
    assert composer.identity.provider == "CPUExecutionProvider"
    images = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir())]
    thumbnails = [image.resize(composer.thumbnail_size) for image in images]
    aspects = [image.width / image.height for image in images]
    together = composer.compose(thumbnails, aspects)
    alone = [composer.compose([one], [aspect])[0] for one, aspect in zip(thumbnails, aspects, strict=True)]
    assert [type(answer) for answer in together] == [type(answer) for answer in alone]
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, NoSubject):
            continue
        assert isinstance(one, Composition) and isinstance(other, Composition)
        assert tuple(shot.type for shot in one.shots) == SHOT_TYPES
        for a, b in zip(one.shots, other.shots, strict=True):
            assert a.caption == b.caption
            assert tuple(a.box) == pytest.approx(tuple(b.box), abs=1e-4)
            assert a.score is not None and 0.0 <= a.score <= 1.0


def test_captions_are_grounded_unless_free_ones_are_asked_for(exported: Path, photos: Path, tmp_path: Path) -> None:
    grounded = load_composer(find_model(str(exported)), "cpu")
    free_model, _ = export_nano(
        save_tiny_model(tmp_path / "checkpoint"),
        tmp_path / "free",
        sorted(photos.iterdir()),
        NanoExportOptions(captions="free"),
    )
    free = load_composer(find_model(str(free_model.folder)), "cpu")
    image = Image.open(photos / "0.png").convert("RGB").resize(free.thumbnail_size)
    (one,), (other,) = grounded.compose([image], [1.5]), free.compose([image], [1.5])
    assert isinstance(one, Composition) and isinstance(other, Composition)
    assert one.grounding is not None
    assert one.shots[1].caption.startswith("A closer view of the ")
    assert one.shots[1].caption != other.shots[1].caption
    # Captions differ; crops are the same.
    assert [tuple(shot.box) for shot in one.shots] == [tuple(shot.box) for shot in other.shots]


def test_a_photo_and_its_mirror_image_get_mirrored_boxes(exported: Path, photos: Path) -> None:
    composer = load_composer(find_model(str(exported)), "cpu")
    images = [Image.open(path).convert("RGB").resize(composer.thumbnail_size) for path in sorted(photos.iterdir())]
    aspects = [1.0] * len(images)
    ones = composer.compose(images, aspects)
    others = composer.compose([ImageOps.mirror(image) for image in images], aspects)
    assert any(isinstance(one, Composition) for one in ones)
    for one, other in zip(ones, others, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Composition) and isinstance(other, Composition):
            for shot, mirrored in zip(one.shots, other.shots, strict=True):
                assert list(shot.box) == pytest.approx(list(flip(mirrored.box)), abs=1e-5)
                assert shot.score == pytest.approx(mirrored.score, abs=1e-5)


def test_a_model_that_needs_no_captions_decodes_none(photos: Path, tmp_path: Path) -> None:
    model, processor = tiny_model()
    model.config.words = False
    model.save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    chosen = sorted(photos.iterdir())
    bundle, difference = export_nano(
        tmp_path / "checkpoint", tmp_path / "model", chosen, NanoExportOptions(mirror=False)
    )
    assert (bundle.manifest.words, bundle.manifest.mirror) == (False, False)
    assert difference.tokens <= difference.answers * len(LAYOUT)
    image = Image.open(chosen[0]).convert("RGB").resize((64, 64))
    (answer,) = load_composer(bundle, "cpu").compose([image], [1.0])
    assert isinstance(answer, NoSubject) or all(shot.caption for shot in answer.shots)
    free, _ = export_nano(tmp_path / "checkpoint", tmp_path / "free", chosen, NanoExportOptions(captions="free"))
    assert free.manifest.words


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[Caching, Bundle]:
    """Return one checkpoint exported with each kind of decoder."""
    folder = tmp_path_factory.mktemp("decoders")
    checkpoint, chosen = save_tiny_model(folder / "checkpoint"), sorted(photos.iterdir())
    return {
        kind: export_nano(checkpoint, folder / kind, chosen, NanoExportOptions(caching=kind))[0] for kind in Caching
    }


@pytest.mark.parametrize("kind", Caching)
@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("words", [True, False])
def test_runtime_writes_the_tokens_of_torch(
    decoders: dict[Caching, Bundle], batch: int, kind: Caching, words: bool
) -> None:
    model, processor = load_nano(decoders[kind].folder.parent / "checkpoint")
    round_to_half(model)
    rules = replace(decoder_of(processor.tokenizer, model.config), words=words, no_subject_threshold=0.3)
    pixels = np.random.default_rng(batch).normal(size=(batch, 3, 64, 64)).astype(np.float32)
    prompts = [prompt(processor.num_image_tokens, f"<aspect_{number % 15}>") for number in range(batch)]
    ids = np.array(processor.tokenizer(prompts)["input_ids"])
    torch_network = TorchNetwork(model.eval())
    torch_network.wide = False  # token by token, whatever the graph does
    network = OnnxNetwork(decoders[kind], Device("cpu"))
    assert network.wide is (kind is Caching.GROWN)
    found, expected = (rules.decode(one, pixels, ids) for one in (network, torch_network))
    assert [draft.tokens for draft in found] == [draft.tokens for draft in expected]
    for one, other in zip(found, expected, strict=True):
        sides, others = ([side for box in draft.boxes for side in box] for draft in (one, other))
        assert sides == pytest.approx(others, abs=1e-4)


def test_a_decoder_for_tensorrt_has_only_standard_operators(decoders: dict[Caching, Bundle]) -> None:

    def domains(kind: Caching) -> set[str]:
        return {node.domain for node in onnx.load(str(decoders[kind].path(DECODER))).graph.node}

    assert domains(Caching.GROWN) == {""}
    assert domains(Caching.IN_PLACE) == {"", "com.microsoft"}
    network = OnnxNetwork(decoders[Caching.GROWN], Device("cpu"))
    shapes = network._decoder_shapes()
    assert {one.name for one in shapes} == {one.name for one in network.decoder.session.get_inputs()}
    assert network.manifest.mirror and {one.maximum[0] for one in shapes} == {
        2 * LARGEST_BATCH
    }  # each photo is a row twice


def test_weights_are_stored_in_half_the_space(exported: Path) -> None:

    graph = onnx.load(str(exported / DECODER)).graph
    large = [one for one in graph.initializer if np.prod(one.dims) >= 4096]
    assert large
    halves = [one for one in large if one.data_type == onnx.TensorProto.FLOAT16]
    # Only the rotation tables keep single precision.
    assert {one.name for one in large} - {one.name for one in halves} <= {"cos", "sin"}


def test_export_contains_no_path_of_this_machine(exported: Path) -> None:
    for path in exported.iterdir():
        assert b"site-packages" not in path.read_bytes()


def test_a_model_that_answers_otherwise_is_not_exported(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shotcrop_train.nano.torch_network import TorchNetwork

    honest = TorchNetwork.step
    monkeypatch.setattr(TorchNetwork, "step", lambda self, tokens: honest(self, tokens)[:, ::-1].copy())
    checkpoint = save_tiny_model(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="differs from torch"):
        export_nano(checkpoint, tmp_path / "model", sorted(photos.iterdir()))
    assert not (tmp_path / "model").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint"}


def test_export_refuses_to_replace_a_folder_that_is_not_a_model(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not a model folder"):
        export_nano(tmp_path, tmp_path / "model", sorted(photos.iterdir()))
    assert (tmp_path / "model" / "diary.txt").read_text() == "mine"


def copy_of(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_damaged_model_is_refused_and_the_file_named(exported: Path, tmp_path: Path) -> None:
    model = copy_of(exported, tmp_path / "model")
    data = bytearray((model / DECODER).read_bytes())
    data[len(data) // 2] ^= 1
    (model / DECODER).write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"decoder\.onnx is altered"):
        read_bundle(model)


def test_a_model_of_another_grammar_is_refused(exported: Path, tmp_path: Path) -> None:
    model = copy_of(exported, tmp_path / "model")
    manifest = json.loads((model / MANIFEST).read_text("utf-8"))
    (model / MANIFEST).write_text(json.dumps(manifest | {"control_tokens": "0" * 16}), "utf-8")
    with pytest.raises(ModelError, match="its grammar differs"):
        read_bundle(model)


@pytest.mark.parametrize("missing", [MANIFEST, DECODER, EXPORT_RECORD])
def test_an_incomplete_model_is_refused(exported: Path, tmp_path: Path, missing: str) -> None:
    model = copy_of(exported, tmp_path / "model")
    (model / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        read_bundle(model)


def test_calibrated_scores_follow_the_curve_and_the_boxes_stay(
    exported: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def calibrate(composer: object, records: object) -> Curve:
        seen.extend((composer, records))
        return Curve(-2.0, 5.0)

    monkeypatch.setattr(export, "calibrate", calibrate)
    records = [Record(photos / "0.png", "", 64, 48, False, (), Detections(), None, True)]
    bundle, _ = export_nano(
        save_tiny_model(tmp_path / "checkpoint"),
        tmp_path / "model",
        sorted(photos.iterdir()),
        NanoExportOptions(calibration=records),
    )
    assert seen[1] == records
    assert bundle.manifest == replace(find_model(str(exported)).manifest, score_offset=-2.0, score_slope=5.0)
    image = Image.open(photos / "0.png").convert("RGB").resize(load_composer(bundle, "cpu").thumbnail_size)
    (raw,) = load_composer(find_model(str(exported)), "cpu").compose([image], [1.5])
    (probable,) = load_composer(bundle, "cpu").compose([image], [1.5])
    assert isinstance(raw, Composition) and isinstance(probable, Composition)
    assert [shot.box for shot in raw.shots] == [shot.box for shot in probable.shots]
    expected = [1.0 / (1.0 + np.exp(2.0 - 5.0 * (shot.score or 0.0))) for shot in raw.shots]
    assert [shot.score for shot in probable.shots] == pytest.approx(expected)


@pytest.mark.parametrize("flags", [["--no-flip"], []])
def test_calibration_needs_flip_augmentation_and_enough_photos(photos: Path, tmp_path: Path, flags: list[str]) -> None:
    (photos / "metadata.jsonl").write_text('{"file_name": "0.png", "width": 64, "height": 48, "no_subject": true}\n')
    checkpoint = save_tiny_model(tmp_path / "checkpoint")
    arguments = [str(checkpoint), str(tmp_path / "model"), "--photos", str(photos), "--calibrate-on", str(photos)]
    with pytest.raises(ShotcropError, match="flip augmentation" if flags else "cannot be calibrated"):
        CliRunner().invoke(export_onnx_command, arguments + flags, catch_exceptions=False)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "reason"), [({"score_offset": 1.0}, "an offset and a slope"), ({"caching": "ring"}, "kind 'ring'")]
)
def test_a_manifest_that_makes_no_sense_is_refused(
    exported: Path, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    content = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**content, **change}), "utf-8")
    with pytest.raises(ModelError, match=reason):
        read_bundle(folder)
