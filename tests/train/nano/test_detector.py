"""The detector's labels, views, loss and training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano import decoding
from shotcrop_cli.model.nano.decoding import BOX_OF_KIND, BOX_STRIDES, CHANNELS, Kind
from shotcrop_cli.model.nano.manifest import DecodingLimits
from shotcrop_train.composer.nano_recipe import load_nano_recipe
from shotcrop_train.nano.detector_labels import (
    LabelledPhoto,
    Labels,
    merge_labels,
    read_photos,
    scene_of_labels,
    target_score,
)
from shotcrop_train.nano.detector_loss import assign, collate, detector_loss
from shotcrop_train.nano.detector_network import TAGS, DetectorNetwork
from shotcrop_train.nano.detector_views import View, disturb_colours, move_labels, random_view
from shotcrop_train.runs import provenance
from shotcrop_train.train_detector import (
    DetectorData,
    DetectorOptimisation,
    DetectorRecipe,
    DetectorTraining,
    load_detector,
    save_detector,
    train,
)

SIDE = 64


def person_row(name: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """Return a row with one person whom all teachers see."""
    landmarks = [[440, 180], [480, 180], [460, 200], [445, 230], [475, 230]]
    keypoints = [[460, 200, 0.9]] * 5 + [[400 + 10 * joint, 300 + 50 * joint, 0.8] for joint in range(12)]
    detections = {
        "bodies": [{"box": [300, 100, 600, 900], "score": 0.9}],
        "persons": [{"box": [300, 80, 600, 960], "score": 0.8, "keypoints": keypoints}],
        "heads": [{"box": [410, 110, 510, 260], "score": 0.9}],
        "faces": [{"box": [430, 150, 490, 250], "score": 0.6, "landmarks": landmarks}],
        "centerfaces": [{"box": [432, 152, 488, 248], "score": 0.7, "landmarks": landmarks}],
        "hands": [{"box": [580, 500, 620, 560], "score": 0.22}],
        "objects": [
            {"name": "dog", "box": [700, 600, 900, 900], "score": 0.8},
            {"name": "chair", "box": [0, 600, 200, 900], "score": 0.9},
        ],
    }
    return {"file_name": name, "width": 96, "height": 64, "detections": detections, **more}


def labels_of(**more: Any) -> Labels:
    """Return labels of a body with a head and a face."""
    unknown = np.full((2, 4), np.nan, np.float32)
    faces, bodies = unknown.copy(), unknown.copy()
    joints = np.full((2, 12, 3), np.nan, np.float32)
    landmarks = np.full((2, 5, 2), np.nan, np.float32)
    faces[1], bodies[1] = (0.42, 0.2, 0.52, 0.34), (0.25, 0.1, 0.75, 0.95)
    landmarks[1] = [(0.44, 0.25), (0.5, 0.25), (0.47, 0.28), (0.45, 0.31), (0.49, 0.31)]
    joints[0] = np.column_stack([np.linspace(0.3, 0.7, 12), np.linspace(0.3, 0.9, 12), np.full(12, 0.9)])
    labels = Labels(
        boxes=np.array([[0.25, 0.1, 0.75, 0.95], [0.4, 0.12, 0.56, 0.36]], np.float32),
        kinds=np.array([Kind.BODY, Kind.HEAD]),
        scores=np.ones(2, np.float32),
        faces=faces,
        landmarks=landmarks,
        bodies=bodies,
        joints=joints,
        ignored=np.zeros((0, 4), np.float32),
        people=1.0,
        setting=0,
        facing=1,
    )
    return replace(labels, **more)


def perfect_cells(labels: Labels, side: int) -> torch.Tensor:
    """Return raw cells (1, cells, channels) that say exactly what the labels say."""
    centres, strides = decoding.grid(side)
    cells = np.zeros((len(centres), sum(CHANNELS.values())), np.float32)
    starts = dict(zip(CHANNELS, np.cumsum([0, *CHANNELS.values()]), strict=False))
    cells[:, : len(Kind)] = -30
    owner, _ = assign(labels, side)

    def box(at: int, wanted: Any, shift: float, size: float) -> list[float]:
        middle, sides = (wanted[:2] + wanted[2:]) / 2 * side, (wanted[2:] - wanted[:2]) * side
        return [*((middle - centres[at]) / strides[at] / shift), *np.log(sides / strides[at] / size)]

    for group in range(len(BOX_STRIDES)):
        for at in np.nonzero(owner[group] >= 0)[0]:
            one, stride = owner[group, at], strides[at, 0]
            cells[at, labels.kinds[one]] = 30
            start = starts["box"] + 4 * group
            cells[at, start : start + 4] = box(at, labels.boxes[one], 1.0, BOX_STRIDES[group])
            if labels.kinds[one] == Kind.HEAD:
                cells[at, starts["face"]] = cells[at, starts["person"]] = 30
                cells[at, starts["face_box"] :][:4] = box(at, labels.faces[one], 1.0, decoding.FACE_STRIDES)
                cells[at, starts["landmarks"] :][:10] = ((labels.landmarks[one] * side - centres[at]) / stride).ravel()
                body = box(at, labels.bodies[one], decoding.PERSON_SHIFT, decoding.PERSON_STRIDES)
                cells[at, starts["person_box"] :][:4] = body
            elif labels.kinds[one] == Kind.BODY:
                joints = (labels.joints[one, :, :2] * side - centres[at]) / stride / decoding.JOINT_STRIDES
                cells[at, starts["joints"] :][:24] = joints.ravel()
                cells[at, starts["joint_seen"] :][:12] = 30
    return torch.from_numpy(cells)[None]


def perfect_tags(labels: Labels) -> torch.Tensor:
    tags = torch.full((1, len(TAGS)), -30.0)
    tags[0, 0] = tags[0, 1 + labels.setting] = tags[0, 3 + labels.facing] = 30
    return tags


def view_of(labels: Labels, side: int = 128) -> View:
    return View(np.full((side, side, 3), 127, np.uint8), labels)


def test_labels_merge_what_all_teachers_see() -> None:
    labels = merge_labels(person_row())
    assert labels.kinds.tolist() == [Kind.BODY, Kind.HEAD, Kind.ANIMAL]  # no chair, no hand that is hardly seen
    assert labels.boxes[0].tolist() == pytest.approx([0.3, 0.09, 0.6, 0.93])  # the mean of both teachers
    assert labels.bodies[1].tolist() == labels.boxes[0].tolist()
    assert labels.faces[1].tolist() == pytest.approx([0.43, 0.15, 0.49, 0.25])
    assert labels.joints[0, 0].tolist() == pytest.approx([0.4, 0.3, 0.8])
    assert np.isnan(labels.joints[1:]).all()
    assert labels.ignored.tolist() == [pytest.approx([0.58, 0.5, 0.62, 0.56])]
    assert labels.people == 1


def test_a_face_without_a_head_gets_a_head_around_it() -> None:
    row = person_row()
    row["detections"]["heads"] = []
    labels = merge_labels(row)
    (head,) = labels.boxes[labels.kinds == Kind.HEAD]
    assert head[1] < 0.15 and head[3] > 0.25
    assert labels.scores[labels.kinds == Kind.HEAD] < 1


def test_a_photo_without_people_has_only_animals_and_objects() -> None:
    labels = merge_labels(person_row(no_subject=True))
    assert labels.kinds.tolist() == [Kind.ANIMAL]
    assert labels.people == 0


def test_target_scores_rise_with_the_teachers() -> None:
    assert target_score(np.array([0.1, 0.2, 0.425, 0.65, 0.9])).tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_a_malformed_row_is_named(tmp_path: Path) -> None:
    row = person_row()
    del row["detections"]["heads"][0]["score"]
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ShotcropError, match="line 1"):
        read_photos(tmp_path)


def test_the_scene_of_labels_joins_head_face_and_body() -> None:
    photo = LabelledPhoto(Path("a.jpg"), 1.5, merge_labels(person_row()), None)
    scene = scene_of_labels(photo)
    assert len(scene) == 1 and len(scene.animals) == 1
    assert scene.body[0].tolist() == pytest.approx([0.3, 0.09, 0.6, 0.93])
    assert scene.face_score[0] > 0 and not np.isnan(scene.joints).any() and not scene.estimated[0]
    row = person_row()
    row["detections"] |= {"heads": [], "faces": [], "centerfaces": []}
    scene = scene_of_labels(LabelledPhoto(Path("a.jpg"), 1.5, merge_labels(row), None))
    assert scene.estimated.tolist() == [True]


def test_mirroring_twice_changes_nothing() -> None:
    labels, whole = labels_of(), (0.0, 0.0, 1.0, 1.0)
    once = move_labels(labels, whole, True)
    twice = move_labels(once, whole, True)
    assert once.facing == 2 and twice.facing == 1
    for name in ("boxes", "faces", "landmarks", "bodies", "joints"):
        np.testing.assert_allclose(getattr(twice, name), getattr(labels, name), atol=1e-6)
    assert once.joints[0, 0, 0] == pytest.approx(1 - labels.joints[0, 1, 0])


def test_a_crop_drops_what_is_hardly_seen_and_ignores_its_rest() -> None:
    labels = move_labels(labels_of(), (0.0, 0.3, 1.0, 1.0), False)
    assert labels.kinds.tolist() == [Kind.BODY]  # a quarter of the head remains
    assert labels.boxes[0].tolist() == pytest.approx([0.25, 0, 0.75, 0.65 / 0.7])
    assert len(labels.ignored) == 1
    assert labels.joints[0, 0, 2] > 0  # inside the crop
    assert move_labels(labels_of(), (0.0, 0.5, 1.0, 1.0), False).joints[0, 0, 2] == 0


def test_views_keep_boxes_inside_and_labels_together() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        view = random_view(np.full((90, 90, 3), 99, np.uint8), labels_of(), SIDE, rng)
        assert view.pixels.shape == (SIDE, SIDE, 3)
        assert len(view.labels.boxes) == len(view.labels.faces) == len(view.labels.joints)
        assert ((view.labels.boxes >= 0) & (view.labels.boxes <= 1)).all()


def test_colours_are_disturbed_by_the_generator_alone() -> None:
    pixels = torch.rand(4, 3, 8, 8)
    same = [disturb_colours(pixels, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*same) and not torch.equal(same[0], pixels)
    assert same[0].abs().max() <= 1


@pytest.mark.parametrize(("size", "stride"), [(0.1, 8), (0.5, 16), (0.9, 32)])
def test_objects_belong_to_the_grid_of_their_size(size: float, stride: int) -> None:
    boxes = np.array([[0.05, 0.05, 0.05 + size, 0.05 + size]], np.float32)
    labels = labels_of()
    one = replace(
        labels,
        boxes=boxes,
        kinds=np.array([Kind.HAND]),
        **{name: getattr(labels, name)[:1] for name in ("scores", "faces", "landmarks", "bodies", "joints")},
    )
    owner, free = assign(one, 128)
    (cells,) = np.nonzero(owner[BOX_OF_KIND[Kind.HAND]] == 0)
    assert len(cells) and set(decoding.grid(128)[1][cells, 0]) == {stride}
    assert (owner[[0, 1, 3]] == -1).all() and free.all()


def test_nothing_is_punished_in_ignored_regions() -> None:
    labels = labels_of(ignored=np.array([[0, 0, 0.2, 0.2]], np.float32))
    batch = collate([view_of(labels)], 128)
    cells = perfect_cells(labels, 128)
    loss = detector_loss(cells, perfect_tags(labels), batch)["kind"]
    cells[0, 0, Kind.ANIMAL] = 5  # the first cell is in the upper left corner
    assert detector_loss(cells, perfect_tags(labels), batch)["kind"] == pytest.approx(float(loss))
    cells[0, 8, Kind.ANIMAL] = 5
    assert detector_loss(cells, perfect_tags(labels), batch)["kind"] > loss + 0.1


def test_perfect_predictions_have_no_loss_and_all_others_have_some() -> None:
    labels = labels_of()
    batch = collate([view_of(labels)], 128)
    cells, tags = perfect_cells(labels, 128), perfect_tags(labels)
    parts = detector_loss(cells, tags, batch)
    assert set(parts) == {
        *("box", "kind", "face", "face_box", "landmarks", "person", "person_box", "joints"),
        *("people", "setting", "facing"),
    }
    assert sum(map(float, parts.values())) < 1e-3
    rng = torch.Generator().manual_seed(0)
    other = detector_loss(
        cells + torch.randn(cells.shape, generator=rng), tags + torch.randn(tags.shape, generator=rng), batch
    )
    worse = {name for name in parts if other[name] > parts[name] + 1e-6}
    assert worse >= {"box", "face_box", "landmarks", "person_box", "joints"}


def test_the_runtime_reads_what_the_loss_teaches() -> None:
    labels = labels_of()
    cells = perfect_cells(labels, 128)[0].numpy()
    scene = decoding.decode(cells, np.zeros((4, 8, 8), np.float32), np.zeros(3, np.float32), 128, 1.5, DecodingLimits())
    assert len(scene) == 1
    for name, expected in (("head", labels.boxes[1]), ("body", labels.boxes[0]), ("face", labels.faces[1])):
        np.testing.assert_allclose(getattr(scene, name)[0], expected, atol=1e-4)
    np.testing.assert_allclose(scene.landmarks[0], labels.landmarks[1], atol=1e-4)
    np.testing.assert_allclose(scene.joints[0, :, :2], labels.joints[0, :, :2], atol=1e-4)


def test_a_detector_survives_saving(tmp_path: Path) -> None:
    network = DetectorNetwork(width=8).eval()
    save_detector(network, tmp_path)
    with torch.no_grad():
        pixels = torch.rand(1, 3, SIDE, SIDE)
        expected, read = network(pixels), load_detector(tmp_path)(pixels)
    assert [tuple(one.shape[1:]) for one in read] == [(84, 77), (9,), (8, 4, 4), (320,)]
    assert torch.allclose(expected[0], read[0], atol=0.05)  # stored in half precision


def test_a_folder_without_a_detector_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="holds no detector"):
        load_detector(tmp_path)


def test_frozen_stages_give_the_same_features_beforehand() -> None:
    network = DetectorNetwork(width=8).eval()
    pixels = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        begun = network(network.tower.begin(pixels, 3), 3)
        assert torch.allclose(network(pixels)[0], begun[0], atol=1e-5)


def drawn_dataset(folder: Path) -> Path:
    """Write four photos of a drawn person."""
    dataset = folder / "train"
    dataset.mkdir(parents=True)
    rows = []
    for number in range(4):
        image = Image.new("RGB", (96, 64), (40 * number, 90, 120))
        ImageDraw.Draw(image).rectangle((30, 6, 58, 60), fill=(200, 150, 120))
        image.save(dataset / f"{number}.jpg")
        rows.append(json.dumps(person_row(f"{number}.jpg")))
    (dataset / "metadata.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


RECIPE = DetectorRecipe(
    data=DetectorData(photos=("train",), repeat_animals=0.5),
    optimisation=DetectorOptimisation(steps=3, batch_size=2, side=SIDE, last_side=96, log_every=1, save_every=1),
    width=8,
    pretrained=False,
)


def test_training_is_repeatable_and_an_interrupted_run_gives_the_same_weights(tmp_path: Path) -> None:
    data = drawn_dataset(tmp_path / "data")
    whole = train(RECIPE, data, tmp_path / "whole")
    photos = read_photos(data / "train")

    def start() -> DetectorTraining:
        return DetectorTraining(RECIPE, photos, [1.5] * 4, tmp_path / "interrupted")

    (tmp_path / "interrupted").mkdir()
    first = start()
    first.network.train()
    first.update(first.batch(0))
    first._save()
    again = start()
    assert again.step == 1
    resumed = again.run()
    weights = [load_detector(folder).state_dict() for folder in (whole, resumed)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]
    assert (tmp_path / "whole" / "curves.png").is_file()


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    data = drawn_dataset(tmp_path / "data")
    recipe = replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=1))
    provenance.finish(tmp_path / "run", train(recipe, data, tmp_path / "run"))
    with pytest.raises(provenance.Complete):
        train(recipe, data, tmp_path / "run")


def test_a_run_starts_from_given_weights_and_records_them(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = DetectorNetwork(width=8)
    save_detector(network, tmp_path)
    weights, data = tmp_path / "detector.safetensors", drawn_dataset(tmp_path / "data")
    training = DetectorTraining(RECIPE, read_photos(data / "train"), [1] * 4, tmp_path / "run", weights)
    for name, value in network.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(training.network.state_dict()[name], expected)
        assert torch.equal(training.average.state_dict()[name], expected)
    train(replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=1)), data, tmp_path / "other", weights)
    start = json.loads((tmp_path / "other" / provenance.RUN).read_text(encoding="utf-8"))["start"]
    assert start["name"] == str(weights)
    assert start["sha256"] is not None


def test_weights_of_another_width_are_an_error(tmp_path: Path) -> None:
    save_detector(DetectorNetwork(width=16), tmp_path)
    with pytest.raises(ShotcropError, match="does not fit a detector of variant 0 and width 8"):
        DetectorTraining(
            RECIPE,
            read_photos(drawn_dataset(tmp_path / "data") / "train"),
            [1] * 4,
            tmp_path,
            tmp_path / "detector.safetensors",
        )


def test_photos_are_drawn_as_often_as_the_recipe_says(tmp_path: Path) -> None:
    photos = read_photos(drawn_dataset(tmp_path / "data") / "train")
    training = DetectorTraining(RECIPE, photos, [1, 1, 1, 3], tmp_path)
    drawn = np.bincount([index for number in range(30) for index in training._drawn(number)])
    assert drawn.tolist() == [10, 10, 10, 30]


def test_sides_must_fit_the_grids() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        DetectorOptimisation(side=100)


def test_the_shipped_recipes_load() -> None:
    recipe = load_nano_recipe("nano")
    assert recipe.detector.data.repeat["no_person/train"] == 3.0
    assert recipe.composer.networks == 10 and recipe.composer.folds == 5
