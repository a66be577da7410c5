"""`shotcrop caption`: captions for finished crops, without cropping. What people edited stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from caption_server import GOOD, SHOTS, CaptionServer, Reply, running
from conftest import FakeComposer, no_people, open_image, picture, write_photo
from shotcrop_cli import (
    CaptionOptions,
    CropOptions,
    Endpoint,
    InputError,
    PhotoStatus,
    RecaptionOptions,
    Reporter,
    RunResult,
    caption_sidecars,
    crop_photos,
)
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.output_folder import output_lock
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import read

pytest.importorskip("openai")

OTHER: dict[str, Any] = {
    **{shot: {"caption": f"The other words {shot}", "alt_text": f"Other words for {shot}."} for shot in SHOTS},
    "story": "The other story.",
}
NEW = [GOOD[shot]["caption"] for shot in SHOTS]


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with running() as one:
        yield one


@pytest.fixture(autouse=True)
def config(tmp_path: Path, server: CaptionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    path = tmp_path / "c.toml"
    path.write_text(f'[captioner.stub]\nurl = "{server.url}"\nmodel = "qwen-test"\nretries = 0\n', "utf-8")
    monkeypatch.setenv("SHOTCROP_CONFIG", str(path))


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def caption(output: Path, *options: object, code: ExitCode = ExitCode.OK) -> Result:
    return run("caption", output, "--captions", "stub", *options, code=code)


@pytest.fixture
def sidecar(photos: Path, output: Path, composer: FakeComposer) -> Path:
    """Return the sidecar of a photo whose captions are by rule."""
    write_photo(photos / "a.jpg")
    run("crop", photos, "-o", output, "--xmp")
    composer.seen.clear()
    return output / "a.jpg.json"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def crops(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("*.jpg")}


def captions(path: Path) -> list[str]:
    return [shot.caption for shot in read(path).shots]


def test_captions_are_filled_in_without_cropping(
    sidecar: Path, photos: Path, output: Path, server: CaptionServer, composer: FakeComposer
) -> None:
    before = crops(output)
    (photos / "a.jpg").rename(photos / "gone.jpg")  # the photo is not needed
    result = caption(output)
    assert captions(sidecar) == NEW
    assert (crops(output), composer.seen) == (before, [])
    assert "1 done, 0 unchanged" in result.stderr
    assert result.stderr.startswith(f"captions by qwen-test at {server.host}; crops are sent there")
    assert NEW[2] in (output / "a.jpg.close_up.jpg.xmp").read_text("utf-8")


def test_manifests_have_the_words_of_the_server(sidecar: Path, output: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "crops.jsonl"
    run("export", output, "--manifest", manifest)
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    assert [(row["alt_text"], row["story"]) for row in rows] == [("", None)] * 3
    caption(output)
    run("export", output, "--manifest", manifest)
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    assert [(row["alt_text"], row["story"]) for row in rows] == [
        (GOOD[shot]["alt_text"], GOOD["story"]) for shot in SHOTS
    ]


def test_finished_captions_are_not_asked_for_again(sidecar: Path, output: Path, server: CaptionServer) -> None:
    caption(output)
    written = sidecar.read_bytes()
    assert "0 done, 1 unchanged" in caption(output).stderr
    assert (len(server.requests), sidecar.read_bytes()) == (1, written)


def test_renew_asks_again(sidecar: Path, output: Path, server: CaptionServer) -> None:
    caption(output)
    server.reply = lambda _number, _request: Reply(OTHER)
    caption(output, "--renew")
    assert captions(sidecar) == [OTHER[shot]["caption"] for shot in SHOTS]
    assert OTHER["medium"]["caption"] in (output / "a.jpg.medium.jpg.xmp").read_text("utf-8")
    record = read(sidecar).captions
    assert record is not None and record.story == "The other story."


@pytest.mark.parametrize("key", ["caption", "alt_text"])
def test_what_people_edited_stays(sidecar: Path, output: Path, server: CaptionServer, key: str) -> None:
    caption(output)
    edit(sidecar, lambda document: document["shots"][1].update({key: "Ana at the harbour"}))
    server.reply = lambda _number, _request: Reply(OTHER)
    caption(output, "--renew")
    shots = json.loads(sidecar.read_bytes())["shots"]
    assert shots[1][key] == "Ana at the harbour"
    assert shots[0][key] == OTHER["establishing"][key]
    assert [shot["edited"] for shot in shots] == [False, True, False]
    run("apply", output)
    assert json.loads(sidecar.read_bytes())["shots"][1][key] == "Ana at the harbour"
    caption(output, "--renew")
    assert json.loads(sidecar.read_bytes())["shots"][1][key] == "Ana at the harbour"


def test_captions_edited_before_the_first_answer_stay(sidecar: Path, output: Path, server: CaptionServer) -> None:
    edit(sidecar, lambda document: [shot.update({"caption": f"Mine {shot['shot']}"}) for shot in document["shots"]])
    assert "0 done, 1 unchanged" in caption(output, "--renew").stderr
    assert captions(sidecar) == [f"Mine {shot}" for shot in SHOTS]
    assert server.requests == []  # nothing is sent if there is nothing to write


def test_an_edited_story_stays(sidecar: Path, photos: Path, output: Path, server: CaptionServer) -> None:
    caption(output)
    edit(sidecar, lambda document: document["captions"].update({"story": "Ana comes home."}))
    server.reply = lambda _number, _request: Reply(OTHER)
    caption(output, "--renew")
    run("crop", photos, "-o", output, "--xmp", "--overwrite")
    assert captions(sidecar)[0] == "the establishing shot"
    caption(output)
    record = read(sidecar).captions
    assert record is not None and record.story == "Ana comes home."
    assert captions(sidecar)[0] == OTHER["establishing"]["caption"]


def test_an_xmp_caption_that_another_program_wrote_stays(sidecar: Path, output: Path) -> None:
    xmp = output / "a.jpg.medium.jpg.xmp"
    xmp.write_text(xmp.read_text("utf-8").replace("the medium shot", "Ana, by Lightroom"), "utf-8")
    result = caption(output)
    assert "Ana, by Lightroom" in xmp.read_text("utf-8")
    assert "it has a caption of its own" in result.stderr
    assert captions(sidecar) == NEW


def test_rejected_crops_are_not_sent(sidecar: Path, output: Path, server: CaptionServer) -> None:
    (output / "a.jpg.close_up.jpg").unlink()
    edit(sidecar, lambda document: document["shots"][0].update({"rejected": True}))
    server.reply = lambda _number, _request: Reply({"medium": GOOD["medium"], "story": GOOD["story"]})
    caption(output)
    parts = server.requests[0]["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]
    assert captions(sidecar) == ["the establishing shot", NEW[1], "the close_up shot"]


def test_a_rating_in_a_crop_asks_for_no_new_words(sidecar: Path, output: Path, server: CaptionServer) -> None:
    caption(output)
    crop = output / "a.jpg.medium.jpg"
    crop.write_bytes(crop.read_bytes() + b"rating")
    caption(output)
    assert len(server.requests) == 1


def test_settings_that_keep_the_boxes_keep_the_words(sidecar: Path, photos: Path, output: Path) -> None:
    caption(output)
    run("crop", photos, "-o", output, "--xmp", "--quality", "50")
    assert captions(sidecar) == NEW
    assert read(sidecar).shots[0].alt_text == GOOD["establishing"]["alt_text"]
    assert open_image(output / "a.jpg.medium.jpg").size == (60, 40)


def test_a_dry_run_sends_nothing(sidecar: Path, photos: Path, output: Path, server: CaptionServer) -> None:
    before = sidecar.read_bytes()
    result = caption(output, "-n")
    assert f"{photos / 'a.jpg'} -> {sidecar} (captions are missing or old)" in result.stdout
    assert "sent" not in result.stderr
    assert (server.requests, sidecar.read_bytes()) == ([], before)
    caption(output)
    assert "0 to do, 1 unchanged" in caption(output, "-n").stderr


def test_a_failing_server_keeps_captions_and_strict_fails(sidecar: Path, output: Path, server: CaptionServer) -> None:
    before = sidecar.read_bytes()
    server.reply = lambda _number, _request: Reply(status=400)
    result = caption(output)
    assert "keeps its captions: qwen-test at" in result.stderr and "0 done, 1 unchanged" in result.stderr
    assert "HTTP 400" in caption(output, "--strict-captions", code=ExitCode.SOME_FAILED).stderr
    assert sidecar.read_bytes() == before


def test_a_sidecar_that_changes_meanwhile_is_not_replaced(sidecar: Path, output: Path, server: CaptionServer) -> None:
    def reply(_number: int, _request: dict[str, Any]) -> Reply:
        edit(sidecar, lambda document: document["shots"][0].update({"caption": "Typed just now"}))
        return Reply(GOOD)

    server.reply = reply
    result = caption(output)
    assert "changed while its captions were being written" in result.stderr
    assert captions(sidecar)[0] == "Typed just now"


def test_a_sidecar_with_a_typo_stays(sidecar: Path, output: Path, server: CaptionServer) -> None:
    sidecar.write_text("{", "utf-8")
    result = caption(output, "--strict-captions", code=ExitCode.SOME_FAILED)
    assert "not a sidecar" in result.stderr
    assert (sidecar.read_text("utf-8"), server.requests) == ("{", [])


def test_a_crop_outside_the_output_is_not_sent(
    sidecar: Path, tmp_path: Path, output: Path, server: CaptionServer
) -> None:
    write_photo(tmp_path / "private.jpg")
    edit(sidecar, lambda document: document["shots"][0].update({"file": "../private.jpg"}))
    assert "outside the output folder" in caption(output).stderr
    assert server.requests == []


def test_a_photo_without_people_is_left_alone(
    photos: Path, output: Path, server: CaptionServer, composer: FakeComposer
) -> None:
    composer.answer = no_people
    write_photo(photos / "a.jpg", picture())
    run("crop", photos, "-o", output)
    assert "0 done, 1 unchanged" in caption(output).stderr
    assert server.requests == []


def test_a_locked_output_is_not_touched(sidecar: Path, output: Path, server: CaptionServer) -> None:
    with output_lock(output):
        caption(output, code=ExitCode.LOCKED)
    assert server.requests == []


def test_rules_keep_what_a_captioner_wrote(sidecar: Path, output: Path) -> None:
    caption(output)
    before = sidecar.read_bytes()
    assert "1 unchanged" in run("caption", output, "--captions", "rules", "--language", "de").stderr
    assert sidecar.read_bytes() == before
    result = run("caption", output, "--captions", "rules", "--renew", code=ExitCode.USAGE)
    assert "--renew needs --captions NAME" in result.stderr


def test_the_python_api_captions_finished_crops(sidecar: Path, output: Path, server: CaptionServer) -> None:
    options = CaptionOptions(endpoint=Endpoint(server.url, "qwen-test", retries=0))
    result = caption_sidecars(RecaptionOptions((output,), options))
    assert result.counts == {PhotoStatus.DONE: 1}
    assert captions(sidecar) == NEW
    with pytest.raises(InputError, match="name an endpoint"):
        caption_sidecars(RecaptionOptions((output,), CaptionOptions()))


def test_an_interrupted_run_reports_photos_whose_crops_are_done(
    photos: Path, output: Path, server: CaptionServer, composer: FakeComposer
) -> None:
    """Ctrl-C while captions are waited for: the photo is done and keeps its captions by rule."""
    for number in range(3):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))

    class Interrupted(Reporter):
        results: RunResult | None = None

        def detail(self, text: str) -> None:
            if "wait for captions" in text:
                raise KeyboardInterrupt

        def finish(self, result: RunResult) -> None:
            self.results = result

    server.reply = lambda _number, _request: Reply(GOOD, delay=1)
    reporter = Interrupted()
    endpoint = Endpoint(server.url, "qwen-test", retries=0, concurrency=1)
    with pytest.raises(KeyboardInterrupt):
        crop_photos(CropOptions(photos, output, captions=CaptionOptions(endpoint=endpoint)), reporter)
    assert reporter.results is not None and reporter.results.counts == {PhotoStatus.DONE: 3}
    assert len(server.requests) < 3
    words = [captions(output / f"{number}.jpg.json") for number in range(3)]
    assert words.count(NEW) == len(server.requests)
