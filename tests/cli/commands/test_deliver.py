"""Crops of several people and in ratio sets, from the command line to the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, fixed_composition, names_in, no_people, open_image, picture, write_photo
from named_faces import mwg
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer, Box, Composition, Grounding, Person, Shot, ShotType
from shotcrop_cli.sidecar import read

SIZE = (1200, 800)
HEADS = (Box(0.45, 0.3, 0.53, 0.45), Box(0.58, 0.32, 0.66, 0.46), Box(0.05, 0.3, 0.12, 0.42))


def composition(*heads: Box, probability: float = 0.9) -> Composition:
    """Return an answer with a person for each head; the first one is the main person, as `fixed_composition` has it."""
    fixed = fixed_composition()
    people = [Person(None, heads[0], None, probability, tuple(replace(shot, caption="") for shot in fixed.shots))]
    for head in heads[1:]:
        width, height = head.width, head.height
        boxes = (
            fixed.shots[0].box,
            Box(max(head.x0 - width, 0), head.y0 - height / 2, min(head.x1 + width, 1), head.y1 + 2 * height),
            Box(max(head.x0 - width / 2, 0), head.y0 - height / 4, min(head.x1 + width / 2, 1), head.y1 + height / 2),
        )
        shots = tuple(Shot(kind, box, score=0.7) for kind, box in zip(ShotType, boxes, strict=True))
        people.append(Person(None, head, None, 0.1, shots))
    return replace(fixed, people=tuple(people), grounding=Grounding(head=heads[0]))


@pytest.fixture(autouse=True)
def three_people(composer: FakeComposer) -> FakeComposer:
    composer.answer = lambda _image, _aspect: composition(*HEADS)
    return composer


@pytest.fixture
def photo(photos: Path) -> Path:
    return write_photo(photos / "a.jpg", picture(*SIZE))


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def crops_in(output: Path) -> list[str]:
    """Return the keys of the crops of a.jpg, sorted."""
    return sorted(name[6:-4] for name in names_in(output) if name.endswith(".jpg") and name.startswith("a.jpg."))


def size_of(output: Path, key: str) -> tuple[int, int]:
    return open_image(output / f"a.jpg.{key}.jpg").size


def edit(output: Path, key: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = output / "a.jpg.json"
    document = json.loads(path.read_bytes())
    crops = [*document["shots"], *document.get("more_crops", [])]
    for crop in crops:
        if (crop.get("person", "main"), crop.get("set", "default"), crop["shot"]) == tuple(key.split("/")):
            change(crop)
    path.write_text(json.dumps(document), "utf-8")


ORDINARY = ["close_up", "establishing", "medium"]


class TestPeople:
    def test_everybody_gets_crops_and_the_establishing_shot_is_made_once(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--subjects", "all")
        others = [f"person{number}-{shot}" for number in (2, 3) for shot in ("close_up", "medium")]
        assert crops_in(output) == [*ORDINARY, *others]
        record = read(output / "a.jpg.json")
        assert [str(crop.key) for crop in record.more_crops] == [
            "person2-medium", "person2-close_up", "person3-medium", "person3-close_up",
        ]  # fmt: skip
        assert {crop.score for crop in record.more_crops} == {0.7}

    @pytest.mark.parametrize(
        ("options", "crops"),
        [
            (["--subjects", "main"], ORDINARY),
            (["--subjects", "2"], [*ORDINARY, "person2-close_up", "person2-medium"]),
            (["--subject", "3"], ["establishing", "person3-close_up", "person3-medium"]),
            (["--subject", "left"], ["establishing", "person3-close_up", "person3-medium"]),
            (["--subject", "right"], ["establishing", "person2-close_up", "person2-medium"]),
            (["--subject", "center"], ORDINARY),
            (["--subject", "largest"], ORDINARY),
            (["--subject", "group"], ["establishing", "group-close_up", "group-medium"]),
            (["--subject", "7"], []),
            (["--subjects", "all", "--shots", "close_up"], ["close_up", "person2-close_up", "person3-close_up"]),
        ],
    )
    def test_subjects_are_chosen(self, photo: Path, output: Path, options: list[str], crops: list[str]) -> None:
        run("crop", photo, "-o", output, *options)
        assert crops_in(output) == crops

    def test_others_have_words_of_their_own(self, photo: Path, output: Path, composer: FakeComposer) -> None:
        one, own = CropFacts(Who.ONE, place="snow"), replace(CropFacts(Who.ONE), colour="red")

        def answered(_image: object, _aspect: float) -> Composition:
            answer = composition(*HEADS)
            people = (answer.people[0], replace(answer.people[1], facts=(one, own, replace(own, part=Part.FACE))))
            return replace(answer, facts=(one, replace(one, thing="dog"), one), people=(*people, *answer.people[2:]))

        def said() -> dict[str, tuple[str, str]]:
            return {str(crop.key): (crop.caption, crop.language) for crop in read(output / "a.jpg.json").more_crops}

        composer.answer = answered
        run("crop", photo, "-o", output, "--subjects", "all", "--xmp")
        assert said() == {
            "person2-medium": ("One of the people, in red", "en"),
            "person2-close_up": ("The face of one of the people, in red", "en"),
            "person3-medium": ("", ""),
            "person3-close_up": ("", ""),
        }
        assert "One of the people, in red" in (output / "a.jpg.person2-medium.jpg.xmp").read_text("utf-8")
        assert "dog" not in read(output / "a.jpg.json").more_crops[0].keywords
        edit(output, "person2/default/medium", lambda crop: crop.update(caption="Ana"))
        run("crop", photo, "-o", output, "--subjects", "all", "--xmp", "--language", "de")
        assert said()["person2-medium"] == ("Ana", "en")
        assert said()["person2-close_up"] == ("Das Gesicht einer der Personen, in Rot", "de")

    def test_words_of_others_come_from_the_sidecar(self, photo: Path, output: Path, composer: FakeComposer) -> None:
        facts = tuple(CropFacts(Who.ONE, part, "blue") for part in (None, None, Part.SHOULDERS))

        def answered(_image: object, _aspect: float) -> Composition:
            answer = composition(*HEADS)
            return replace(answer, people=tuple(replace(one, facts=facts) for one in answer.people))

        composer.answer = answered
        run("crop", photo, "-o", output)
        composer.answer = lambda _image, _aspect: no_people()
        run("crop", photo, "-o", output, "--subjects", "2", "--set", "feed=4:5")
        captions = {crop.caption for crop in read(output / "a.jpg.json").more_crops if crop.person == "person2"}
        assert captions == {
            "One of the people, in blue, in a closer view",
            "The head of one of the people, in blue",  # the crop is narrower
        }

    def test_the_group_holds_the_heads_of_those_who_belong_together(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--subject", "group")
        group = [crop for crop in read(output / "a.jpg.json").more_crops if crop.person == "group"]
        for crop in group:
            for head in HEADS[:2]:  # the third one stands far away
                assert crop.box_norm.x0 <= head.x0
                assert crop.box_norm.x1 >= head.x1
        assert group[1].box_norm.x0 > HEADS[2].x1

    def test_later_runs_crop_others_without_the_model(
        self, photo: Path, output: Path, three_people: FakeComposer
    ) -> None:
        run("crop", photo, "-o", output)
        before = (output / "a.jpg.medium.jpg").stat().st_mtime_ns
        run("crop", photo, "-o", output, "--subjects", "all")
        assert len(three_people.seen) == 1
        assert len(crops_in(output)) == 7
        assert (output / "a.jpg.medium.jpg").stat().st_mtime_ns == before
        assert "1 unchanged" in run("crop", photo, "-o", output, "--subjects", "all").output
        assert "1 unchanged" in run("crop", photo, "-o", output).output
        assert len(crops_in(output)) == 7

    def test_equal_crops_come_from_one_run_or_several(self, photo: Path, output: Path, tmp_path: Path) -> None:
        run("crop", photo, "-o", output, "--subjects", "all", "--set", "default", "--set", "story=9:16")
        for options in ([], ["--subjects", "all"], ["--set", "story=9:16"], ["--subjects", "all", "--set", "story"]):
            run(
                "crop",
                photo,
                "-o",
                tmp_path / "steps",
                *[o.replace("story", "story=9:16") if o == "story" else o for o in options],
            )
        assert crops_in(output) == crops_in(tmp_path / "steps")
        for name in names_in(output):
            if name.endswith(".jpg"):
                assert (output / name).read_bytes() == (tmp_path / "steps" / name).read_bytes(), name

    def test_a_sidecar_without_people_needs_the_model(
        self, photo: Path, output: Path, three_people: FakeComposer
    ) -> None:
        run("crop", photo, "-o", output)
        document = json.loads((output / "a.jpg.json").read_bytes())
        del document["people"]
        (output / "a.jpg.json").write_text(json.dumps(document), "utf-8")
        run("crop", photo, "-o", output, "--subjects", "all")
        assert (len(three_people.seen), len(crops_in(output))) == (2, 7)

    def test_photos_without_people_have_no_crops(self, photo: Path, output: Path, composer: FakeComposer) -> None:
        composer.answer = no_people
        run("crop", photo, "-o", output, "--subjects", "all", "--set", "story=9:16")
        result = run("crop", photo, "-o", output, "--subjects", "all", "--set", "story=9:16")
        assert crops_in(output) == []
        assert "1 unchanged" in result.output

    def test_contradictions_are_refused(self, photo: Path, output: Path) -> None:
        result = run("crop", photo, "-o", output, "--subjects", "2", "--subject", "left", code=ExitCode.USAGE)
        assert "--subjects and --subject contradict each other" in result.output
        assert (
            "To crop everybody, use --subjects all."
            in run("crop", photo, "-o", output, "--subject", "all", code=ExitCode.USAGE).output
        )


class TestSets:
    def test_a_set_has_the_ratio_and_the_exact_size(self, photo: Path, output: Path) -> None:
        run(
            "crop", photo, "-o", output, "--set", "story=9:16:90x160", "--set", "web=16/9", "--set", "sq=square:100x100"
        )
        assert crops_in(output) == [f"{shot}-{name}" for shot in ORDINARY for name in ("sq", "story", "web")]
        assert {size_of(output, f"{shot}-story") for shot in ORDINARY} == {(90, 160)}
        assert {size_of(output, f"{shot}-sq") for shot in ORDINARY} == {(100, 100)}
        for shot in ORDINARY:
            width, height = size_of(output, f"{shot}-web")
            assert width * 9 == height * 16

    def test_sets_add_up_over_runs(self, photo: Path, output: Path, three_people: FakeComposer) -> None:
        run("crop", photo, "-o", output)
        run("crop", photo, "-o", output, "--set", "story=9:16")
        run("crop", photo, "-o", output, "--set", "feed=4:5")
        assert len(crops_in(output)) == 9
        assert len(three_people.seen) == 1
        settings = json.loads((output / "a.jpg.json").read_bytes())["settings"]
        assert list(settings["sets"]) == ["story", "feed"]
        # A run that names none of them keeps them up to date.
        result = run("crop", photo, "-o", output, "--quality", "50")
        assert "9 crops" in result.output
        assert {size_of(output, f"{shot}-story") for shot in ORDINARY} != {size_of(output, shot) for shot in ORDINARY}

    def test_a_set_may_have_some_shots_only(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--set", "web=establishing=16:9,close-up=1:1:50x50")
        assert crops_in(output) == ["close_up-web", "establishing-web"]
        assert size_of(output, "close_up-web") == (50, 50)

    def test_another_ratio_under_the_same_name_needs_replace(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--set", "story=9:16")
        before = size_of(output, "medium-story")
        result = run("crop", photo, "-o", output, "--set", "story=4:5", code=ExitCode.SOME_FAILED)
        assert "finished crops would be replaced by crops of another shape or size" in result.output
        assert size_of(output, "medium-story") == before
        run("crop", photo, "-o", output, "--set", "story=4:5", "--replace")
        assert size_of(output, "medium-story") != before

    def test_presets_and_names_of_their_sets(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--preset", "youtube", "--set", "instagram-feed", "--shots", "medium")
        assert crops_in(output) == ["medium-instagram-feed", "medium-youtube-shorts", "medium-youtube-thumbnail"]

    def test_sets_of_the_configuration(self, photo: Path, output: Path, tmp_path: Path) -> None:
        config = tmp_path / "team.toml"
        config.write_text(
            '[sets]\nstory = "9:16:90x160"\nunused = "1:1"\n[crop]\nset = ["story", "default"]\nsubjects = "all"\n',
            "utf-8",
        )
        run("--config", config, "crop", photo, "-o", output, "--shots", "medium")
        people = ("", "person2-", "person3-")
        assert crops_in(output) == sorted(f"{person}medium{name}" for person in people for name in ("-story", ""))
        config.write_text("[sets]\nstory = 5\n", "utf-8")
        result = run("--config", config, "crop", photo, "-o", output, code=ExitCode.USAGE)
        assert "[sets] story: must be a text, not 5" in result.output

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (["--set", "storry"], "there is no set 'storry'"),
            (["--set", "1:1"], "a ratio without a name. Fix: give the set a name, as in --set web=1:1"),
            (["--set", "10x15"], "as in --set web=10x15"),
            (["--set", "instagram-stroy"], "did you mean 'instagram-story'?"),
            (["--set", "story=9to16"], "'9to16' is no ratio"),
            (["--set", "Story=9:16"], "is no name for a set"),
            (["--set", "a=1:1", "--set", "a=2:1"], "there are two sets 'a'"),
            (["--set", "a=wide=1:1"], "there is no shot 'wide'"),
            (["--set", "a=medium=1:1,2:1"], "two ratios for medium"),
            (["--set", "default=1:1"], "set its ratio with --aspect"),
            (["--fit", "pad", "--background", "bluish"], "neither blur nor a colour"),
        ],
    )
    def test_sets_that_cannot_be_read_are_refused(
        self, photo: Path, output: Path, options: list[str], complaint: str
    ) -> None:
        assert complaint in run("crop", photo, "-o", output, *options, code=ExitCode.USAGE).output

    def test_nothing_is_enlarged_unless_asked(self, photo: Path, output: Path, tmp_path: Path) -> None:
        result = run("crop", photo, "-o", output, "--set", "big=1:1:2000x2000")
        assert "3 crops smaller than their set" in result.output
        assert f"small: {photo}: establishing-big has" in result.output
        assert all(size_of(output, f"{shot}-big") < (2000, 2000) for shot in ORDINARY)
        run("crop", photo, "-o", tmp_path / "up", "--set", "big=1:1:2000x2000", "--upscale")
        assert {size_of(tmp_path / "up", f"{shot}-big") for shot in ORDINARY} == {(2000, 2000)}


class TestHeads:
    @pytest.fixture
    def wide_head(self, composer: FakeComposer) -> Box:
        """Let the main person have a head that no tall crop can hold."""
        head = Box(0.3, 0.2, 0.75, 0.8)
        composer.answer = lambda _image, _aspect: replace(
            composition(head),
            shots=tuple(Shot(kind, Box(0.1, 0.1, 0.9, 0.9), "big", 0.9) for kind in ShotType),
        )
        return head

    def test_a_crop_that_would_cut_the_head_is_left_out(self, photo: Path, output: Path, wide_head: Box) -> None:
        result = run("crop", photo, "-o", output, "--set", "story=9:16", "--set", "web=16:9")
        assert crops_in(output) == [f"{shot}-web" for shot in ORDINARY]
        assert "3 crops left out because heads would be cut" in result.output
        assert f"left out: {photo}: establishing-story: 9:16 cannot hold the head" in result.output
        crop = next(crop for crop in read(output / "a.jpg.json").more_crops if crop.set_name == "story")
        assert (crop.file, crop.left_out) == (None, "9:16 cannot hold the head")
        again = run("crop", photo, "-o", output, "--set", "story=9:16", "--set", "web=16:9")
        assert "1 unchanged" in again.output

    @pytest.mark.parametrize(("background", "corner"), [("#ff0000", (254, 0, 0)), ("blur", None)])
    def test_or_it_is_padded(
        self, photo: Path, output: Path, wide_head: Box, background: str, corner: tuple[int, int, int] | None
    ) -> None:
        run("crop", photo, "-o", output, "--set", "story=9:16")
        run("crop", photo, "-o", output, "--set", "story=9:16:90x160", "--fit", "pad", "--background", background)
        assert crops_in(output) == [f"{shot}-story" for shot in ORDINARY]
        assert size_of(output, "medium-story") == (90, 160)
        crop = next(crop for crop in read(output / "a.jpg.json").more_crops if crop.shot is ShotType.MEDIUM)
        assert (crop.padded, crop.left_out) == (True, "")
        assert crop.box_norm.x0 <= wide_head.x0
        assert crop.box_norm.x1 >= wide_head.x1
        pixel = open_image(output / "a.jpg.medium-story.jpg").convert("RGB").getpixel((2, 2))
        assert corner is None or max(abs(a - b) for a, b in zip(pixel, corner, strict=True)) < 6


class TestHandWork:
    def test_edited_boxes_rejected_shots_and_retouched_crops_stay(
        self, photo: Path, output: Path, three_people: FakeComposer
    ) -> None:
        options = ("--subjects", "all", "--set", "default", "--set", "story=9:16")
        run("crop", photo, "-o", output, *options)
        edit(output, "person2/story/medium", lambda crop: crop["box"].update(x=10, y=10, width=90, height=160))
        (output / "a.jpg.person3-medium.jpg").unlink()
        retouched = output / "a.jpg.person2-close_up.jpg"
        open_image(retouched).convert("L").save(retouched)
        content = retouched.read_bytes()

        run("apply", output)
        assert size_of(output, "person2-medium-story") == (90, 160)
        three_people.sha256 = "cd" * 32
        for more in (("--quality", "40"), ("--overwrite",), ("--set", "feed=4:5")):
            run("crop", photo, "-o", output, *options, *more)
            assert size_of(output, "person2-medium-story") == (90, 160)
            assert not (output / "a.jpg.person3-medium.jpg").exists()
            assert retouched.read_bytes() == content
        assert len(three_people.seen) == 1
        run("crop", photo, "-o", output, *options, "--restore-rejected")
        assert (output / "a.jpg.person3-medium.jpg").exists()

    def test_a_new_model_may_find_fewer_people(self, photo: Path, output: Path, three_people: FakeComposer) -> None:
        run("crop", photo, "-o", output, "--subjects", "all", "--xmp")
        retouched = output / "a.jpg.person3-medium.jpg"
        open_image(retouched).convert("L").save(retouched)
        three_people.sha256 = "cd" * 32
        three_people.answer = lambda _image, _aspect: composition(*HEADS[:1])
        result = run("crop", photo, "-o", output, "--subjects", "all", "--xmp")
        assert crops_in(output) == [*ORDINARY, "person3-medium"]
        assert f"kept: {retouched}" in result.output
        assert not list(output.glob("*person2*"))
        assert [str(crop.key) for crop in read(output / "a.jpg.json").more_crops] == ["person3-medium"]
        assert "1 unchanged" in run("crop", photo, "-o", output, "--subjects", "all", "--xmp").output

    def test_renamed_photos_keep_all_their_crops(self, photo: Path, photos: Path, output: Path) -> None:
        run("crop", photos, "-o", output, "--subjects", "2", "--set", "default", "--set", "story=9:16", "--xmp")
        number = len(names_in(output))
        photo.rename(photos / "b.jpg")
        result = run("crop", photos, "-o", output, "--xmp")
        assert "1 renamed photo recognised" in result.output
        assert len(names_in(output)) == number
        assert (output / "b.jpg.person2-medium-story.jpg.xmp").exists()
        assert not list(output.glob("a.jpg*"))

    def test_prune_deletes_all_crops(self, photo: Path, photos: Path, output: Path) -> None:
        write_photo(photos / "other.jpg")
        run("crop", photos, "-o", output, "--subjects", "all", "--set", "story=9:16", "--xmp")
        photo.unlink()
        run("prune", output, "--delete")
        assert not list(output.glob("a.jpg*"))

    def test_an_interrupted_run_is_continued(self, photo: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run("crop", photo, "-o", output, "--subjects", "all", "--set", "story=9:16")
        before = {name: (output / name).read_bytes() for name in names_in(output) if name.endswith(".jpg")}
        edit_all = json.loads((output / "a.jpg.json").read_bytes())
        crop = edit_all["more_crops"][0]
        crop.update(file=None, size=None, replaced={"file": crop["file"], "sha256": crop["written"]["sha256"]})
        (output / "a.jpg.json").write_text(json.dumps(edit_all), "utf-8")
        run("crop", photo, "-o", output, "--subjects", "all", "--set", "story=9:16")
        assert {name: (output / name).read_bytes() for name in before} == before


class TestPeopleByName:
    @pytest.fixture
    def named(self, photo: Path) -> Path:
        """Return a photo in which a photo program named the third person and the main person."""
        photo.with_name("a.jpg.xmp").write_bytes(mwg(("Anna Ek", HEADS[2]), ("Ben", HEADS[0])))
        return photo

    def test_a_person_is_cropped_by_name(self, named: Path, output: Path, three_people: FakeComposer) -> None:
        run("crop", named, "-o", output, "--person", "anna  EK")
        assert crops_in(output) == ["establishing", "person3-close_up", "person3-medium"]
        assert "1 unchanged" in run("crop", named, "-o", output, "--person", "anna  EK").output
        run("crop", named, "-o", output, "--person", "Anna Ek", "--person", "Ben")
        assert crops_in(output) == [*ORDINARY, "person3-close_up", "person3-medium"]
        assert len(three_people.seen) == 1

    def test_regions_in_the_photo_itself_count(self, photos: Path, output: Path) -> None:
        photo = write_photo(photos / "a.jpg", picture(*SIZE), xmp=mwg(("Anna Ek", HEADS[1])))
        run("crop", photo, "-o", output, "--person", "Anna Ek", "--shots", "medium")
        assert crops_in(output) == ["person2-medium"]

    def test_the_sidecar_names_only_those_who_are_asked_for(self, named: Path, output: Path) -> None:
        def names() -> list[str | None]:
            return [person.name for person in read(output / "a.jpg.json").people]

        run("crop", named, "-o", output, "--subjects", "all")
        assert names() == [None, None, None]
        run("crop", named, "-o", output, "--person", "Anna Ek")
        assert names() == [None, None, "Anna Ek"]
        run("crop", named, "-o", output)
        assert names() == [None, None, "Anna Ek"]
        run("crop", named, "-o", output, "--metadata", "none")
        assert names() == [None, None, None]
        run("crop", named, "-o", output, "--person", "Anna Ek", "--metadata", "none")
        assert names() == [None, None, None]

    def test_the_manifest_has_the_name(self, named: Path, output: Path, tmp_path: Path) -> None:
        manifest = tmp_path / "crops.jsonl"
        run("crop", named, "-o", output, "--person", "Anna Ek", "--person", "Ben", "--manifest", manifest)
        rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
        assert {(row["person"], row["person_name"]) for row in rows} == {("main", "Ben"), ("person3", "Anna Ek")}

    def test_a_name_that_no_photo_has_is_said(self, named: Path, photos: Path, output: Path) -> None:
        write_photo(photos / "b.jpg", picture(*SIZE))
        for _ in range(2):  # the second run finds nothing to do
            result = run("crop", photos, "-o", output, "--person", "Anne")
            assert "no photo names 'Anne' in a face region; there are Anna Ek (1 photo), Ben (1 photo)" in result.output
            assert "2 photos do not show whom you asked for" in result.output
        assert crops_in(output) == []
        result = run("crop", photos, "-o", output, "--person", "Ben")
        assert "no photo names" not in result.output
        assert "1 photo does not show whom you asked for" in result.output

    def test_a_number_that_no_photo_has_is_said(self, photo: Path, output: Path) -> None:
        for _ in range(2):
            assert "1 photo does not show whom" in run("crop", photo, "-o", output, "--subject", "7").output


class TestNames:
    def test_people_and_sets_may_be_folders(self, photo: Path, output: Path) -> None:
        template = "{set}/{person}/{stem}-{shot}.{ext}"
        options = ("--subjects", "2", "--set", "story=9:16", "--shots", "medium", "--name-template", template)
        run("crop", photo, "-o", output, *options)
        assert (output / "story/main/a-medium.jpg").exists()
        assert (output / "story/person2/a-medium.jpg").exists()
        assert "1 unchanged" in run("crop", photo, "-o", output, *options).output

    def test_crops_of_two_photos_never_share_a_name(self, photo: Path, photos: Path, output: Path) -> None:
        write_photo(photos / "a-person2.jpg")
        template = "{stem}-{shot}.{ext}"
        run("crop", photos, "-o", output, "--name-template", template)
        result = run(
            "crop", photos, "-o", output, "--name-template", template, "--subjects", "all", code=ExitCode.SOME_FAILED
        )
        assert "it would write the same files" in result.output

    @pytest.mark.parametrize("metadata", ["safe", "none"])
    def test_crops_are_not_cropped_again(self, photo: Path, output: Path, tmp_path: Path, metadata: str) -> None:
        run("crop", photo, "-o", output, "--subjects", "2", "--set", "story=9:16", "--metadata", metadata)
        copies = tmp_path / "copies"
        copies.mkdir()
        for name in names_in(output):
            if not name.startswith("."):
                (copies / name).write_bytes((output / name).read_bytes())
        result = run("crop", copies, "-o", tmp_path / "again")
        assert "5 photos are crops or sheets by shotcrop and skipped" in result.output
        assert "0 done" in result.output

    def test_a_dry_run_names_the_crops(self, photo: Path, output: Path) -> None:
        result = run("crop", photo, "-o", output, "--set", "story=9:16", "-n")
        assert "a.jpg.{establishing,medium,close_up}-story.jpg (new)" in result.output
        run("crop", photo, "-o", output)
        result = run("crop", photo, "-o", output, "--subjects", "2", "-n")
        assert "a.jpg.person2-{medium,close_up}.jpg (person2-medium is asked for)" in result.output


class TestResults:
    def test_manifests_and_json_lines_have_every_crop(self, photo: Path, output: Path, tmp_path: Path) -> None:
        manifest = tmp_path / "crops.jsonl"
        options = ("--subjects", "2", "--set", "default", "--set", "story=9:16", "--shots", "medium")
        result = run("crop", photo, "-o", output, *options, "--json", "--manifest", manifest)
        rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
        made = [(row["person"], row["set"], row["shot"], row["file"]) for row in rows if row["file"]]
        assert made == [
            ("main", "default", "medium", "a.jpg.medium.jpg"),
            ("main", "story", "medium", "a.jpg.medium-story.jpg"),
            ("person2", "default", "medium", "a.jpg.person2-medium.jpg"),
            ("person2", "story", "medium", "a.jpg.person2-medium-story.jpg"),
        ]
        line = json.loads(result.stdout)
        listed = [(shot["person"], shot["set"], shot["shot"]) for shot in line["shots"] if shot["file"]]
        assert listed == [key[:3] for key in made]
        assert len(line["crops"]) == 4

    def test_boxes_alone(self, photo: Path, output: Path, three_people: FakeComposer) -> None:
        run("crop", photo, "-o", output, "--no-images", "--subjects", "2", "--set", "story=9:16:90x160")
        assert crops_in(output) == []
        record = read(output / "a.jpg.json")
        assert [str(crop.key) for crop in record.more_crops] == [
            "establishing-story", "medium-story", "close_up-story", "person2-medium-story", "person2-close_up-story",
        ]  # fmt: skip
        run("crop", photo, "-o", output, "--subjects", "2", "--set", "story=9:16:90x160")
        assert (len(crops_in(output)), len(three_people.seen)) == (5, 1)

    def test_sets_take_the_caption_of_their_shot(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--set", "default", "--set", "web=16:9")
        edit(output, "main/default/medium", lambda crop: crop.update(caption="Ana at the harbour", edited=True))
        edit(output, "main/web/close_up", lambda crop: crop.update(caption="Ana"))
        run("crop", photo, "-o", output, "--set", "story=9:16", "--quality", "50")
        captions = {str(crop.key): crop.caption for crop in read(output / "a.jpg.json").all_crops}
        assert captions["medium"] == captions["medium-web"] == captions["medium-story"] == "Ana at the harbour"
        assert captions["close_up-web"] == "Ana"
        assert captions["close_up-story"] == captions["close_up"] != "Ana"
        assert "1 unchanged" in run("crop", photo, "-o", output, "--quality", "50").output

    def test_xmp_files_have_the_caption(self, photo: Path, output: Path) -> None:
        run("crop", photo, "-o", output, "--set", "story=9:16", "--xmp")
        assert "the medium shot" in (output / "a.jpg.medium-story.jpg.xmp").read_text("utf-8")


def test_several_main_people_stay_whole_in_every_ratio(photo: Path, output: Path, composer: FakeComposer) -> None:
    def both(_image: object, _aspect: float) -> Answer:
        answer = composition(*HEADS[:2], probability=0.6)
        people = tuple(replace(person, probability=0.6) for person in answer.people)
        shots = tuple(Shot(kind, Box(0.3, 0.2, 0.8, 0.7), "both", 0.9) for kind in ShotType)
        return replace(answer, people=people, shots=shots)

    composer.answer = both
    run("crop", photo, "-o", output, "--set", "story=9:16", "--set", "web=16:9", "--set", "feed=4:5")
    for crop in read(output / "a.jpg.json").more_crops:
        for head in HEADS[:2]:
            assert crop.box_norm.x0 <= head.x0, crop.key
            assert crop.box_norm.x1 >= head.x1, crop.key
            assert crop.box_norm.y0 <= head.y0, crop.key
            assert crop.box_norm.y1 >= head.y1, crop.key


class TestSheets:
    @pytest.fixture
    def shots(self, photo: Path, output: Path) -> Path:
        run("crop", photo, "-o", output, "--subjects", "2", "--set", "story=9:16", "--set", "web=16:9")
        return output

    @pytest.mark.parametrize(
        ("person", "set_name", "files"),
        [
            ("main", "", ["establishing-story", "medium-story", "close_up-story"]),  # there are no ordinary crops
            ("main", "web", ["establishing-web", "medium-web", "close_up-web"]),
            ("person2", "web", ["establishing-web", "person2-medium-web", "person2-close_up-web"]),
            ("person3", "web", ["establishing-web", None, None]),
            ("main", "feed", [None, None, None]),
        ],
    )
    def test_a_view_has_the_crops_of_a_person_and_a_set(
        self, shots: Path, person: str, set_name: str, files: list[str | None]
    ) -> None:
        viewed = read(shots / "a.jpg.json").viewed(person, set_name)
        assert [shot.file for shot in viewed.shots] == [name and f"a.jpg.{name}.jpg" for name in files]
        assert viewed.main_person.head == (
            HEADS[1] if person == "person2" else HEADS[2] if person == "person3" else HEADS[0]
        )

    def test_sheets_show_a_set(self, shots: Path, tmp_path: Path) -> None:
        sizes = {}
        for options in ((), ("--set", "story"), ("--set", "web"), ("--set", "web", "--subject", "2")):
            page = tmp_path / "sheet.png"
            run("sheet", shots, "-o", page, *options)
            sizes[options] = page.read_bytes()
        assert sizes[()] == sizes["--set", "story"]
        assert len(set(sizes.values())) == 3
        run("sheet", shots, "-o", tmp_path / "story.png", "--layout", "story", "--set", "web")
        assert (
            "no photo has crops of the set 'feed'"
            in run("sheet", shots, "-o", page, "--layout", "story", "--set", "feed", code=ExitCode.USAGE).output
        )

    def test_ordinary_crops_come_first(self, shots: Path, photo: Path) -> None:
        run("crop", photo, "-o", shots)
        viewed = read(shots / "a.jpg.json").viewed()
        assert [shot.file for shot in viewed.shots] == [f"a.jpg.{shot}.jpg" for shot in ShotType]
