from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from clip import WIDTH, save_tiny_clip, save_tiny_siglip
from conftest import picture
from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.evaluation.detections import Detections, Face, Keypoint, Person, Point
from shotcrop_cli.shots import FULL_FRAME, Box, Shot, ShotType
from shotcrop_train.rewards.reward_function import RewardRecipe
from shotcrop_train.scorers import SCORERS, Judged, Photo, ScorerRecipe, load_scorers
from shotcrop_train.scorers.aesthetic import AestheticScorer, load_aesthetic, load_head
from shotcrop_train.scorers.agreement import AgreementScorer
from shotcrop_train.scorers.clip import ClipScorer, load_clip
from shotcrop_train.scorers.composition import CompositionScorer, breaks_composition_rules
from shotcrop_train.scorers.mllm import MllmScorer, load_mllm, read_marks, rubric
from vlm import save_tiny_vlm

BOX = Box(0.2, 0.1, 0.7, 0.8)
NOTHING = Detections()


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_siglip(tmp_path_factory.mktemp("siglip"))


def judged(
    box: Box = BOX, caption: str = "", kind: ShotType = ShotType.CLOSE_UP, *, detections: Detections = NOTHING
) -> Judged:
    return Judged(Photo(picture(), 1.5, detections), Shot(kind, box, caption))


# A photo in its true shape.


def test_a_crop_of_a_squashed_photo_gets_its_true_shape_back() -> None:
    squashed = Photo(picture(80, 80), 1.5)
    assert squashed.crop(Box(0.0, 0.0, 0.5, 0.5)).size == (60, 40)


def test_a_crop_of_a_photo_in_its_own_shape_keeps_its_pixels() -> None:
    crop = Photo(picture(120, 80), 1.5).crop(Box(0.25, 0.25, 0.75, 0.75))
    assert crop.tobytes() == picture(120, 80).crop((30, 20, 90, 60)).tobytes()


# MLLM.


@pytest.mark.parametrize(
    "answer",
    [
        '{"shot_type": 8, "integrity": 6, "composition": 7, "story": 9}',
        'Here is my verdict:\n```json\n{"shot_type": 8, "integrity": 6.0, "composition": 7, "story": 9,}\n```\nGood.',
        "shot_type: 8/10\nintegrity: 6/10\ncomposition: 7 / 10\nstory: 9/10",
        "- **Shot type**: 4 out of 5\n- **Integrity**: 3/5\n- **Composition**: 3.5/5\n- **Story**: 4.5/5",
        "Shot-type = 8; Integrity = 6; Composition = 7; Story = 9. Composition of the crop is fine.",
        "[8, 6, 7, 9]",
        "My marks are [8/10, 6/10, 7/10, 9/10].",
        "8, 6, 7, 9",
        "<think>story: 2, shot_type: 1</think>shot_type 8, integrity 6, composition 7, story 9",
        "At first I thought story: 3, but no.\nshot_type: 8, integrity: 6, composition: 7, story: 9",
        '{"shot_type": "8", "integrity": "6", "composition": "7", "story": "9"}',
    ],
)
def test_marks_are_read_however_a_judge_writes_them(answer: str) -> None:
    assert read_marks(answer) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "It is a lovely picture.",
        '{"shot_type": 8, "integrity": 6, "composition": 7}',
        '{"shot_type": 8, "integrity": null, "composition": 7, "story": 9}',
        '{"shot_type": 8, "integrity": 6, "composition": 7, "story": 90}',
        "shot_type: 8/0, integrity: 6, composition: 7, story: 9",
        "[8, 6, 7]",
        "[8, 6, 7, 9, 5]",
        '{"shot_type": _, "integrity": _, "composition": _, "story": _}',
    ],
)
def test_an_answer_without_four_marks_within_the_scale_is_no_score(answer: str) -> None:
    assert read_marks(answer) is None


@given(st.text())
def test_no_answer_breaks_the_reader(answer: str) -> None:
    score = read_marks(answer)
    assert score is None or 0.0 <= score <= 1.0


