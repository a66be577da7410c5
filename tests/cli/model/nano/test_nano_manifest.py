from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from figures import manifest
from shotcrop_cli.errors import ExitCode, ModelError
from shotcrop_cli.model.bundle import HASHED_FILES, file_sha256, read_bundle
from shotcrop_cli.model.nano.manifest import (
    COMPOSER,
    DETECTOR,
    DecodingLimits,
    FaultCosts,
    NanoManifest,
    PresenceRule,
    ScoreCurve,
)

FULL = replace(
    manifest(),
    decoding=DecodingLimits(lonely=0.3),
    refinement=FaultCosts(move=3.0, room_low=(0.0, 0.1, 0.1)),
    presence=PresenceRule(bias=-1.0),
    score=ScoreCurve(-2.0, 6.0),
    fallback=((0.0, 0.0, 1.0, 1.0), (0.2, 0.2, 0.8, 0.8), (0.4, 0.2, 0.6, 0.5)),
)


def test_a_manifest_survives_json() -> None:
    assert NanoManifest.from_json(json.loads(FULL.to_json())) == FULL


def test_settings_that_are_left_out_have_their_defaults() -> None:
    content = json.loads(FULL.to_json())
    for name in ("decoding", "refinement", "presence", "score", "fallback"):
        del content[name]
    assert NanoManifest.from_json(content) == manifest()
    content["refinement"] = {"hand": 1}
    assert NanoManifest.from_json(content).refinement == FaultCosts(hand=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 100}, "image_size must be a multiple of 32, not 100"),
        ({"image_size": 64.0}, "image_size must be of type int"),
        ({"name": None}, "name must be of type str"),
        ({"tags": ["people", "indoor"]}, "tags must name people, indoor, outdoor, camera, left, right, away, down, up"),
        ({"tags": "people"}, "tags must be a list"),
        ({"colour": 1}, "missing or unknown keys: colour"),
        ({"refinement": {"hands": 1.0}}, "missing or unknown keys: refinement.hands"),
        ({"refinement": [1.0]}, "refinement must be an object"),
        ({"refinement": {"move": True}}, "refinement.move must be of type float"),
        ({"refinement": {"room_low": [0.1]}}, "refinement.room_low must hold 3 numbers"),
        ({"decoding": {"score": [0.1, 0.2]}}, "decoding.score must hold 5 numbers"),
        ({"decoding": {"most": 2.5}}, "decoding.most must be of type int"),
        ({"score": {"offset": float("nan")}}, "score.offset must be of type float"),
        ({"features": 0}, "a candidate must have features"),
        ({"person_features": 8}, "person_features and photo_features go together"),
        ({"fallback": [[0, 0, 1, 1]]}, "fallback must hold 3 boxes of four sides"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_key_that_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        NanoManifest.from_json(json.loads(manifest().to_json()) | change)
    assert message in str(caught.value)


def test_a_missing_key_is_named() -> None:
    content = json.loads(manifest().to_json())
    del content["features"], content["tags"]
    with pytest.raises(ValueError, match="missing or unknown keys: features, tags"):
        NanoManifest.from_json(content)


def test_presence_rises_with_every_sign_of_people() -> None:
    rule = PresenceRule()
    nothing = rule.probability(0.0, 0.0, 0.0)
    assert nothing < 0.5 < rule.probability(0.9, 0.9, 0.0)
    assert min(rule.probability(0.5, 0, 0), rule.probability(0, 0.5, 0), rule.probability(0, 0, 0.5)) > nothing
    assert rule.probability(0, 0, -1e9) == pytest.approx(0.0) and rule.probability(0, 0, 1e9) == pytest.approx(1.0)


def test_a_score_is_the_expected_iou_or_a_curve_of_it() -> None:
    assert ScoreCurve().score(0.7) == 0.7
    curve = ScoreCurve(-3.0, 6.0)
    assert curve.score(0.5) == pytest.approx(0.5)
    assert curve.score(0.4) < 0.4 and curve.score(0.6) > 0.6


def test_a_doubtful_main_subject_lowers_the_score() -> None:
    curve = ScoreCurve(-6.0, 6.0, 3.0)
    assert curve.score(0.8, 0.4) < curve.score(0.8, 0.9) < curve.score(0.8) == curve.score(0.8, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder whose graphs are no graphs: only their hashes are looked at."""
    (tmp_path / "model.json").write_text(manifest().to_json(), "utf-8")
    for name in (DETECTOR, COMPOSER):
        (tmp_path / name).write_bytes(name.encode())
    hashes = {name: file_sha256(tmp_path / name) for name in ("model.json", DETECTOR, COMPOSER)}
    (tmp_path / "shotcrop_export.json").write_text(json.dumps({"sha256": hashes}), "utf-8")
    return tmp_path


def test_a_folder_is_read_with_its_hashes(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.manifest == manifest()
    assert set(bundle.hashes) == {"model.json", DETECTOR, COMPOSER} <= set(HASHED_FILES)
    assert len(bundle.sha256) == 64


def _forget(path: Path) -> None:
    path.unlink()


def _alter(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", [DETECTOR, COMPOSER])
@pytest.mark.parametrize(("damage", "message"), [(_forget, "has no readable"), (_alter, "is altered or damaged")])
def test_a_damaged_folder_is_refused(folder: Path, name: str, damage: Callable[[Path], None], message: str) -> None:
    damage(folder / name)
    with pytest.raises(ModelError, match=message) as caught:
        read_bundle(folder)
    assert name in caught.value.message
    assert caught.value.exit_code == ExitCode.MODEL


def test_a_wrong_manifest_is_an_error_of_the_model(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(content | {"image_size": 100}), "utf-8")
    with pytest.raises(ModelError, match=r"model\.json: image_size must be a multiple of 32"):
        read_bundle(folder)
