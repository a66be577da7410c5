from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli import main
from shotcrop_cli.cli import config
from shotcrop_cli.cli.options import json_option, model_options, verbosity_options
from shotcrop_cli.cli.param_types import PlacePath
from shotcrop_cli.errors import ExitCode, ShotcropError


def _seconds(value: str) -> float:
    return float("inf") if value == "forever" else float(value)


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Put a command with an option of each kind in place of `crop`, and `train sft` next to it; return their values."""
    values_of_options: dict[str, Any] = {}

    @click.command()
    @click.argument("paths", nargs=-1, type=PlacePath(path_type=Path))
    @click.option("-o", "--output", type=PlacePath(path_type=Path))
    @click.option("--files-from", type=click.Path(allow_dash=True))
    @click.option("--recursive/--no-recursive", default=True)
    @click.option("--exclude", multiple=True)
    @click.option("--quality", type=click.IntRange(1, 100), default=95)
    @click.option("--ratio", type=float)
    @click.option("--wait", type=_seconds, default="0")
    @click.option("--format", type=click.Choice(["same", "jpeg"]), default="same")
    @model_options
    @json_option
    @verbosity_options
    def crop(**values: Any) -> None:
        values_of_options.update(values)

    @click.group()
    def train() -> None:
        pass

    @train.command()
    @click.option("--config", "recipe")
    @click.option("--from", "start")
    def sft(**values: Any) -> None:
        values_of_options.update(values)

    commands: dict[str, click.Command] = {"crop": crop, "train": train}
    for name, command in commands.items():
        config.make_configurable(command, config.variable("SHOTCROP", name))
    monkeypatch.setattr(main, "_load", commands.__getitem__)
    for name in [name for name in os.environ if name.startswith("SHOTCROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config, "user_file", lambda: tmp_path / "user" / "config.toml")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return values_of_options


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "here/shotcrop.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(main.cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def _error(*arguments: object) -> str:
    (line,) = _run(*arguments, code=ExitCode.USAGE).stderr.splitlines()
    return line


def test_each_source_wins_over_those_below_it(
    got: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quality(*arguments: object) -> int:
        _run(*arguments)
        return int(got["quality"])

    assert quality("crop") == 95
    write("[crop]\nquality = 10", "user/config.toml")
    assert quality("crop") == 10
    write("[crop]\nquality = 20")
    assert quality("crop") == 20
    named = write("[crop]\nquality = 30", "named.toml")
    assert quality("--config", named, "crop") == 30
    monkeypatch.setenv("SHOTCROP_CROP_QUALITY", "40")
    assert quality("--config", named, "crop") == 40
    assert quality("--config", named, "crop", "--quality", "50") == 50


def test_files_complete_one_another(got: dict[str, Any], write: Write) -> None:
    write("[crop]\nquality = 10\nexclude = ['a']", "user/config.toml")
    write("[crop]\nexclude = ['b']")
    _run("crop")
    assert (got["quality"], got["exclude"]) == (10, ("b",))


def test_the_file_may_be_named_after_the_command_and_in_the_environment(
    got: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = write("[crop]\nquality = 1", "before.toml"), write("[crop]\nquality = 2", "after.toml")
    _run("--config", before, "crop", "--config", after)
    assert got["quality"] == 2
    monkeypatch.setenv("SHOTCROP_CONFIG", str(before))
    _run("crop")
    assert got["quality"] == 1
    _run("--config", after, "crop")
    assert got["quality"] == 2


def test_nested_commands_have_nested_tables(got: dict[str, Any], write: Write) -> None:
    write('[train.sft]\nconfig = "nano"\nfrom = "a"')
    _run("train", "sft")
    assert got == {"recipe": "nano", "start": "a"}
    named = write('[train.sft]\nfrom = "b"', "named.toml")
    _run("train", "sft", "--config", "mine", "--config-file", named)
    assert got == {"recipe": "mine", "start": "b"}


def test_a_value_of_each_kind_arrives(got: dict[str, Any], write: Write) -> None:
    write("""
        [crop]
        paths = ["a", "b"]
        recursive = false
        exclude = ["*.png", "x"]
        ratio = 2
        wait = 3
        format = "jpeg"
        providers = "cuda,cpu"
        json = true
        verbose = true
    """)
    _run("crop")
    expected = {
        "paths": (Path("a"), Path("b")),
        "recursive": False,
        "exclude": ("*.png", "x"),
        "ratio": 2.0,
        "wait": 3.0,
        "format": "jpeg",
        "providers": ("cuda", "cpu"),
        "as_json": True,
        "verbose": True,
    }
    assert {name: got[name] for name in expected} == expected


def test_arguments_win_over_those_of_a_file(got: dict[str, Any], write: Write) -> None:
    write('[crop]\npaths = ["a"]')
    _run("crop", "b")
    assert got["paths"] == (Path("b"),)


def test_paths_start_from_the_folder_of_their_file(
    got: dict[str, Any], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    write('[crop]\npaths = ["~/photos", "/mnt/b", "c"]\noutput = "shots"\nmodel = "./m"', "user/config.toml")
    _run("crop")
    folder = tmp_path / "user"
    assert got["paths"] == (Path("/home/ana/photos"), Path("/mnt/b"), folder / "c")
    assert (got["output"], got["model"]) == (folder / "shots", str(folder / "m"))


def test_names_and_dashes_are_no_paths(got: dict[str, Any], write: Write) -> None:
    write('[crop]\nfiles-from = "-"\nmodel = "org/repo"', "user/config.toml")
    _run("crop")
    assert (got["files_from"], got["model"]) == ("-", "org/repo")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[crpo]", "there is no table 'crpo'; did you mean 'crop'?"),
        ("quality = 1", "'quality' is outside of a table. Fix: put it below [crop]"),
        ("paths = ['a']", "'paths' is outside of a table. Fix: put it below [crop]"),
        ("epochs = 1", "'epochs' is outside of a table. Fix: put it below the table of its command, as [crop]"),
        ("[train]\nfrom = 'stf'", "[train] 'from' is outside of a table. Fix: put it below [train.sft]"),
        ("[quality]", "there is no table 'quality'. Fix: use one of: apply, "),
        ("[crop]\nqualty = 1", "[crop] there is no key 'qualty'; did you mean 'quality'?"),
        ("[crop]\nfiles_from = 'a'", "[crop] there is no key 'files_from'; did you mean 'files-from'?"),
        ("[crop]\nno-recursive = true", "[crop] there is no key 'no-recursive'; did you mean 'recursive'?"),
        ("[crop]\nas_json = true", "[crop] there is no key 'as_json'; did you mean 'json'?"),
        ("[crop]\nconfig = 'a'", "[crop] there is no key 'config'"),
        ("[train.stf]", "[train] there is no table 'stf'; did you mean 'sft'?"),
        ("crop = 1", "'crop' is not a table. Fix: write [crop]"),
        ("[crop]\nquality = 'high'", "[crop] quality: must be a whole number, not 'high'"),
        ("[crop]\nquality = 9.5", "[crop] quality: must be a whole number, not 9.5"),
        ("[crop]\nquality = true", "[crop] quality: must be a whole number, not true"),
        ("[crop]\nquality = [1]", "[crop] quality: must be a whole number, not a list"),
        ("[crop]\nquality = 300", "[crop] quality: 300 is not in the range 1<=x<=100"),
        ("[crop]\nratio = '2'", "[crop] ratio: must be a number, not '2'"),
        ("[crop]\njson = 'yes'", "[crop] json: must be true or false, not 'yes'"),
        ("[crop]\noutput = 1", "[crop] output: must be a text, not 1"),
        ("[crop]\nexclude = 1", "[crop] exclude: must be a text, not 1"),
        ("[crop]\nexclude = [1]", "[crop] exclude: must be a text, not 1"),
        ("[crop]\nwait = 2020-01-01", "[crop] wait: must be a text or a number, not 2020-01-01"),
        ("[crop]\nformat = 'gif'", "[crop] format: 'gif' is not one of 'same', 'jpeg'"),
        ("[crop]\nproviders = 'a,'", "[crop] providers: 'a,' is not NAME or NAME,NAME"),
        ("[crop]\nquality 1", "the configuration is not TOML: "),
        pytest.param(f"[crop]\nexclude = {'[' * 5000}", "the configuration is not TOML: ", id="nested too deep"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(
    got: dict[str, Any], write: Write, text: str, why: str
) -> None:
    named = write(text, "named.toml")
    line = _error("--config", named, *(["train", "sft"] if "stf" in text else ["crop"]))
    assert line.startswith(f"error: {named}: ")
    assert why in line
    assert got == {}


def test_broken_toml_is_named_with_its_line_and_a_fix(got: dict[str, Any], write: Write) -> None:
    write("[crop]\noutput = ~/shots")
    line = _error("crop")
    assert line.startswith("error: shotcrop.toml: the configuration is not TOML: ")
    assert "line 2" in line and 'texts need quotes, as in output = "~/shots"' in line


def test_a_named_file_that_does_not_exist_is_an_error(got: dict[str, Any], tmp_path: Path) -> None:
    assert f"{tmp_path / 'none.toml'}: cannot read the configuration: No such file" in _error(
        "--config", tmp_path / "none.toml", "crop"
    )


@pytest.mark.parametrize("name", ["user/config.toml", "here/shotcrop.toml"])
def test_a_file_that_nobody_named_and_cannot_be_read_is_left_out(
    got: dict[str, Any], tmp_path: Path, write: Write, name: str
) -> None:
    write("[crop]\nquality = 30", "user/config.toml" if name.startswith("here") else "here/shotcrop.toml")
    (tmp_path / name).mkdir(parents=True)
    notes: list[str] = []
    (file,) = config.find_files(None, notes)
    assert file.tables == {"crop": {"quality": 30}}
    (note,) = notes
    assert note.endswith(f"{Path(name).name}: cannot read the configuration: Is a directory; shotcrop runs without it")
    assert _run("crop").stderr == ""
    assert got["quality"] == 30
    assert "cannot read the configuration: Is a directory" in _error("--config", tmp_path / name, "crop")


@pytest.mark.parametrize("url", ["https://example.org/a", "HTTP:/bucket", "sftp://h/x"])
def test_a_path_on_another_machine_is_refused_wherever_it_is_given(
    got: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    scheme = url.partition(":")[0]
    for arguments in (["crop", "-o", url], ["crop", "a.jpg", url]):
        line = _error(*arguments)
        assert f"{scheme}:// is not supported yet. Fix: " in line
        assert line.count("Fix:") == 1
    monkeypatch.setenv("SHOTCROP_CROP_OUTPUT", url)
    assert f"{scheme}:// is not supported yet" in _error("crop")
    monkeypatch.delenv("SHOTCROP_CROP_OUTPUT")
    write(f"[crop]\noutput = '{url}'")
    assert f"shotcrop.toml: [crop] output: {scheme}://" in _error("crop")


def test_a_url_of_an_object_store_is_taken_where_it_can_be_used(
    got: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run("crop", "s3://bucket//x/", "file:///srv/photos", "-o", "GS://b/y")
    assert (list(map(str, got["paths"])), str(got["output"])) == (["s3://bucket/x", "/srv/photos"], "gs://b/y")
    write("[crop]\noutput = 's3://bucket/x'")
    _run("crop")
    assert str(got["output"]) == "s3://bucket/x"
    assert "s3:// is not supported yet" in _error("crop", "--files-from", "s3://bucket/x")


def test_a_name_with_a_colon_is_a_local_path(got: dict[str, Any]) -> None:
    _run("crop", "IMG_1:2.jpg", "a:b/c.jpg", "/mnt/s3://x", "-o", "C:/x")
    assert got["paths"] == (Path("IMG_1:2.jpg"), Path("a:b/c.jpg"), Path("/mnt/s3:/x"))


def test_a_file_that_is_no_utf8_is_an_error(got: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "here" / "shotcrop.toml").write_bytes(b'[crop]\noutput = "caf\xe9"')
    assert _error("crop") == "error: shotcrop.toml: the configuration is not UTF-8. Fix: save it as UTF-8"


def test_only_the_table_of_the_command_is_read(got: dict[str, Any], write: Write) -> None:
    write("[crop]\nqualty = 1\n[train.sft]\nfrom = 'a'")
    _run("train", "sft")
    assert got["start"] == "a"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["crop", "--help"], ["train", "sft", "-h"]])
def test_help_needs_no_file_to_be_right(got: dict[str, Any], write: Write, arguments: list[str]) -> None:
    write("[[[")
    _run(*arguments)


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("SHOTCROP_CROP_QUALITY", "1", "quality", 1),
        ("SHOTCROP_CROP_JSON", "1", "as_json", True),
        ("SHOTCROP_CROP_RECURSIVE", "no", "recursive", False),
        ("SHOTCROP_CROP_EXCLUDE", "a b", "exclude", ("a", "b")),
        ("SHOTCROP_CROP_PATHS", "a:b", "paths", (Path("a"), Path("b"))),
    ],
)
def test_every_option_and_argument_has_its_variable(
    got: dict[str, Any], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert _run("crop").stderr == ""
    assert got[name] == expected


def test_a_variable_without_effect_is_warned_of(got: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTCROP_CROP_QUALTY", "1")
    monkeypatch.setenv("SHOTCROP_CROP_AS_JSON", "1")
    monkeypatch.setenv("SHOTCROP_SHEET_NONE", "1")
    assert _run("crop").stderr.splitlines() == [
        "warning: environment variable SHOTCROP_CROP_AS_JSON has no effect; did you mean 'SHOTCROP_CROP_JSON'?",
        "warning: environment variable SHOTCROP_CROP_QUALTY has no effect; did you mean 'SHOTCROP_CROP_QUALITY'?",
    ]
    assert got["as_json"] is False


def test_the_users_file_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.user_file() == tmp_path / "shotcrop" / "config.toml"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans()) | st.none()))
def test_any_table_gives_defaults_or_one_error(table: dict[str, Any]) -> None:
    command = click.Command("crop", params=[click.Option(["--quality"], type=int), click.Option(["--text"])])
    group = click.Group("shotcrop", {"crop": command})
    context = click.Context(command, info_name="crop", parent=click.Context(group, info_name="shotcrop"))
    file = config.ConfigFile(Path("a.toml"), {"crop": table})
    try:
        assert set(config.defaults([file], context)) == set(table)
    except ShotcropError as error:
        assert str(error).startswith("a.toml: [crop] ")


def test_one_value_of_an_option_that_repeats_needs_no_list(got: dict[str, Any], write: Write, tmp_path: Path) -> None:
    write("[crop]\nexclude = '*.png'\npaths = 'in'", "user/config.toml")
    _run("crop")
    assert (got["exclude"], [path.name for path in got["paths"]]) == (("*.png",), ["in"])