@given(st.lists(st.integers(0, 10), min_size=4, max_size=4))
def test_marks_written_as_asked_come_back_as_their_mean(marks: list[int]) -> None:
    names = ("shot_type", "integrity", "composition", "story")
    assert read_marks(json.dumps(dict(zip(names, marks, strict=True)))) == pytest.approx(sum(marks) / 40)


def test_the_rubric_names_the_shot_its_caption_and_all_four_items() -> None:
    text = rubric(Shot(ShotType.MEDIUM, BOX, "a man waves"))
    assert "medium shot" in text
    assert '"a man waves"' in text
    assert all(item in text for item in ("shot_type", "integrity", "composition", "story"))
    assert "described" not in rubric(Shot(ShotType.MEDIUM, BOX))
    assert read_marks(text) is None


@pytest.mark.parametrize("family", ["qwen3-vl", "qwen2.5-vl"])
def test_a_vision_language_model_is_asked_about_every_crop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    scorer = load_mllm(ScorerRecipe(mllm=str(save_tiny_vlm(tmp_path, family)), batch_size=2), offline=True)
    monkeypatch.setattr("shotcrop_train.scorers.mllm.ANSWER_TOKENS", 4)
    assert scorer.score([judged(), judged(FULL_FRAME), judged(Box(0.1, 0.1, 0.2, 0.9))]) == [None] * 3


def test_each_answer_becomes_the_score_of_its_own_crop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scorer = load_mllm(ScorerRecipe(mllm=str(save_tiny_vlm(tmp_path)), batch_size=2), offline=True)
    seen: list[tuple[int, int]] = []

    def ask(_: MllmScorer, images: list[Image.Image], questions: list[str]) -> list[str]:
        seen.extend(image.size for image in images)
        return [f"[{image.width % 11}, 5, 5, 5]" for image in images]

    monkeypatch.setattr(MllmScorer, "_ask", ask)
    boxes = [Box(0.0, 0.0, 0.05, 1.0), Box(0.0, 0.0, 0.025, 1.0), FULL_FRAME]
    assert scorer.score([judged(box) for box in boxes]) == pytest.approx([0.525, 0.45, 0.625])
    assert seen == [(6, 80), (3, 80), (120, 80)]


# CLIP and aesthetics.


@pytest.mark.parametrize("family", ["tiny_clip", "tiny_siglip"])
def test_clip_scores_are_cosines_and_do_not_depend_on_the_batch(family: str, request: pytest.FixtureRequest) -> None:
    clip = load_clip(str(request.getfixturevalue(family)), offline=True)
    crops = [
        judged(BOX, "a man stands in a field"),
        judged(FULL_FRAME),
        judged(FULL_FRAME, "two children play with a ball " * 9),
    ]
    one, whole = ClipScorer(clip, 1).score(crops), ClipScorer(clip, 8).score(crops)
    assert one[1] is None
    assert whole == [pytest.approx(one[0], abs=1e-5), None, pytest.approx(one[2], abs=1e-5)]
    assert all(-1.0 <= score <= 1.0 for score in whole if score is not None)
    image = clip.embed_images([crops[0].photo.crop(BOX)])
    text = clip.embed_texts(["a man stands in a field"])
    assert one[0] == pytest.approx(float(image[0] @ text[0]), abs=1e-5)


def test_clip_and_aesthetic_share_one_model(tiny_clip: Path, tmp_path: Path) -> None:
    save_file({"weight": torch.ones(1, WIDTH), "bias": torch.zeros(1)}, tmp_path / "head.safetensors")
    settings = ScorerRecipe(
        clip=str(tiny_clip), aesthetic_clip=str(tiny_clip), aesthetic_head=str(tmp_path / "head.safetensors")
    )
    clip, aesthetic = load_scorers(["clip", "aesthetic"], settings, offline=True)
    assert isinstance(clip, ClipScorer)
    assert isinstance(aesthetic, AestheticScorer)
    assert clip.clip.model is aesthetic.clip.model


def _linear() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(WIDTH).float()[None], "bias": torch.tensor([0.5])}


