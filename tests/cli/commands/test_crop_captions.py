"""`shotcrop crop --captions`: the rules, nothing, or a server, which may fail in many ways."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from caption_server import GERMAN, GOOD, SHOTS, CaptionServer, Reply, running
from conftest import jpeg_bytes, picture, rich_exif, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import Sidecar, read
from sidecar_examples import SCHEMA

pytest.importorskip("openai")

BY_RULE = [f"the {shot} shot" for shot in SHOTS]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a request that took the proxy would fail


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with running() as one:
        yield one


@pytest.fixture
def crop(tmp_path: Path, photos: Path, output: Path, server: CaptionServer, composer: object) -> Callable[..., Result]:
    def run(*options: object, code: ExitCode = ExitCode.OK, captions: str = "stub", **keys: object) -> Result:
        lines = [f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in keys.items()]
        table = [f'url = "{server.url}"', 'model = "qwen-test"', "retries = 0", *lines]
        if "retries" in keys:
            table.remove("retries = 0")
        config = tmp_path / "captions.toml"
        config.write_text("\n".join(["[captioner.stub]", *table]), "utf-8")
        words = ["crop", photos, "-o", output, "--config", config, "--captions", captions, *options]
        result = CliRunner().invoke(cli, list(map(str, words)))
        assert result.exit_code == code, result.output
        return result

    return run


def texts(record: Sidecar) -> list[tuple[str, str]]:
    return [(shot.caption, shot.alt_text) for shot in record.shots]


def good_texts() -> list[tuple[str, str]]:
    return [(GOOD[shot]["caption"], GOOD[shot]["alt_text"]) for shot in SHOTS]


def pictures(request: dict[str, Any]) -> list[Image.Image]:
    parts = request["messages"][1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def test_a_server_writes_captions_alt_texts_and_a_story(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    write_photo(photos / "a.jpg")
    result = crop("--xmp")
    record = read(output / "a.jpg.json")
    assert texts(record) == good_texts()
    assert record.captions is not None
    assert (record.captions.story, record.captions.model) == (GOOD["story"], "qwen-test")
    assert record.captions.host == server.host
    assert not record.edited
    assert result.stderr.splitlines()[0] == (
        f"captions by qwen-test at {server.host}; crops are sent there, which is this machine"
    )
    assert "1 done" in result.stderr and "captions: 1 written, 0 failed, 0 left" in result.stderr
    assert GOOD["medium"]["caption"] in (output / "a.jpg.medium.jpg.xmp").read_text("utf-8")
    SCHEMA.validate(json.loads((output / "a.jpg.json").read_bytes()))
    again = crop("--xmp")
    assert "0 done, 1 unchanged" in again.stderr  # new captions are no reason to crop again
    assert len(server.requests) == 1
    assert texts(read(output / "a.jpg.json")) == good_texts()


def test_the_server_sees_small_crops_without_metadata_and_a_schema(
    photos: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    (photos).mkdir()
    exif = rich_exif(jpeg_bytes(picture(16, 16)))
    (photos / "a.jpg").write_bytes(jpeg_bytes(picture(1200, 800), exif=exif))
    crop("--metadata", "all", image_size=200)
    (request,) = server.requests
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == "Bearer none"
    sent = pictures(request)
    assert [max(image.size) for image in sent] == [200, 200, 200]
    assert [dict(image.getexif()) for image in sent] == [{}, {}, {}]
    assert b"Canon" not in json.dumps(request).encode()
    assert '"close_up": {"caption": "...", "alt_text": "..."}' in request["messages"][1]["content"][0]["text"]
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["required"] == [*SHOTS, "story"]
    assert "a.jpg" not in json.dumps(request)  # neither names nor paths


@pytest.mark.parametrize("allowed", [False, True])
def test_the_whole_photo_is_sent_only_where_it_is_allowed(
    photos: Path, server: CaptionServer, crop: Callable[..., Result], allowed: bool
) -> None:
    write_photo(photos / "a.jpg", picture(1200, 800))
    result = crop(whole_photo=allowed, image_size=300)
    sent = pictures(server.requests[0])
    assert [image.size for image in sent[3:]] == ([(300, 200)] if allowed else [])
    assert ("crops and the whole photos are sent there" in result.stderr) is allowed


def test_without_the_option_no_server_is_asked(photos: Path, output: Path, server: CaptionServer, crop: Any) -> None:
    write_photo(photos / "a.jpg")
    result = crop(captions="rules")
    assert [shot.caption for shot in read(output / "a.jpg.json").shots] == BY_RULE
    assert b"alt_text" not in (output / "a.jpg.json").read_bytes()
    assert server.requests == [] and "captions" not in result.stderr


def test_no_captions(photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]) -> None:
    write_photo(photos / "a.jpg")
    crop(captions="none")
    assert [shot.caption for shot in read(output / "a.jpg.json").shots] == ["", "", ""]
    assert server.requests == []


def with_caption(shot: str, caption: str, **others: Any) -> dict[str, Any]:
    return {**GOOD, shot: {**GOOD[shot], "caption": caption}, **others}


BAD_ANSWERS: dict[str, tuple[Reply, str]] = {
    "half JSON": (Reply(json.dumps(GOOD)[:80]), "JSON schema"),
    "another schema": (Reply({"caption": "A person"}), "JSON schema"),
    "a number": (Reply({**GOOD, "medium": {"caption": 3, "alt_text": "x"}}), "JSON schema"),
    "no message": (Reply(body=b'{"choices": []}'), "not a chat completion"),
    "half a body": (Reply(body=b'{"choices": [{"mess'), "not JSON"),
    "another language": (Reply(GERMAN), "not in English"),
    "other letters": (Reply(with_caption("medium", "一个人拿着照相机站在田野里看着远处的山")), "not in English"),
    "empty": (Reply(with_caption("medium", " ")), "the caption of medium is empty"),
    "too long": (Reply(with_caption("medium", "word " * 60)), "has 299 characters"),
    "image of": (Reply(with_caption("close_up", "Image of a smile")), "says 'Image of'"),
    "repetition": (Reply(with_caption("close_up", GOOD["medium"]["caption"])), "two captions are the same"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_asked_for_again_and_then_the_rules_stand(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result], name: str
) -> None:
    bad, reason = BAD_ANSWERS[name]
    write_photo(photos / "a.jpg")
    server.reply = lambda _number, _request: bad
    result = crop()
    assert len(server.requests) == 2
    record = read(output / "a.jpg.json")
    assert [shot.caption for shot in record.shots] == BY_RULE and record.captions is None
    assert "1 done" in result.stderr and "0 failed" in result.stderr
    assert reason in result.stderr
    second = server.requests[1]["messages"][1]["content"][0]["text"]
    assert "Your answer had these problems" in second


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_good_second_answer_counts(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result], name: str
) -> None:
    write_photo(photos / "a.jpg")
    server.reply = lambda number, _request: Reply(GOOD) if number else BAD_ANSWERS[name][0]
    crop()
    assert texts(read(output / "a.jpg.json")) == good_texts()


def test_words_around_the_json_and_odd_characters_are_removed(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    write_photo(photos / "a.jpg")
    odd = with_caption("medium", " They hold\n a\x1b camera\u2028\x00 ")
    server.reply = lambda _number, _request: Reply(f"Here it is:\n```json\n{json.dumps(odd)}\n```")
    crop()
    assert read(output / "a.jpg.json").shots[1].caption == "They hold a camera"


def test_a_contradiction_with_the_number_of_people_is_refused(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result], composer: Any
) -> None:
    from dataclasses import replace as changed

    from conftest import fixed_composition
    from shotcrop_cli.shots import Reasoning

    composer.answer = lambda _image, _aspect: changed(fixed_composition(), reasoning=Reasoning("One person outdoors."))
    write_photo(photos / "a.jpg")
    server.reply = lambda _number, _request: Reply(with_caption("medium", "Three women with cameras"))
    result = crop()
    assert "more people than the photo shows: 1" in result.stderr
    assert "A detector found 1 person" in server.requests[0]["messages"][1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("reply", "requests", "reason"),
    [
        (Reply(status=429, headers={"Retry-After-Ms": "1"}), 3, "HTTP 429"),
        (Reply(status=500, headers={"Retry-After-Ms": "1"}), 3, "HTTP 500"),
        (Reply(status=400), 1, "HTTP 400"),
        (Reply(status=401), 1, "it refuses the key (HTTP 401)"),
        (Reply(status=404), 1, "no such model or address (HTTP 404)"),
        (Reply(status=302, headers={"Location": "http://192.0.2.1/v1/chat/completions"}), 1, "HTTP 302"),
    ],
)
def test_a_failing_server_fails_no_photo(
    photos: Path,
    output: Path,
    server: CaptionServer,
    crop: Callable[..., Result],
    reply: Reply,
    requests: int,
    reason: str,
) -> None:
    write_photo(photos / "a.jpg")
    server.reply = lambda _number, _request: reply
    result = crop(retries=2)
    assert len(server.requests) == requests
    assert reason in result.stderr and "1 done, 0 unchanged, 0 without people, 0 failed" in result.stderr
    assert [shot.caption for shot in read(output / "a.jpg.json").shots] == BY_RULE
    strict = crop("--overwrite", "--strict-captions", code=ExitCode.SOME_FAILED)
    assert f"failed: {photos / 'a.jpg'}: captions: qwen-test at {server.host}: " in strict.stderr
    assert (output / "a.jpg.medium.jpg").is_file()  # the crops are there all the same


def test_a_server_that_recovers_is_asked_again_by_the_client(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    write_photo(photos / "a.jpg")
    busy = Reply(status=503, headers={"Retry-After-Ms": "1"})
    server.reply = lambda number, _request: Reply(GOOD) if number == 2 else busy
    crop(retries=2)
    assert texts(read(output / "a.jpg.json")) == good_texts()


def test_a_slow_server_times_out(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    write_photo(photos / "a.jpg")
    server.reply = lambda _number, _request: Reply(GOOD, delay=3)
    result = crop(timeout=1)
    assert "no answer within 1 s" in result.stderr and "1 done" in result.stderr


def test_no_server_at_all(photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]) -> None:
    write_photo(photos / "a.jpg")
    server.url = "http://127.0.0.1:1/v1"
    result = crop()
    assert "qwen-test at 127.0.0.1:1: cannot be reached" in result.stderr and "1 done" in result.stderr


def test_a_slow_server_does_not_hold_up_crops(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    for number in range(6):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))
    found: list[int] = []

    def reply(number: int, _request: dict[str, Any]) -> Reply:
        end = time.monotonic() + 20
        while number == 0 and time.monotonic() < end and len(list(output.glob("*.json"))) < 6:
            time.sleep(0.02)
        found.append(len(list(output.glob("*.json"))))
        return Reply(GOOD)

    server.reply = reply
    crop("-j", 1, concurrency=1)
    assert found[0] == 6  # all crops were written while the first request was not answered
    assert server.most_at_once == 1
    assert all(texts(read(path)) == good_texts() for path in output.glob("*.json"))


def test_concurrency_is_bounded(photos: Path, server: CaptionServer, crop: Callable[..., Result]) -> None:
    for number in range(6):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))
    server.reply = lambda _number, _request: Reply(GOOD, delay=0.1)
    crop(concurrency=3)
    assert 2 <= server.most_at_once <= 3


def test_a_dead_server_is_not_asked_for_ever(photos: Path, server: CaptionServer, crop: Callable[..., Result]) -> None:
    for number in range(9):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))
    server.reply = lambda _number, _request: Reply(status=500)
    result = crop(concurrency=1)
    assert len(server.requests) == 5
    assert "9 done" in result.stderr and "captions: 0 written, 9 failed, 0 left" in result.stderr
    assert "captions of 6 more photos failed" in result.stderr


def test_max_time_ends_captions_too(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))
    over = [False]
    monkeypatch.setattr("shotcrop_cli.runs.crop_work.CropWork.is_time_over", property(lambda _work: over[0]))

    def reply(_number: int, _request: dict[str, Any]) -> Reply:
        end = time.monotonic() + 20
        while time.monotonic() < end and len(list(output.glob("*.json"))) < 4:
            time.sleep(0.02)
        over[0] = True
        return Reply(GOOD, delay=2.5)

    server.reply = reply
    result = crop("--max-time", "1h", concurrency=1)
    assert len(server.requests) == 1
    assert "4 done" in result.stderr and "captions: 1 written, 0 failed, 3 left" in result.stderr


def test_max_captions_limits_what_is_asked(
    photos: Path, output: Path, server: CaptionServer, crop: Callable[..., Result]
) -> None:
    for number in range(4):
        write_photo(photos / f"{number}.jpg", picture(120 + number, 80))
    result = crop("--max-captions", 3, concurrency=4)
    assert len(server.requests) == 3
    assert "4 done" in result.stderr and "captions: 3 written, 0 failed, 1 left" in result.stderr


def test_equal_crops_are_paid_for_once(photos: Path, output: Path, server: CaptionServer, crop: Any) -> None:
    write_photo(photos / "a.jpg")
    crop()
    crop("--overwrite")
    assert len(server.requests) == 1
    assert texts(read(output / "a.jpg.json")) == good_texts()
    crop("--overwrite", language="de")  # another question
    assert len(server.requests) == 3  # the English answer is refused once


def test_the_key_comes_from_the_environment_alone(
    photos: Path, server: CaptionServer, crop: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    missing = crop(key_env="TEST_CAPTION_KEY", code=ExitCode.USAGE)
    assert "TEST_CAPTION_KEY has no key" in missing.stderr
    monkeypatch.setenv("TEST_CAPTION_KEY", "secret-1")
    crop(key_env="TEST_CAPTION_KEY")
    assert server.headers[0]["authorization"] == "Bearer secret-1"
    refused = crop(key="secret-2", code=ExitCode.USAGE)
    assert "there is no key 'key'" in refused.stderr and "key-env" in refused.stderr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"url": "localhost:11434"}, "url: 'localhost:11434' is not valid"),
        ({"timeout": 0}, "timeout: must be a number from 1 to 3600"),
        ({"concurrency": 1.5}, "concurrency: must be a whole number"),
        ({"whole_photo": "yes"}, "whole-photo: must be true or false"),
        ({"image_sise": 5}, "Fix: write image-size"),
    ],
)
def test_a_wrong_table_is_named(
    photos: Path, server: CaptionServer, crop: Callable[..., Result], keys: dict[str, Any], message: str
) -> None:
    if "url" in keys:
        server.url = keys.pop("url")
    assert message in crop(code=ExitCode.USAGE, **keys).stderr


def test_an_unknown_captioner_is_named(crop: Callable[..., Result]) -> None:
    result = crop(captions="olama", code=ExitCode.USAGE)
    assert "there is no captioner 'olama'; known: stub" in result.stderr


@pytest.mark.parametrize("option", [["--max-captions", 3], ["--strict-captions"]])
def test_options_of_captioners_need_one(crop: Callable[..., Result], option: list[object]) -> None:
    assert f"{option[0]} needs --captions NAME" in crop(*option, captions="rules", code=ExitCode.USAGE).stderr


def test_the_folder_that_a_run_starts_in_does_not_decide_where_photos_go(
    tmp_path: Path, photos: Path, output: Path, server: CaptionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    table = f'[captioner.x]\nurl = "{server.url}"\nmodel = "m"\nkey-env = "HOME"\n[crop]\ncaptions = "x"\n'
    (tmp_path / "shotcrop.toml").write_text(table, "utf-8")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output)])
    assert result.exit_code == ExitCode.USAGE
    assert "must not decide where photos are sent" in result.stderr
    assert server.requests == [] and not output.exists()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://localhost:11434/v1", "which is this machine"),
        ("http://[::1]:8080/v1", "which is this machine"),
        ("http://127.9.0.1/v1", "which is this machine"),
        ("http://192.168.1.5:8000/v1", "over the network and unencrypted"),
        ("https://api.example.com/v1", "over the network"),
        ("http://localhost.example.com/v1", "over the network and unencrypted"),
    ],
)
def test_this_machine_and_others_are_told_apart(url: str, where: str) -> None:
    from shotcrop_cli.captions.settings import Endpoint

    assert Endpoint(url, "m").announcement.endswith(f"crops are sent there, {where}")


def test_a_captioner_needs_crops(crop: Callable[..., Result]) -> None:
    assert "--captions NAME needs crops to show" in crop("--no-images", code=ExitCode.USAGE).stderr


def test_json_lines_have_the_words_of_the_server(photos: Path, crop: Callable[..., Result]) -> None:
    write_photo(photos / "a.jpg")
    (shots,) = [json.loads(line)["shots"] for line in crop("--json").stdout.splitlines()]
    assert [(shot["caption"], shot["alt_text"]) for shot in shots] == good_texts()


def test_offline_refuses_servers_elsewhere(photos: Path, server: CaptionServer, crop: Callable[..., Result]) -> None:
    write_photo(photos / "a.jpg")
    crop("--offline")  # this machine
    server.url = "https://192.0.2.1/v1"
    assert "192.0.2.1 is not this machine" in crop("--offline", code=ExitCode.USAGE).stderr


GUARD = """
import socket, sys
attempts = []
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        attempts.append((event, str(arguments)))
        raise OSError(f"{event} is not allowed in this test")
sys.addaudithook(refuse)
import atexit
atexit.register(lambda: print("ATTEMPTS", attempts))
from shotcrop_cli.main import main
main()
"""


@pytest.mark.parametrize(("options", "attempts"), [([], False), (["--captions", "x"], True)])
def test_a_default_run_opens_no_connection(tmp_path: Path, output: Path, options: list[str], attempts: bool) -> None:
    """With the real model, in a process of its own. The second case shows that the guard notices connections."""
    (photo,) = [path for path in Path(__file__).parents[3].glob("src/shotcrop_cli/selftest/*.jpg")]
    config = tmp_path / "c.toml"
    config.write_text('[captioner.x]\nurl = "http://localhost:9/v1"\nmodel = "m"\nretries = 0\n', "utf-8")
    words = ["crop", str(photo), "-o", str(output), "--config", str(config), *options]
    done = subprocess.run(
        [sys.executable, "-c", GUARD, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "1 done" in done.stderr
    assert ("ATTEMPTS []" in done.stdout) is not attempts, done.stdout
