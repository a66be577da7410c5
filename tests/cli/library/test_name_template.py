import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.name_template import DEFAULT_TEMPLATE, NameTemplate, RecordedNames, TemplateNames, is_inside
from shotcrop_cli.shots import CropKey, ShotType


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT_TEMPLATE, "IMG_1.tar.JPG.medium.jpg"),
        ("{shot}/{name}.{ext}", "medium/IMG_1.tar.JPG.jpg"),
        ("{stem}_{shot}.{ext}", "IMG_1.tar_medium.jpg"),
        ("web/{shot}/{stem}.{ext}", "web/medium/IMG_1.tar.jpg"),
    ],
)
def test_fields_are_filled_in(template: str, name: str) -> None:
    assert NameTemplate.parse(template).render("IMG_1.tar.JPG", ShotType.MEDIUM, ".jpg") == name


@pytest.mark.parametrize(
    ("template", "person", "set_name", "name"),
    [
        (DEFAULT_TEMPLATE, "main", "story", "IMG_1.jpg.medium-story.jpg"),
        (DEFAULT_TEMPLATE, "person2", "default", "IMG_1.jpg.person2-medium.jpg"),
        (DEFAULT_TEMPLATE, "group", "story", "IMG_1.jpg.group-medium-story.jpg"),
        ("{stem}-{shot}.{ext}", "main", "story", "IMG_1-medium-story.jpg"),
        ("{set}/{stem}-{shot}.{ext}", "person2", "story", "story/IMG_1-person2-medium.jpg"),
        ("{set}/{stem}-{shot}.{ext}", "main", "default", "default/IMG_1-medium.jpg"),
        ("{stem}.{person}.{shot}.{ext}", "main", "default", "IMG_1.main.medium.jpg"),
        ("{stem}.{person}.{shot}.{ext}", "person2", "story", "IMG_1.person2.medium-story.jpg"),
        ("{set}/{person}/{stem}-{shot}.{ext}", "person2", "story", "story/person2/IMG_1-medium.jpg"),
    ],
)
def test_people_and_sets_are_part_of_the_name(template: str, person: str, set_name: str, name: str) -> None:
    key = CropKey(ShotType.MEDIUM, person, set_name)
    assert NameTemplate.parse(template).render("IMG_1.jpg", key, ".jpg") == name
    assert TemplateNames(NameTemplate.parse(template), ".jpg").name("IMG_1.jpg", key) == name


@pytest.mark.parametrize(
    "template", [DEFAULT_TEMPLATE, "{stem}-{shot}.{ext}", "{set}/{stem}.{shot}.{ext}", "{person}/{shot}/{name}"]
)
def test_no_two_crops_of_a_photo_share_a_name(template: str) -> None:
    people, sets = (
        ("main", "person1", "person2", "person12", "group"),
        ("default", "medium", "a", "a-b", "person2-medium"),
    )
    keys = [CropKey(shot, person, name) for shot in ShotType for person in people for name in sets]
    assert len({NameTemplate.parse(template).render("IMG_1.jpg", key, ".jpg") for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{name}.{ext}", "several crops the same name"),
        ("{shot}.{ext}", "several crops the same name"),
        ("../{name}.{shot}.{ext}", "leads out of the output folder"),
        ("/tmp/{name}.{shot}.{ext}", "leads out of the output folder"),
        ("a//{name}.{shot}.{ext}", "leads out of the output folder"),
        ("{name}/{shot}/..", "leads out of the output folder"),
        ("{name}.{shot}\\x.{ext}", "a backslash or control character"),
        ("{name}.{shot}\n.{ext}", "a backslash or control character"),
        ("{name}.{shot}.{year}", "{year} is unknown"),
        ("{name}.{shot.__class__}.{ext}", "is unknown"),
        ("{name!r}.{shot}.{ext}", "a format or conversion is unknown"),
        ("{name:>99999999}.{shot}.{ext}", "a format or conversion is unknown"),
        ("{name}.{shot}.{ext", "expected '}'"),
        ("{}.{shot}", "is unknown"),
    ],
)
def test_templates_that_cannot_work_are_refused(template: str, complaint: str) -> None:
    with pytest.raises(ShotcropError) as caught:
        NameTemplate.parse(template)
    assert complaint in caught.value.message


@pytest.mark.parametrize("photo", ["...jpg", "..jpg"])
def test_no_photo_name_leads_out_of_the_output(photo: str) -> None:
    template = NameTemplate.parse("{stem}/{shot}.{ext}")
    try:
        name = template.render(photo, ShotType.MEDIUM, ".jpg")
    except ShotcropError as error:
        assert "out of the output folder" in error.message
    else:
        assert is_inside(name)


@given(st.text("./ab", max_size=8))
def test_inside_means_below_the_folder(path: str) -> None:
    plain = posixpath.normpath(path) == path and path != "."
    assert is_inside(path) is (plain and not path.startswith("/") and path.split("/")[0] != "..")


def test_recorded_names_are_taken_as_they_are() -> None:
    names = RecordedNames(("a.jpg", "", "b/c.jpg"))
    assert names.of("x.jpg") == ("a.jpg", "", "b/c.jpg")


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1))
def test_default_names_are_those_of_the_template(photo: str) -> None:
    rendered = tuple(NameTemplate().render(photo, shot, ".jpg") for shot in ShotType)
    assert TemplateNames(NameTemplate(), ".jpg").of(photo) == rendered