def _mlp() -> dict[str, torch.Tensor]:
    # Dropouts stand between, as in LAION's, so the numbers have gaps; ten comes after two.
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (8, WIDTH), 2: (4, 8), 10: (1, 4)}
    return {
        f"layers.{number}.{part}": torch.randn(shape if part == "weight" else shape[:1], generator=generator)
        for number, shape in shapes.items()
        for part in ("bias", "weight")
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("weights", [_linear, _mlp])
def test_a_head_loads_from_either_format_and_scores_crops(
    suffix: str, weights: Callable[[], dict[str, torch.Tensor]], tiny_clip: Path, tmp_path: Path
) -> None:
    path, table = tmp_path / f"head{suffix}", weights()
    (save_file if suffix == ".safetensors" else torch.save)(table, path)
    scorer = load_aesthetic(ScorerRecipe(aesthetic_clip=str(tiny_clip), aesthetic_head=str(path)), offline=True)
    expected = scorer.clip.embed_images([judged().photo.crop(BOX)])
    for name in [name for name in sorted(table, key=lambda name: len(name)) if name.endswith("weight")]:
        expected = expected @ table[name].T + table[name.replace("weight", "bias")]
    assert scorer.score([judged()]) == [pytest.approx(float(expected[0, 0]), abs=1e-4)]


def test_a_relu_head_is_built_with_its_activations(tmp_path: Path) -> None:
    torch.save(_mlp(), tmp_path / "head.pth")
    plain, bent = load_head(tmp_path / "head.pth"), load_head(tmp_path / "head.pth", "relu")
    assert [type(layer).__name__ for layer in bent] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert len(plain) == 3


def test_a_head_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "sprung"),)

    torch.save({"weight": Trap()}, tmp_path / "head.pth")
    with pytest.raises(ShotcropError, match="cannot be read"):
        load_head(tmp_path / "head.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"weight": torch.ones(1, WIDTH)},
        {"weight": torch.ones(2, WIDTH), "bias": torch.ones(2)},
        {"0.weight": torch.ones(4, WIDTH), "0.bias": torch.ones(4)}
        | {"1.weight": torch.ones(1, 5), "1.bias": torch.ones(1)},
    ],
)
def test_weights_that_are_no_head_are_refused(table: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(table, tmp_path / "head.pth")
    with pytest.raises(ShotcropError, match="no aesthetic head"):
        load_head(tmp_path / "head.pth")


def test_a_head_for_another_clip_is_refused(tiny_siglip: Path, tmp_path: Path) -> None:
    torch.save(_linear(), tmp_path / "head.pth")
    settings = ScorerRecipe(aesthetic_clip=str(tiny_siglip), aesthetic_head=str(tmp_path / "head.pth"))
    with pytest.raises(ShotcropError, match=r"needs embeddings of 12 numbers, .* gives 16"):
        load_aesthetic(settings, offline=True)


@pytest.mark.parametrize(
    ("criterion", "hint"),
    [("clip", "hf download nobody/nothing"), ("aesthetic", "LAION"), ("mllm", "nobody/nothing")],
)
def test_missing_weights_are_named_with_what_to_download(criterion: str, hint: str, tmp_path: Path) -> None:
    settings = ScorerRecipe(
        mllm="nobody/nothing", clip="nobody/nothing", aesthetic_head=str(tmp_path / "absent-head.pth")
    )
    with pytest.raises(ShotcropError) as failure:
        load_scorers([criterion], settings, offline=True)
    assert failure.value.exit_code == ExitCode.MODEL
    assert hint in str(failure.value)
    assert "\n" not in str(failure.value)


def test_an_unknown_scorer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ShotcropError, match="there is no scorer 'beauty'") as failure:
        load_scorers(["beauty"], ScorerRecipe())
    assert all(name in str(failure.value) for name in SCORERS)


