import pytest

from shotcrop_cli.framing import Aspect
from shotcrop_cli.ratio_sets import PRESETS, Ratio, RatioSet
from shotcrop_cli.shots import SHOT_TYPES


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("4:5", Ratio(Aspect(4, 5))),
        ("4/5", Ratio(Aspect(4, 5))),
        ("4x5", Ratio(Aspect(4, 5))),
        (" 1.91:1 ", Ratio(Aspect(191, 100))),
        ("square", Ratio(Aspect(1, 1))),
        ("Square:1080x1080", Ratio(Aspect(1, 1), (1080, 1080))),
        ("4:5:1080x1350", Ratio(Aspect(4, 5), (1080, 1350))),
        ("1080x1350", Ratio(Aspect(4, 5), (1080, 1350))),
        ("1.91:1:1200x627", Ratio(Aspect(1200, 627), (1200, 627))),
    ],
)
def test_ratios_are_read_and_written(text: str, ratio: Ratio) -> None:
    assert Ratio.parse(text) == ratio
    assert Ratio.parse(str(ratio)) == ratio


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no ratio"),
        ("4", "is no ratio"),
        ("4:5:6", "is no ratio"),
        ("tall", "is no ratio"),
        ("0:5", "above 0"),
        ("16:9:1000x1000", "1000x1000 is 1:1, not 16:9"),
        ("4:5:80000x99999", "a side must have 1 to"),
    ],
)
def test_what_is_no_ratio_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ratio.parse(text)


@pytest.mark.parametrize("name", ["", "Story", "a b", "../x", "-a", "a" * 33, "default"])
def test_names_that_cannot_be_part_of_a_file_name_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name for a set|ordinary crops"):
        RatioSet.of(name, dict.fromkeys(SHOT_TYPES, Ratio(Aspect(1, 1))))


def test_presets_have_different_names_and_exact_sizes() -> None:
    sets = [one for preset in PRESETS.values() for one in preset]
    assert len({one.name for one in sets}) == len(sets)
    assert all(ratio.size is not None for one in sets for _, ratio in one.ratios)
    assert all(one.shots == SHOT_TYPES for one in sets)
