from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from shotcrop_cli.cli.param_types import AspectsType, PadType, ShotsType
from shotcrop_cli.framing import Aspect
from shotcrop_cli.shots import SHOT_TYPES

ESTABLISHING, MEDIUM, CLOSE_UP = SHOT_TYPES


@click.command()
@click.option("--shots", type=ShotsType())
@click.option("--aspect", type=AspectsType(), multiple=True)
@click.option("--pad", type=PadType(), default="0%")
@click.pass_context
def command(ctx: click.Context, /, **values: Any) -> None:
    ctx.find_root().obj.update(values)


def read(*arguments: str, **options: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    result = _run(arguments, values, options)
    assert result.exit_code == 0, result.output
    return values


def error(*arguments: str) -> str:
    result = _run(arguments, {}, {})
    assert result.exit_code == 2
    return result.output.splitlines()[-1]


def _run(arguments: tuple[str, ...], values: dict[str, Any], options: dict[str, Any]) -> Result:
    return CliRunner().invoke(command, arguments, obj=values, **options)


def test_without_options_there_is_no_framing() -> None:
    assert read() == {"shots": None, "aspect": (), "pad": 0.0}


@pytest.mark.parametrize("text", ["close_up,establishing", "establishing, close-up", "close_up,establishing,close_up"])
def test_shots_come_widest_first_and_once(text: str) -> None:
    assert read("--shots", text)["shots"] == (ESTABLISHING, CLOSE_UP)


@pytest.mark.parametrize("text", ["close_up=1:1,establishing=16:9", "establishing=32:18, close-up = 1:1"])
def test_ratios_are_of_the_shots_they_name(text: str) -> None:
    assert read("--aspect", text)["aspect"] == (((ESTABLISHING, Aspect(16, 9)), (CLOSE_UP, Aspect(1, 1))),)


def test_a_bare_ratio_is_for_all_shots_that_the_value_does_not_name() -> None:
    for text in ("4:5,medium=1:1", "medium=1:1,4:5"):
        (given,) = read("--aspect", text)["aspect"]
        assert dict(given) == {ESTABLISHING: Aspect(4, 5), MEDIUM: Aspect(1, 1), CLOSE_UP: Aspect(4, 5)}


def test_each_time_the_option_is_given_is_read_by_itself() -> None:
    given = read("--aspect", "medium=1:1", "--aspect", "close_up=4:5")["aspect"]
    assert given == (((MEDIUM, Aspect(1, 1)),), ((CLOSE_UP, Aspect(4, 5)),))


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), (".5", 0.5), ("12.5 %", 0.125), ("1", 1.0)])
def test_a_pad_is_a_share_or_a_percentage(text: str, share: float) -> None:
    assert read("--pad", text)["pad"] == share


def test_a_configuration_file_says_it_in_the_same_words() -> None:
    defaults = {"shots": "medium", "aspect": ["1:1", "close_up=4:5"], "pad": "10%"}
    values = read(default_map=defaults)
    assert values["shots"] == (MEDIUM,) and values["pad"] == 0.1
    assert dict(values["aspect"][0])[ESTABLISHING] == Aspect(1, 1) and values["aspect"][1] == (
        (CLOSE_UP, Aspect(4, 5)),
    )


@pytest.mark.parametrize("kind", [ShotsType(), AspectsType(), PadType()])
def test_what_was_read_is_not_read_again(kind: Any) -> None:
    value = kind.convert({"shots": "medium", "aspects": "medium=4:5", "share": "10%"}[kind.name], None, None)
    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("option", "text", "complaint"),
    [
        ("--shots", "closeup", "there is no shot 'closeup', did you mean 'close_up'?"),
        ("--shots", "panorama", "there is no shot 'panorama', use one of: establishing, medium, close_up"),
        ("--shots", "", "there is no shot ''"),
        ("--shots", "medium,", "there is no shot ''"),
        ("--aspect", "mediun=1:1", "there is no shot 'mediun', did you mean 'medium'?"),
        ("--aspect", "medium=3:2,4:5,medium=1:1", "'medium=3:2,4:5,medium=1:1' has two ratios for medium. Name one."),
        ("--aspect", "4:5,4:5", "'4:5,4:5' has two ratios for all shots. Name one."),
        ("--aspect", "=1:1", "there is no shot ''"),
        ("--aspect", "medium=16x9", "'16x9' is not a ratio such as 16:9"),
        ("--aspect", "medium", "'medium' is not a ratio such as 16:9"),
        ("--aspect", "medium=0:1", "both sides of a ratio must be above 0"),
        ("--pad", "much", "'much' is not a share such as 10% or 0.1"),
        ("--pad", "-10%", "'-10%' is not a share such as 10% or 0.1"),
        ("--pad", "nan", "'nan' is not a share such as 10% or 0.1"),
        ("--pad", "10", "'10' is more than 100%"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_fix(option: str, text: str, complaint: str) -> None:
    assert error(f"{option}={text}").startswith(f"Error: Invalid value for '{option}': {complaint}")
