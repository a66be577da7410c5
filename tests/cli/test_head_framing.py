from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.geometry import clamp, to_pixels
from shotcrop_cli.head_framing import frame_with_heads, padded_box
from shotcrop_cli.shots import SHOT_TYPES, Box, PixelBox, Shot, ShotType
from shotcrop_cli.subjects import Subject

RATIOS = (Aspect(9, 16), Aspect(4, 5), Aspect(1, 1), Aspect(16, 9), Aspect(1200, 627))


def holds(outer: PixelBox, inner: PixelBox) -> bool:
    (left, upper, right, lower), (x0, y0, x1, y1) = outer.corners, inner.corners
    return left <= x0 and upper <= y0 and x1 <= right and y1 <= lower


@st.composite
def scenes(draw: st.DrawFn) -> tuple[tuple[int, int], Box, Subject]:
    """Return a photo's size, a shot, and a subject with one or two heads in the shot, and others anywhere."""
    photo = draw(st.sampled_from([(3000, 2000), (2000, 3000), (800, 600), (4000, 1500)]))
    high = draw(st.floats(0.05, 0.4))
    wide = high * photo[1] / photo[0] * 0.8

    def head() -> Box:
        x, y = draw(st.floats(0.0, 1 - wide)), draw(st.floats(0.0, 1 - high))
        return clamp(x, y, x + wide, y + high)

    heads = [head()]
    if draw(st.booleans()):
        x = min(heads[0].x1 + draw(st.floats(0, 0.1)), 1 - wide)
        heads.append(clamp(x, heads[0].y0, x + wide, heads[0].y1))
    margin = draw(st.floats(0.0, 0.3))
    box = clamp(
        min(one.x0 for one in heads) - margin,
        min(one.y0 for one in heads) - margin,
        max(one.x1 for one in heads) + margin,
        max(one.y1 for one in heads) + 2 * margin,
    )
    others = tuple(head() for _ in range(draw(st.integers(0, 4))))
    shots = tuple(Shot(kind, box) for kind in SHOT_TYPES)
    return photo, box, Subject(shots, None, heads[0], tuple(heads), others)


@given(scenes(), st.sampled_from(RATIOS), st.sampled_from([*ShotType]))
@settings(deadline=None)
def test_heads_are_whole_or_the_framing_says_that_they_do_not_fit(
    scene: tuple[tuple[int, int], Box, Subject], aspect: Aspect, shot: ShotType
) -> None:
    photo, box, subject = scene
    framing = Framing(((shot, aspect),))
    framed = frame_with_heads(shot, box, photo, framing, subject)
    left, upper, right, lower = framed.box.corners
    assert 0 <= left < right <= photo[0]
    assert 0 <= upper < lower <= photo[1]
    width, height = framed.box.width, framed.box.height
    assert abs(width * aspect.height - height * aspect.width) <= max(aspect.width, aspect.height)
    heads = [to_pixels(head, *photo) for head in subject.heads]
    assert framed.fits == all(holds(framed.box, head) for head in heads)
    if not framed.fits:  # then no box of this ratio in the photo holds them
        around = max(head.x + head.width for head in heads) - min(head.x for head in heads)
        tall = max(head.y + head.height for head in heads) - min(head.y for head in heads)
        largest = min(photo[0] / aspect.width, photo[1] / aspect.height)
        step = max(aspect.width, aspect.height)
        assert around > largest * aspect.width - step or tall > largest * aspect.height - step


@given(scenes(), st.sampled_from(RATIOS))
@settings(deadline=None)
def test_a_padded_crop_holds_the_heads(scene: tuple[tuple[int, int], Box, Subject], aspect: Aspect) -> None:
    photo, box, subject = scene
    shot = ShotType.CLOSE_UP
    padded = padded_box(shot, box, photo, Framing(((shot, aspect),)), subject)
    assert all(holds(padded, to_pixels(head, *photo)) for head in subject.heads)
    assert padded.corners[2] <= photo[0]
    assert padded.corners[3] <= photo[1]


def test_a_crop_moves_off_the_head_of_somebody_else() -> None:
    main, other = Box(0.45, 0.3, 0.55, 0.5), Box(0.65, 0.3, 0.75, 0.5)
    box = Box(0.3, 0.2, 0.72, 0.9)
    subject = Subject(tuple(Shot(kind, box) for kind in SHOT_TYPES), None, main, (main,))
    framing = Framing(((ShotType.MEDIUM, Aspect(9, 16)),))
    alone = frame_with_heads(ShotType.MEDIUM, box, (1000, 1000), framing, subject).box
    moved = frame_with_heads(ShotType.MEDIUM, box, (1000, 1000), framing, replace(subject, others=(other,))).box
    assert 652 < alone.corners[2] < 748  # through the other head
    assert moved.corners[2] <= 652 or moved.corners[2] >= 748
    assert holds(moved, to_pixels(main, 1000, 1000))


def test_without_a_known_head_the_plain_framing_counts() -> None:
    box = Box(0.3, 0.2, 0.7, 0.9)
    subject = Subject(tuple(Shot(kind, box) for kind in SHOT_TYPES), None, None)
    framed = frame_with_heads(ShotType.MEDIUM, box, (1000, 1000), Framing(((ShotType.MEDIUM, Aspect(4, 5)),)), subject)
    assert framed.fits
    assert framed.box.width * 5 == framed.box.height * 4