def test_the_former_name_of_the_composition_scorer_is_still_read() -> None:
    (former,) = load_scorers(["craft"], ScorerRecipe())
    (scorer,) = load_scorers(["composition"], ScorerRecipe())
    assert type(former) is type(scorer)
    assert (former.name, scorer.name) == ("craft", "composition")
    assert RewardRecipe(aesthetic="craft").aesthetic == "craft"
    with pytest.raises(ValueError, match="captions must be clip or words, not 'craft'"):
        RewardRecipe(captions="craft")


# The stand-ins.


def face(x: float, y: float, height: float, *, width: float | None = None) -> Face:
    width = width or height / 2
    points = [(-0.2, 0.4), (0.2, 0.4), (0.0, 0.55), (-0.15, 0.75), (0.15, 0.75)]
    landmarks = tuple(Point(x + dx * width, y + dy * height) for dx, dy in points)
    return Face(Box(x - width / 2, y, x + width / 2, y + height), 0.95, landmarks)


def standing(x: float = 0.5, top: float = 0.1) -> Detections:
    """Return a figure of .8 of the photo's height that faces the camera."""
    unit = 0.8 / 7.5
    heights = [0.5] * 5 + [1.6] * 2 + [2.8] * 2 + [3.6] * 2 + [3.7] * 2 + [5.5] * 2 + [7.2] * 2
    joints = tuple(Keypoint(x, top + unit * height, 0.9) for height in heights)
    person = Person(Box(x - 0.1, top, x + 0.1, top + 0.8), 0.9, joints)
    return Detections((person,), (face(x, top + 0.2 * unit, 0.8 * unit),))


def close_up(top: float = 0.09, height: float = 0.19, detections: Detections | None = None) -> Judged:
    return judged(Box(0.4, top, 0.6, top + height), detections=standing() if detections is None else detections)


def test_a_close_up_by_the_rules_scores_more_than_one_that_cuts_the_chin_or_is_loose() -> None:
    right, cut, loose = CompositionScorer().score([close_up(), close_up(0.05, 0.1), close_up(0.05, 0.5)])
    assert right is not None
    assert cut is not None
    assert loose is not None
    assert right > 0.85 > max(cut, loose)


def test_a_crop_that_misses_the_face_scores_nothing_and_a_photo_without_one_is_not_judged() -> None:
    assert CompositionScorer().score([judged(Box(0.0, 0.5, 0.2, 0.9), detections=standing()), judged()]) == [0.0, None]


def test_an_edge_through_a_joint_costs_credit() -> None:
    knee = 0.1 + 0.8 / 7.5 * 5.5
    above, through = (
        CompositionScorer().score(
            [judged(Box(0.3, 0.05, 0.7, low), kind=ShotType.ESTABLISHING, detections=standing())]
        )[0]
        for low in (knee - 0.1, knee)
    )
    assert above is not None
    assert through is not None
    assert above > through


@given(st.floats(0.0, 0.7), st.floats(0.05, 0.3), st.sampled_from(list(ShotType)))
def test_composition_scores_are_within_the_unit_interval(top: float, height: float, kind: ShotType) -> None:
    crop = judged(Box(0.35, top, 0.65, top + height), kind=kind, detections=standing())
    (score,) = CompositionScorer().score([crop])
    assert score is not None
    assert 0.0 <= score <= 1.0


def test_the_veto_strikes_cut_faces_and_wrong_scales_only() -> None:
    assert not breaks_composition_rules(close_up())
    assert breaks_composition_rules(close_up(0.05, 0.1))
    assert breaks_composition_rules(close_up(0.0, 0.9))
    assert not breaks_composition_rules(judged(FULL_FRAME))
    assert not breaks_composition_rules(judged(FULL_FRAME, kind=ShotType.ESTABLISHING, detections=standing()))


def test_agreement_is_the_mean_iou_with_the_rivals() -> None:
    shot, half = Shot(ShotType.MEDIUM, Box(0.0, 0.0, 0.5, 1.0)), Box(0.0, 0.0, 0.5, 0.5)
    photo = Photo(picture(), 1.5)
    crops = [Judged(photo, shot, (shot.box, half)), Judged(photo, shot, ())]
    assert AgreementScorer().score(crops) == [0.75, None]
