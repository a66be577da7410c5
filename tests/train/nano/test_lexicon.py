from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shotcrop_cli.captions.rules import INDOORS, OUTDOORS, WATER
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.model.bundle import Manifest, read_bundle
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.network import OnnxNetwork
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Composition, Grounding, Shot
from shotcrop_export.nano import export
from shotcrop_train.nano.lexicon import LEAST_SAID, Lexicon, fit_lexicon, learn, threshold
from shotcrop_train.nano.tower import pooled
from training import save_tiny_model, tiny_model


def record(name: str, captions: tuple[str, ...] = (), setting: str | None = None) -> Record:
    shots = tuple(Shot(kind, FULL_FRAME) for kind in SHOT_TYPES)
    triple = None if setting is None else Composition(shots, grounding=Grounding(setting=setting))
    return Record(Path(name), "", 60, 40, False, captions, Detections(), triple, False)


def test_a_threshold_is_the_lowest_score_from_which_on_enough_are_right() -> None:
    scores = np.arange(100, dtype=np.float64)
    right = (scores >= 60).astype(np.float64)
    limit = threshold(scores, right, precision=0.9)
    assert limit is not None
    assert right[scores >= limit].mean() >= 0.9 > right[scores >= limit - 1].mean()


def test_a_concept_that_is_sure_for_a_few_photos_alone_has_no_threshold() -> None:
    scores = np.arange(100, dtype=np.float64)
    right = (scores > 100 - LEAST_SAID).astype(np.float64)
    assert threshold(scores, right, precision=1.0) is None


def test_concepts_that_the_features_show_are_learned_and_others_left_out() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 6)) * 3.0 + 1.0
    wet, outdoors = features[:, 0] > 1.0, features[:, 1] > 1.0
    riders = rng.random(400) < 0.3
    records = [
        record(
            f"{index}.jpg",
            ("A boy swims" if wet[index] else "A boy", "He rides a bike" if riders[index] else "He stands"),
            "outdoor" if outdoors[index] else "indoor",
        )
        for index in range(400)
    ]
    lexicon = learn(records, features)
    assert {WATER, OUTDOORS, INDOORS} <= set(lexicon.words)
    assert "bike" not in lexicon.words
    logits = lexicon.logits(features)
    for word, truth in ((WATER, wet), (OUTDOORS, outdoors), (INDOORS, ~outdoors)):
        place = lexicon.words.index(word)
        said = logits[:, place] >= lexicon.thresholds[place]
        assert said.sum() >= LEAST_SAID
        assert truth[said].mean() > 0.9


def test_equal_photos_give_an_equal_lexicon() -> None:
    features = np.random.default_rng(1).normal(size=(200, 4))
    records = [
        record(f"{index}.jpg", setting="outdoor" if row[0] > 0 else "indoor") for index, row in enumerate(features)
    ]
    one, other = learn(records, features), learn(records, features)
    assert one.words == other.words and np.array_equal(one.weight, other.weight)


def test_too_few_photos_are_an_error_with_a_remedy() -> None:
    with pytest.raises(ShotcropError, match="captioned photos and got 0"):
        fit_lexicon(tiny_model()[0], [record("bare.jpg")] * 500)


def test_the_exported_graph_tells_what_the_lexicon_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    checkpoint = save_tiny_model(tmp_path / "checkpoint")
    model, _ = tiny_model()
    side = model.config.image_size
    width = pooled(model.model.tower(torch.zeros(1, 3, side, side))).shape[1]
    lexicon = Lexicon((OUTDOORS, INDOORS), (-1e9, 1e9), rng.normal(size=(2, width)), np.array([0.5, -0.5]))
    monkeypatch.setattr(export, "fit_lexicon", lambda _model, _records: lexicon)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(path)
    bundle, _ = export.export_nano(
        checkpoint, tmp_path / "model", [path], export.NanoExportOptions(captioned=[record("photo.png", ("A boy",))])
    )

    assert isinstance(bundle.manifest, Manifest)
    assert (
        bundle.manifest.lexicon
        == read_bundle(tmp_path / "model").manifest.lexicon
        == ((OUTDOORS, -1e9), (INDOORS, 1e9))
    )  # type: ignore[union-attr]
    network = OnnxNetwork(bundle, Device("cpu"))
    pixels = rng.normal(size=(2, 3, side, side)).astype(np.float32)
    ids = np.zeros((2, 4), dtype=np.int64)
    network.start(pixels, ids)
    loaded, _ = export.load_nano(checkpoint)
    export.round_to_half(loaded)
    with torch.inference_mode():
        features = pooled(loaded.eval().model.tower(torch.from_numpy(pixels))).numpy().astype(np.float64)
    assert network.words == pytest.approx(lexicon.logits(features), abs=1e-3)

    composer = load_composer(find_model(str(bundle.folder)), "cpu")
    (answer,) = composer.compose([Image.open(path).convert("RGB").resize(composer.thumbnail_size)], [1.5])
    assert isinstance(answer, Composition)
    assert "outdoors" in answer.shots[0].caption and "utdoors" in answer.reasoning.scene
