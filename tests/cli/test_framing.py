from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shotcrop_cli import geometry
from shotcrop_cli.framing import EXACT_STEPS, EYE_LINE, Aspect, Framed, Framing, ShotFraming, frame_shot
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, PixelBox, ShotType

ESTABLISHING, MEDIUM, CLOSE_UP = SHOT_TYPES
Pixels = tuple[int, int, int, int]
SQUARE, WIDE, TALL, PORTRAIT = Aspect(1, 1), Aspect(16, 9), Aspect(9, 16), Aspect(4, 5)


@dataclass(frozen=True)
class Scene:
    """A photo's size, a shot of it, and what the model knows of the main person."""

    width: int
    height: int
    box: Box
    main_person: Box | None = None
    head: Box | None = None
    close_up: Box | None = None

    def frame(
        self, shot: ShotType, aspect: Aspect | None = None, pad: float = 0.0, min_size: int | None = None
    ) -> Framed:
        framing = Framing(() if aspect is None else ((shot, aspect),), pad, min_size)
        return frame_shot(shot, self.box, self.width, self.height, framing, self.main_person, self.head, self.close_up)

    def pixels(self, box: Box | None) -> PixelBox:
        assert box is not None
        return geometry.to_pixels(box, self.width, self.height)

    def mirrored(self) -> Scene:
        def flip(box: Box | None) -> Box | None:
            if box is None:
                return None
            pixels = self.pixels(box)
            return self.box_of(self.width - pixels.corners[2], pixels.y, pixels.width, pixels.height)

        box = flip(self.box)
        assert box is not None
        return Scene(self.width, self.height, box, flip(self.main_person), flip(self.head), flip(self.close_up))

    def box_of(self, x: int, y: int, width: int, height: int) -> Box:
        return geometry.from_pixels(PixelBox(x, y, width, height), self.width, self.height)


def scene(size: tuple[int, int], shot: Pixels, main_person: Pixels | None = None, head: Pixels | None = None) -> Scene:
    """A scene of boxes in pixels: left, top, width, height."""
    photo = Scene(*size, FULL_FRAME)
    return replace(
        photo,
        box=photo.box_of(*shot),
        main_person=None if main_person is None else photo.box_of(*main_person),
        head=None if head is None else photo.box_of(*head),
    )


def holds(outer: PixelBox, inner: PixelBox) -> bool:
    (left, upper, right, lower), (x0, y0, x1, y1) = outer.corners, inner.corners
    return left <= x0 and upper <= y0 and x1 <= right and y1 <= lower


shots = st.sampled_from(SHOT_TYPES)
usual_aspects = st.sampled_from(
    [Aspect.parse(text) for text in ("1:1", "16:9", "9:16", "4:5", "3:2", "21:9", "1.91:1")]
)
aspects = usual_aspects | st.builds(Aspect, st.integers(1, 300), st.integers(1, 300))
pads = st.floats(0.0, 1.0)
min_sizes = st.integers(1, 3000)


@st.composite
def spans(draw: st.DrawFn, limit: int) -> tuple[int, int]:
    length = draw(st.integers(1, limit))
    return draw(st.integers(0, limit - length)), length


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Anything that a model may answer to anything that may be a photo."""
    width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
    photo = Scene(width, height, FULL_FRAME)

    def box() -> Box:
        (x, wide), (y, high) = draw(spans(width)), draw(spans(height))
        return photo.box_of(x, y, wide, high)

    def known() -> Box | None:
        return box() if draw(st.booleans()) else None

    return replace(photo, box=box(), main_person=known(), head=known(), close_up=known())


@st.composite
def portraits(draw: st.DrawFn) -> Scene:
    """A shot of a person whose head, of a head's shape, it holds whole."""
    width, height = draw(st.integers(600, 4000)), draw(st.integers(600, 4000))
    photo = Scene(width, height, FULL_FRAME)
    shot_width, shot_height = draw(st.integers(160, width)), draw(st.integers(160, height))
    x, y = draw(st.integers(0, width - shot_width)), draw(st.integers(0, height - shot_height))
    high = min(int(draw(st.floats(0.1, 0.7)) * shot_height), int(shot_width / 0.78))
    wide = int(0.78 * high)
    left, top = draw(st.integers(x, x + shot_width - wide)), draw(st.integers(y, y + shot_height - high))
    main_person = (max(left - wide, 0), top, min(3 * wide, width - max(left - wide, 0)), min(7 * high, height - top))
    return replace(
        photo,
        box=photo.box_of(x, y, shot_width, shot_height),
        main_person=photo.box_of(*main_person),
        head=photo.box_of(left, top, wide, high),
    )


