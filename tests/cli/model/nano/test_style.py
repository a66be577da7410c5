from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from figures import Figure, manifest, scene_of
from shotcrop_cli.model.nano.manifest import STYLE_FEATURES, NanoManifest, ShotStyle, Style
from shotcrop_cli.model.nano.refinement import Subject
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_cli.model.nano.style import (
    LARGEST_CORRECTION,
    MOST_FEATURES,
    describe_boxes,
    move_edges,
    moves_between,
    restyle,
)

TRIPLE = np.array([[0.0, 0.0, 1.0, 1.0], [0.3, 0.1, 0.7, 0.8], [0.4, 0.15, 0.6, 0.5]], np.float32)
CLOSER = ShotStyle(weights=((0.1, 0.1, -0.1, -0.1),))
"""Takes a tenth from each side."""


def subjects_of(*members: tuple[int, ...]) -> list[Subject]:
    return [Subject(one, TRIPLE) for one in members]


def test_without_a_style_nothing_moves() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1))
    (same,) = restyle(Style(), scene, subjects_of((0,)))
    assert_array_equal(same.triple, TRIPLE)
    (same,) = restyle(Style((ShotStyle(), ShotStyle(), ShotStyle())), scene, subjects_of((0,)))
    assert_allclose(same.triple, TRIPLE, atol=1e-6)
    assert restyle(Style((CLOSER,) * 3), scene, []) == []


def test_a_style_moves_the_edges_of_its_shots_for_everybody() -> None:
    scene = scene_of(Figure(0.3, 0.2, 0.1), Figure(0.7, 0.2, 0.1))
    style = Style((ShotStyle(), ShotStyle(), CLOSER))
    for one in restyle(style, scene, subjects_of((0,), (1,), (0, 1))):
        assert_allclose(one.triple[:2], TRIPLE[:2], atol=1e-6)
        assert_allclose(one.triple[2], [0.42, 0.185, 0.58, 0.465], atol=1e-6)


def test_a_correction_depends_on_where_the_head_is() -> None:
    follow = ShotStyle(
        mean=(0.0,) * 4, spread=(1.0,) * 4, weights=((0.0,) * 4, (1.0, 0.0, 1.0, 0.0), *[(0.0,) * 4] * 3)
    )
    for x in (0.45, 0.5, 0.56):
        (one,) = restyle(Style((ShotStyle(), ShotStyle(), follow)), scene_of(Figure(x, 0.2, 0.1)), subjects_of((0,)))
        assert_allclose((one.triple[2, 0] + one.triple[2, 2]) / 2, x, atol=1e-6)


def test_corrections_are_limited_and_stay_inside_the_photo() -> None:
    wild = ShotStyle(weights=((-50.0, -50.0, 50.0, 50.0),))
    (one,) = restyle(Style((wild,) * 3), scene_of(Figure(0.5, 0.2, 0.1)), subjects_of((0,)))
    assert_array_equal(one.triple[0], [0, 0, 1, 1])
    assert_allclose(one.triple[2, 2] - one.triple[2, 0], 0.2 * (1 + 2 * LARGEST_CORRECTION), atol=1e-6)
    crossed = ShotStyle(weights=((50.0, 50.0, -50.0, -50.0),))
    (one,) = restyle(Style((crossed,) * 3), scene_of(Figure(0.5, 0.2, 0.1)), subjects_of((0,)))
    assert (one.triple[:, 2:] > one.triple[:, :2]).all()


@given(
    st.lists(st.floats(0, 0.4), min_size=4, max_size=4),
    st.lists(st.floats(0.5, 1), min_size=4, max_size=4),
    st.floats(0.3, 3),
)
def test_moves_lead_from_one_box_to_another(low: list[float], high: list[float], aspect: float) -> None:
    box, wanted = np.array([*low[:2], *high[:2]]), np.array([*low[2:], *high[2:]])
    assert_allclose(move_edges(box, moves_between(box, wanted, aspect), aspect), wanted, atol=1e-6)


def test_features_are_those_of_the_box_and_finite_without_a_body() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1), Figure(0.2, 0.2, 0.05))
    scene = replace(scene, body=np.full_like(scene.body, np.nan))
    features: Floats = describe_boxes(scene, [(0,), (0, 1)], np.stack([TRIPLE, TRIPLE]))
    assert features.shape == (2, 3, MOST_FEATURES)
    assert np.isfinite(features).all()
    middle, top, bottom, height = features[0, 1, : STYLE_FEATURES["head"]]
    assert_allclose([middle, top, bottom, height], [0, 1 / 7, 2 / 7, 1 / 7], atol=1e-6)
    assert features[1, 1, 0] < -0.2  # the pair is farther left


def test_a_mirrored_photo_has_mirrored_features() -> None:
    scene = scene_of(Figure(0.46, 0.2, 0.1))
    mirrored = TRIPLE.copy()
    mirrored[:, 0], mirrored[:, 2] = 1 - TRIPLE[:, 2], 1 - TRIPLE[:, 0]
    one, other = describe_boxes(scene, [(0,)], TRIPLE[None]), describe_boxes(scene.mirror(), [(0,)], mirrored[None])
    assert_allclose(one[..., 0], -other[..., 0], atol=1e-6)
    assert_allclose(one[..., 1:6], other[..., 1:6], atol=1e-5)


def test_a_manifest_keeps_its_style() -> None:
    style = Style((ShotStyle(), CLOSER, ShotStyle((0.5,) * 4, (1.0,) * 4, ((0.1,) * 4,) * 5)), "ab" * 32)
    one = replace(manifest(), style=style)
    assert NanoManifest.from_json(_json(one)) == one
    plain = _json(manifest())
    del plain["style"]
    assert NanoManifest.from_json(plain) == manifest()


def _json(one: NanoManifest) -> dict[str, object]:
    import json

    content: dict[str, object] = json.loads(one.to_json())
    return content


@pytest.mark.parametrize(
    "fault",
    [
        {"weights": [[0.0] * 4] * 2},
        {"weights": [[0.0] * 3]},
        {"mean": [0.0] * 4, "spread": [1.0] * 3, "weights": [[0.0] * 4] * 5},
        {"mean": [0.0] * 4, "spread": [0.0] * 4, "weights": [[0.0] * 4] * 5},
        {"mean": [0.0] * 4, "spread": [1.0] * 4},
    ],
)
def test_a_style_that_does_not_fit_together_is_refused(fault: dict[str, object]) -> None:
    content = _json(manifest())
    content["style"] = {"shots": [{}, {}, fault], "base": ""}
    with pytest.raises(ValueError, match="style"):
        NanoManifest.from_json(content)
    content["style"] = {"shots": [{}, {}], "base": ""}
    with pytest.raises(ValueError, match=r"style\.shots must hold 3"):
        NanoManifest.from_json(content)
