"""The options that changed between two runs, in words."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from shotcrop_cli.crop_settings import CropSettings, RuleCaptions, XmpMode
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.ratio_sets import Fit, Ratio, RatioSet
from shotcrop_cli.settings_changes import how_to_repeat, settings_changes
from shotcrop_cli.shots import SHOT_TYPES, ShotType

SQUARE = Framing(aspects=((ShotType.CLOSE_UP, Aspect(1, 1)),))
WEB = RatioSet.of("web", dict.fromkeys(SHOT_TYPES, Ratio.parse("4:5")))
ONE = RatioSet.of("web", {ShotType.MEDIUM: Ratio.parse("1:1")})

CASES = (
    ({"language": "de"}, "language de to en", "add --language de"),
    ({"captions": RuleCaptions.STRICT}, "captions strict to rules", "add --captions strict"),
    ({"xmp": XmpMode.BOTH}, "xmp both to off", "add --xmp both"),
    ({"keywords": True}, "keywords on to off", "add --keywords"),
    ({"prefer_own_captions": True}, "prefer-own-captions on to off", "add --prefer-own-captions"),
    ({"framing": SQUARE}, "aspect close_up=1:1 to none", "add --aspect close_up=1:1"),
    ({"framing": Framing(pad=0.1)}, "pad 10% to 0%", "add --pad 10%"),
    ({"framing": Framing(min_size=800)}, "min-size 800 to none", "add --min-size 800"),
    ({"max_size": 500}, "max-size 500 to none", "add --max-size 500"),
    ({"format": CropFormat.PNG}, "format png to same", "add --format png"),
    ({"quality": 80}, "quality 80 to same", "add --quality 80"),
    ({"metadata": MetadataPolicy.NONE}, "metadata none to safe", "add --metadata none"),
    ({"to_srgb": True}, "to-srgb on to off", "add --to-srgb"),
    ({"lossless": True}, "lossless on to off", "add --lossless"),
)


@pytest.mark.parametrize(("values", "words", "fix"), CASES)
def test_each_option_is_named_and_can_be_given_again(values: dict[str, object], words: str, fix: str) -> None:
    other = CropSettings(**values)  # type: ignore[arg-type]
    changes = settings_changes(other, CropSettings())
    assert [str(change) for change in changes] == [words]
    assert how_to_repeat(changes) == fix
    option = words.split()[0]
    assert how_to_repeat(settings_changes(CropSettings(), other)) == f"leave out --{option}"


def test_every_setting_has_a_name() -> None:
    named = {name for values, _, _ in CASES for name in values}
    assert named == {field.name for field in fields(CropSettings)} - {"sets"}


def test_sets_of_one_name_are_compared() -> None:
    old, new = CropSettings(sets=(WEB,)), CropSettings(sets=(ONE,))
    assert [str(one) for one in settings_changes(old, new)] == ["set web=4:5 to web=medium=1:1"]
    assert how_to_repeat(settings_changes(new, old)) == "add --set web=medium=1:1"
    assert settings_changes(old, CropSettings()) == settings_changes(CropSettings(), old) == ()
    padded = CropSettings(sets=(replace(WEB, fit=Fit.PAD, upscale=True),))
    assert how_to_repeat(settings_changes(padded, old)) == "add --upscale --fit pad"
    assert how_to_repeat(settings_changes(old, padded)) == "leave out --upscale, --fit"