@given(shots, scenes(), st.none() | aspects, pads, st.none() | min_sizes)
def test_a_shot_stays_inside_the_photo_whatever_is_asked_for(
    shot: ShotType, scene: Scene, aspect: Aspect | None, pad: float, min_size: int | None
) -> None:
    left, upper, right, lower = scene.frame(shot, aspect, pad, min_size).box.corners
    assert 0 <= left < right <= scene.width and 0 <= upper < lower <= scene.height


@given(shots, scenes())
def test_a_shot_is_cut_as_proposed_when_nothing_is_asked_for(shot: ShotType, scene: Scene) -> None:
    assert scene.frame(shot) == Framed(scene.pixels(scene.box))


@given(shots, scenes(), pads, pads)
def test_more_pad_shows_more_and_loses_nothing(shot: ShotType, scene: Scene, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert holds(scene.frame(shot, pad=more).box, scene.frame(shot, pad=less).box)


def test_pad_is_a_share_of_the_side_on_each_side_up_to_the_photos_border() -> None:
    padded = scene((1000, 1000), (100, 50, 200, 600)).frame(CLOSE_UP, pad=0.1)
    assert padded == Framed(PixelBox(80, 0, 240, 710))


@given(shots, scenes(), aspects, pads, st.none() | min_sizes)
def test_a_ratio_is_exact_or_within_half_a_pixel_or_the_photo_is_too_small_for_it(
    shot: ShotType, scene: Scene, aspect: Aspect, pad: float, min_size: int | None
) -> None:
    framed = scene.frame(shot, aspect, pad, min_size)
    width, height = framed.box.width, framed.box.height
    if min(width // aspect.width, height // aspect.height) > EXACT_STEPS:
        assert width * aspect.height == height * aspect.width
    too_small = f"{shot}: the photo is too small for {aspect}"
    assert (abs(width - height * aspect.width / aspect.height) <= 0.5) is (too_small not in framed.notes)
    if too_small in framed.notes:
        assert min(width, height) == 1


@given(shots, scenes(), st.none() | aspects, min_sizes)
def test_the_shorter_side_has_its_least_size_or_a_note_says_how_many_pixels_it_has(
    shot: ShotType, scene: Scene, aspect: Aspect | None, min_size: int
) -> None:
    framed = scene.frame(shot, aspect, min_size=min_size)
    short = min(framed.box.width, framed.box.height)
    note = f"{shot}: {short} pixels on the shorter side, not {min_size}: the photo has no more"
    assert (short < min_size) is (note in framed.notes)
    assert short >= min(min_size, scene.frame(shot, aspect).box.width, scene.frame(shot, aspect).box.height)


@given(shots, scenes(), min_sizes)
def test_a_least_size_alone_widens_a_shot_around_what_it_showed(shot: ShotType, scene: Scene, min_size: int) -> None:
    assume(scene.frame(shot, min_size=min_size).notes == ())
    assert holds(scene.frame(shot, min_size=min_size).box, scene.frame(shot).box)


@given(shots, portraits(), usual_aspects, st.floats(0.0, 0.3), st.none() | st.integers(1, 600))
def test_a_head_that_the_shot_held_is_kept_or_a_note_says_that_it_cannot_be(
    shot: ShotType, scene: Scene, aspect: Aspect, pad: float, min_size: int | None
) -> None:
    framed = scene.frame(shot, aspect, pad, min_size)
    head = scene.pixels(scene.head)
    kept = holds(framed.box, head)
    assert kept is (f"{shot}: the head does not fit into {aspect}" not in framed.notes)
    if not kept:  # then no crop that has the ratio to the pixel could hold it
        largest = min(scene.width // aspect.width, scene.height // aspect.height)
        assert largest * aspect.width < head.width or largest * aspect.height < head.height


@given(portraits(), usual_aspects)
def test_an_establishing_shot_keeps_the_whole_lead_or_a_note_says_that_it_does_not(
    scene: Scene, aspect: Aspect
) -> None:
    assume(scene.main_person is not None and geometry.ioa(scene.main_person, scene.box) == 1.0)
    framed = scene.frame(ESTABLISHING, aspect)
    assert holds(framed.box, scene.pixels(scene.main_person)) is (framed.notes == ())


@given(scenes(), usual_aspects)
def test_an_establishing_shot_grows_and_loses_nothing_while_the_photo_has_room(scene: Scene, aspect: Aspect) -> None:
    before = scene.pixels(scene.box)
    steps = max(before.width / aspect.width, before.height / aspect.height)
    assume((steps + 1) * aspect.width <= scene.width and (steps + 1) * aspect.height <= scene.height)
    after = scene.frame(ESTABLISHING, aspect).box
    assert after.width > before.width - aspect.width and after.height > before.height - aspect.height


@given(st.sampled_from([MEDIUM, CLOSE_UP]), portraits(), usual_aspects)
def test_medium_shots_and_close_ups_keep_their_height_where_the_photo_is_wide_enough(
    shot: ShotType, scene: Scene, aspect: Aspect
) -> None:
    before, head = scene.pixels(scene.box), scene.pixels(scene.head)
    wide = before.height * aspect.width / aspect.height
    assume(1.4 * head.width <= wide <= scene.width - aspect.width and before.height <= scene.height - aspect.height)
    assume(1.4 * head.height <= before.height)
    after = scene.frame(shot, aspect).box
    assert abs(after.height - before.height) <= aspect.height / 2


@given(shots, scenes(), aspects, st.none() | min_sizes)
def test_framing_twice_is_framing_once_where_no_head_is_in_the_way(
    shot: ShotType, scene: Scene, aspect: Aspect, min_size: int | None
) -> None:
    elsewhere = replace(scene, head=scene.box_of(0, 0, 1, 1), main_person=None)
    assume(scene.pixels(scene.box).x > 0)
    once = elsewhere.frame(shot, aspect, min_size=min_size)
    assume(once.box.x > 0)
    again = replace(elsewhere, box=scene.box_of(once.box.x, once.box.y, once.box.width, once.box.height))
    twice = again.frame(shot, aspect, min_size=min_size)
    if once.box.width * aspect.height == once.box.height * aspect.width:
        assert twice == once
    else:  # rounded to a pixel, it may reach the size from which on a ratio is exact
        assert abs(twice.box.width - once.box.width) <= aspect.width
        assert abs(twice.box.height - once.box.height) <= aspect.height


@given(shots, portraits(), st.none() | aspects, st.none() | min_sizes)
def test_a_mirrored_photo_gives_a_mirrored_crop(
    shot: ShotType, scene: Scene, aspect: Aspect | None, min_size: int | None
) -> None:
    one, other = scene.frame(shot, aspect, min_size=min_size), scene.mirrored().frame(shot, aspect, min_size=min_size)
    assert (one.box.y, one.box.width, one.box.height) == (other.box.y, other.box.width, other.box.height)
    # A pixel of the proposed shot becomes as many pixels as the shot grows.
    tolerance = 1 + one.box.width / scene.pixels(scene.box).width
    assert abs(scene.width - one.box.corners[2] - other.box.x) <= tolerance


def test_a_portrait_close_up_gets_square_at_its_height_with_the_lead_where_it_was() -> None:
    photo = scene((1200, 1600), (300, 200, 600, 800), head=(420, 280, 312, 400))
    assert photo.frame(CLOSE_UP, SQUARE) == Framed(PixelBox(208, 200, 800, 800))
    assert photo.frame(CLOSE_UP, Aspect(3, 4)) == photo.frame(CLOSE_UP)


def test_a_lead_in_the_left_third_stays_in_the_left_third() -> None:
    photo = scene((3000, 2000), (600, 400, 900, 900), head=(825, 500, 150, 200))
    for aspect in (WIDE, PORTRAIT):
        box = photo.frame(MEDIUM, aspect).box
        assert (900 - box.x) / box.width == pytest.approx(1 / 3, abs=0.01)


def test_a_wide_establishing_shot_of_a_portrait_photo_is_as_wide_as_it_and_keeps_the_head() -> None:
    photo = scene((800, 1200), (0, 0, 800, 1200), main_person=(250, 200, 300, 950), head=(350, 200, 100, 130))
    framed = photo.frame(ESTABLISHING, WIDE)
    assert (framed.box.width, framed.box.height) == (800, 450)
    assert framed.box.y < 200 and framed.box.corners[3] > 330
    assert framed.notes == ("establishing: the main person does not fit into 16:9",)


def test_feet_do_not_stand_on_the_edge_of_an_establishing_shot_that_had_ground_below() -> None:
    photo = scene((800, 1200), (0, 0, 800, 1200), main_person=(250, 600, 200, 400), head=(320, 600, 60, 80))
    box = photo.frame(ESTABLISHING, WIDE).box
    assert box.y < 600 and box.corners[3] > 1000


def test_a_head_that_does_not_fit_is_one_note_though_the_lead_does_not_fit_either() -> None:
    photo = scene((334, 500), (0, 0, 334, 500), main_person=(46, 0, 288, 494), head=(87, 0, 148, 195))
    assert photo.frame(ESTABLISHING, WIDE).notes == ("establishing: the head does not fit into 16:9",)


def test_a_lead_at_the_photos_border_stays_inside_the_wider_crop() -> None:
    photo = scene((1600, 1000), (0, 100, 450, 600), head=(0, 180, 200, 260))
    assert photo.frame(CLOSE_UP, WIDE) == Framed(PixelBox(0, 100, 1072, 603))


def test_a_head_that_touches_the_border_is_kept_whole() -> None:
    photo = scene((1000, 700), (300, 0, 400, 500), head=(380, 0, 240, 310))
    box = photo.frame(CLOSE_UP, WIDE).box
    assert box.y == 0 and holds(box, PixelBox(380, 0, 240, 310))


def test_a_narrow_close_up_grows_rather_than_cut_the_head() -> None:
    photo = scene((2000, 1500), (500, 300, 800, 600), head=(700, 350, 390, 500))
    framed = photo.frame(CLOSE_UP, TALL)
    assert framed.notes == () and framed.box.height > 600 and holds(framed.box, PixelBox(700, 350, 390, 500))


def test_a_tighter_crop_keeps_the_headroom_as_a_share_of_its_height() -> None:
    photo = scene((800, 1600), (0, 200, 800, 1000), head=(340, 300, 120, 150))
    box = photo.frame(MEDIUM, WIDE).box
    headroom = (300 - 0.15 * 150 - box.y) / box.height
    assert box.height == 450 and headroom == pytest.approx((300 - 0.15 * 150 - 200) / 1000, abs=0.005)


def test_a_head_that_fits_no_crop_of_the_ratio_loses_hair_and_keeps_the_eyes() -> None:
    photo = scene((480, 640), (20, 60, 440, 560), head=(100, 100, 300, 390))
    framed = photo.frame(CLOSE_UP, WIDE)
    assert framed.notes == ("close_up: the head does not fit into 16:9",)
    assert (100 + 390 / 2 - framed.box.y) / framed.box.height == pytest.approx(EYE_LINE, abs=0.01)


@pytest.mark.parametrize("top", [100, 740])
def test_a_shot_of_something_else_than_the_head_keeps_its_middle(top: int) -> None:
    hands = scene((2000, 1500), (800, 900, 400, 300), main_person=(700, 100, 600, 1300), head=(800, top, 150, 200))
    assert hands.frame(CLOSE_UP, SQUARE) == Framed(PixelBox(850, 900, 300, 300))


def test_the_close_up_tells_where_the_head_is_when_the_model_does_not() -> None:
    photo = scene((800, 1600), (0, 200, 800, 1200))
    close_up = photo.box_of(500, 900, 200, 260)
    blind, told = photo.frame(MEDIUM, WIDE), replace(photo, close_up=close_up).frame(MEDIUM, WIDE)
    assert not holds(blind.box, photo.pixels(close_up))
    assert told.box.y < 926 and told.box.corners[3] > 900 + 0.65 * 260 and told.notes == ()


def test_a_medium_shot_narrows_around_the_body_where_it_fits() -> None:
    leaning = scene((2000, 1200), (200, 100, 1600, 1000), main_person=(900, 150, 500, 900), head=(1300, 150, 100, 130))
    box = leaning.frame(MEDIUM, TALL).box
    assert box.x <= 900 and box.corners[2] >= 1400


def test_a_least_size_grows_a_shot_in_its_own_ratio_until_the_photo_ends() -> None:
    photo = scene((1000, 900), (100, 100, 200, 150), head=(170, 120, 60, 80))
    box = photo.frame(CLOSE_UP, min_size=300).box
    assert (box.width, box.height) == (400, 300)
    framed = photo.frame(CLOSE_UP, min_size=800)
    assert (framed.box.width, framed.box.height) == (1000, 750)
    assert framed.notes == ("close_up: 750 pixels on the shorter side, not 800: the photo has no more",)


def test_pad_comes_before_the_ratio_and_the_least_size_after_it() -> None:
    photo = scene((4000, 3000), (1800, 1200, 300, 400), head=(1900, 1250, 120, 150))
    both = photo.frame(CLOSE_UP, SQUARE, pad=0.25).box
    assert (both.width, both.height) == (600, 600)
    all_three = photo.frame(CLOSE_UP, WIDE, pad=0.25, min_size=900).box
    assert (all_three.width, all_three.height) == (1600, 900)


def test_a_photo_smaller_than_the_terms_of_the_ratio_is_cut_as_near_to_it_as_pixels_go() -> None:
    assert scene((10, 10), (0, 0, 10, 10)).frame(ESTABLISHING, WIDE).box.width == 9
    assert scene((10, 10), (0, 0, 10, 10)).frame(ESTABLISHING, WIDE).box.height == 5
    speck = scene((1, 1), (0, 0, 1, 1)).frame(MEDIUM, WIDE)
    assert speck == Framed(PixelBox(0, 0, 1, 1), ("medium: the photo is too small for 16:9",))


def test_a_shot_is_concerned_by_its_own_ratio_and_by_what_is_said_of_all() -> None:
    framing = Framing(((MEDIUM, WIDE), (CLOSE_UP, SQUARE)), pad=0.1, min_size=400)
    assert framing.for_shot(ESTABLISHING) == ShotFraming(None, 0.1, 400)
    assert framing.for_shot(CLOSE_UP) == ShotFraming(SQUARE, 0.1, 400)
    other = replace(framing, aspects=((MEDIUM, WIDE), (CLOSE_UP, PORTRAIT)))
    assert [framing.for_shot(shot) == other.for_shot(shot) for shot in SHOT_TYPES] == [True, True, False]


@pytest.mark.parametrize(
    ("aspects", "pad", "min_size"),
    [
        (((CLOSE_UP, SQUARE), (MEDIUM, SQUARE)), 0.0, None),
        (((MEDIUM, SQUARE), (MEDIUM, WIDE)), 0.0, None),
        ((), -0.1, None),
        ((), 1.1, None),
        ((), float("nan"), None),
        ((), 0.0, 0),
    ],
)
def test_impossible_framing_is_refused(
    aspects: tuple[tuple[ShotType, Aspect], ...], pad: float, min_size: int | None
) -> None:
    with pytest.raises(ValueError, match="must be"):
        Framing(aspects, pad, min_size)


@given(aspects)
def test_a_ratio_is_read_back_from_its_text(aspect: Aspect) -> None:
    assert Aspect.parse(str(aspect)) == aspect


def test_a_ratio_is_in_lowest_terms_and_may_have_decimals() -> None:
    assert Aspect(32, 18) == WIDE and hash(Aspect(32, 18)) == hash(WIDE) and str(Aspect(32, 18)) == "16:9"
    assert Aspect.parse("1.91:1") == Aspect(191, 100)
    assert Aspect.parse("2.35:1") == Aspect(47, 20)


@pytest.mark.parametrize(
    "text", ["", "16", "16x9", "16:9:1", "-1:2", "0:1", "1:0", "0.0:1", "1e3:1", "nan:1", "٣:٤", "9" * 9 + ":1"]
)
def test_what_is_no_ratio_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ratio"):
        Aspect.parse(text)
