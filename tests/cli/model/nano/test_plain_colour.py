import numpy as np
import pytest

from shotcrop_cli.crop_facts import COLOURS
from shotcrop_cli.model.nano.plain_colour import LEAST_PIXELS, Pixels, plain_colour, share_of

ANY = dict.fromkeys(COLOURS, 0.6)


def area(*rgb: int, count: int = 100) -> Pixels:
    return np.tile(np.array([rgb], np.uint8), (count, 1))


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((20, 22, 25), "dark"),
        ((235, 233, 230), "light"),
        ((200, 30, 40), "red"),
        ((235, 120, 20), "orange"),
        ((230, 200, 30), "yellow"),
        ((40, 130, 60), "green"),
        ((30, 60, 190), "blue"),
        ((110, 50, 150), "purple"),
        ((235, 140, 190), "pink"),
        ((205, 150, 120), None),  # skin
        ((110, 75, 45), None),  # brown
        ((120, 120, 120), None),  # grey
    ],
)
def test_a_plain_area_has_the_name_of_its_colour(rgb: tuple[int, int, int], name: str | None) -> None:
    assert plain_colour(area(*rgb), ANY) == name


def test_stripes_and_few_pixels_have_no_colour() -> None:
    stripes = np.concatenate([area(200, 30, 40, count=70), area(30, 60, 190, count=30)])
    assert plain_colour(stripes, ANY) is None
    assert plain_colour(np.concatenate([area(200, 30, 40, count=90), area(30, 60, 190, count=10)]), ANY) == "red"
    assert plain_colour(area(200, 30, 40, count=LEAST_PIXELS - 1), ANY) is None


def test_a_colour_needs_its_share_and_others_are_never_returned() -> None:
    mixed = np.concatenate([area(200, 30, 40, count=65), area(120, 120, 120, count=35)])
    assert plain_colour(mixed, {"red": 0.6}) == "red"
    assert plain_colour(mixed, {"red": 0.7}) is None
    assert plain_colour(mixed, {"blue": 0.1}) is None


def test_a_tint_counts_pale_pixels_too() -> None:
    assert share_of("green", area(150, 190, 160), pale=True) == 1.0
    assert share_of("green", area(150, 190, 160)) == 0.0
    assert share_of("dark", area(10, 10, 10)) == 1.0 and share_of("blue", area(200, 30, 40)) == 0.0
