import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.figures import Figures, machine, publish, replaced
from benchmarks.speed import crop_throughput, decode_limit, peer_croppers, peers, ratio_sets, start_up
from benchmarks.speed.child_process import Measured, measure
from benchmarks.speed.crop_throughput import Shares, Sized
from benchmarks.speed.decode_limit import Cut, Speed
from benchmarks.speed.jpeg_codecs import OFFERS, load_codecs
from benchmarks.speed.ray_at_scale import Assumptions, simulate
from benchmarks.speed.sized_photos import EXAMPLES, jpegs, make_photos
from conftest import fixed_composition, open_image, picture, write_photo
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, PixelBox
from shotcrop_cli.sidecar import Timing

FEW = jpegs(EXAMPLES)[:2]
MARKS = ("decode_limit", "crop_throughput", "linear", "peers", "start_up")
EMPTY_DOCUMENT = "before\n<!-- measured: speed -->\nold\n<!-- end: speed -->\nafter\n"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Return a document with the marks of all tables."""
    path = tmp_path / "performance.md"
    path.write_text("".join(f"<!-- measured: {mark} -->\n<!-- end: {mark} -->\n" for mark in MARKS))
    return path


def run(module: object, monkeypatch: pytest.MonkeyPatch, document: Path, *arguments: str) -> list[list[str]]:
    """Run a script as its user would; return the cells of the tables that it wrote, headings and rules left out."""
    monkeypatch.setattr(sys, "argv", ["script", *arguments, "--markdown", str(document)])
    module.main()
    rows = [line.strip("| ").split(" | ") for line in document.read_text().splitlines() if line.startswith("|")]
    heads = [place - 1 for place, row in enumerate(rows) if row[0] == "---"]
    return [row for place, row in enumerate(rows) if place not in heads and place - 1 not in heads]


def test_a_table_has_words_on_the_left_and_numbers_on_the_right() -> None:
    lines = Figures("Speed", ("what", "who", "s"), (("a", "b", "1.0"),), names=2).as_markdown().splitlines()
    assert lines == ["Speed:", "", "| what | who | s |", "| --- | --- | ---: |", "| a | b | 1.0 |"]


def test_only_what_stands_between_its_marks_is_replaced() -> None:
    new = replaced(EMPTY_DOCUMENT, "speed", r"new \1")
    assert new == "before\n<!-- measured: speed -->\n\nnew \\1\n<!-- end: speed -->\nafter\n"
    assert replaced(new, "speed", r"new \1") == new


@pytest.mark.parametrize("mark", MARKS)
def test_the_page_on_performance_has_a_place_for_each_table(mark: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "performance.md"
    assert "\nnew figures\n" in replaced(page.read_text("utf-8"), mark, "new figures")


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="measured: memory"):
        replaced(EMPTY_DOCUMENT, "memory", "new")


def test_notes_and_tables_reach_the_terminal_and_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "document.md"
    document.write_text(EMPTY_DOCUMENT)
    publish("speed", [Figures("Speed", ("what", "s"), (("a", "1.0"),))], ["Measured somewhere."], document)
    for text in (capsys.readouterr().out, document.read_text()):
        assert "Measured somewhere." in text
        assert "1.0" in text


def test_the_machine_is_named_with_the_versions_of_what_is_installed() -> None:
    said = machine("pillow", "no-such-package")
    assert "cores of" in said
    assert "pillow 1" in said
    assert "no-such-package" not in said


def test_photos_are_made_with_as_many_pixels_as_asked_for_whatever_their_shape(tmp_path: Path) -> None:
    wide = write_photo(tmp_path / "in" / "a.jpg", picture(300, 100))
    upright = write_photo(tmp_path / "in" / "b.JPEG", picture(100, 100))
    photos = make_photos(tmp_path / "out", jpegs(tmp_path / "in"), 0.03, 5)
    assert jpegs(tmp_path / "in") == [wide, upright]
    assert [open_image(photo).size for photo in photos] == [(300, 100), (173, 173)] * 2 + [(300, 100)]


def test_photos_are_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    photo = write_photo(tmp_path / "a.jpg", picture(300, 100), exif=turned)
    (made,) = make_photos(tmp_path / "out", [photo], 0.03, 1)
    assert open_image(made).size == (100, 300)


@pytest.mark.parametrize("name", [*OFFERS])
def test_every_codec_cuts_the_same_pixels(name: str) -> None:
    codecs, _ = load_codecs()
    if name not in codecs:
        pytest.skip(f"{name} is not installed")
    jpeg, box = FEW[0].read_bytes(), PixelBox(31, 50, 201, 160)
    crop = codecs[name].encode(codecs[name].decode(jpeg), box)
    expected = open_image(FEW[0]).convert("RGB").crop(box.corners)
    assert np.abs(np.asarray(Image.open(io.BytesIO(crop)), int) - np.asarray(expected, int)).mean() < 3


def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("simplejpeg", "turbojpeg", "pyvips", "smartcrop", "autocrop", "cv2"):
        monkeypatch.setitem(sys.modules, package, None)
    codecs, codecs_missing = load_codecs()
    names, peers_missing = peer_croppers.installed()
    assert ([*codecs], names) == (["Pillow"], [])
    assert len(codecs_missing) == len(peers_missing) == 3
    assert all("left out: pip install " in line for line in codecs_missing + peers_missing)


def test_photos_are_cut_at_every_box_in_all_threads(tmp_path: Path) -> None:
    cuts = [Cut(photo, (PixelBox(0, 0, 40, 30), PixelBox(5, 6, 20, 10))) for photo in FEW]
    speed = decode_limit.time_codec(load_codecs()[0]["Pillow"], cuts, tmp_path)
    sizes = sorted(open_image(path).size for path in tmp_path.iterdir())
    assert sizes == [(20, 10), (20, 10), (40, 30), (40, 30)]
    assert speed.photos == 2
    assert speed.decode_seconds > 0
    assert speed.write_seconds > 0


def test_the_limit_of_ratio_sets_has_the_boxes_and_sizes_of_the_run(tmp_path: Path) -> None:
    box, photo = {"x": 5, "y": 6, "width": 40, "height": 30}, str(FEW[0])
    crops = [
        {"box": box, "file": "a.jpg", "size": {"width": 20, "height": 15}},
        {"box": box, "file": None, "size": None},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"source": {"path": photo}, "more_crops": crops}))
    found = ratio_sets.crops_of(tmp_path)
    assert found == {Path(photo): [ratio_sets.SizedCrop((5, 6, 45, 36), (20, 15))]}
    spent = ratio_sets.limit(found, tmp_path)
    assert [open_image(path).size for path in tmp_path.glob("*.jpg")] == [(20, 15)]
    assert spent.seconds > 0
    assert ratio_sets.least([Measured(1, 5, 0), Measured(9, 4, 0)]) == Measured(9, 4, 0)


def test_ratios_are_of_photos_per_second() -> None:
    pillow, fast = Speed(10, 5.0, 10.0, 6.0, 2.0), Speed(10, 2.0, 3.0, 1.0, 1.0)
    assert decode_limit.best([pillow, fast]) is fast
    first, second = decode_limit.rows("2 MP", {"Pillow": pillow, "fast": fast})
    assert first == ("2 MP", "Pillow", "2.0", "2.00", "1000", "75%", "25%", "1.00")
    assert second == ("2 MP", "fast", "5.0", "1.50", "300", "50%", "50%", "2.50")
    sized = Sized("2 MP", 10, Measured(10.0, 15.0, 300.0), Shares(0.5, 0.2, 0.3), {"Pillow": pillow, "fast": fast})
    assert sized.rows[0] == (
        *("2 MP", "shotcrop crop", "1.0", "1.50", "1500", "300"),
        *("50%", "20%", "30%", "0.50", "0.20", "0.67"),
    )
    assert [row[-3:] for row in sized.rows[1:]] == [("1.00", "0.40", "1.00"), ("2.50", "1.00", "3.33")]
    assert {len(row) for row in sized.rows} == {len(crop_throughput.HEADINGS)}


def test_shares_are_of_the_time_in_all_stages() -> None:
    assert crop_throughput.shares([Timing(10, 5, 5), Timing(30, 5, 45)]) == Shares(0.4, 0.1, 0.5)


def test_costs_are_compared_with_and_without_the_start() -> None:
    assert crop_throughput.per_photo_rows({101: 11.0, 1001: 111.0}, 1.0) == [
        ("101", "11.0", "108.9", "1.00", "100.0", "1.00"),
        ("1001", "111.0", "110.9", "1.02", "110.0", "1.10"),
    ]


def test_start_up_is_compared_with_python_and_with_click() -> None:
    seconds = {start_up.PYTHON: 0.02, start_up.CLICK: 0.1, start_up.HELP: 0.2}
    assert start_up.rows(seconds)[-1] == (start_up.HELP, "200", "180", "10.00", "2.00")


def test_medians_are_taken_after_a_round_that_does_not_count() -> None:
    turns = iter([99.0, 3.0, 1.0, 2.0])
    assert start_up.medians({"a": lambda: next(turns)}, 3) == {"a": 2.0}


def test_peers_are_compared_with_shotcrop() -> None:
    assert peers.speed_rows({"shotcrop": 4.0, "a": 8.0}) == [("shotcrop", "4.0", "1.00"), ("a", "8.0", "2.00")]


def test_the_nearest_crop_counts_whatever_its_name() -> None:
    truth = fixed_composition()
    wide, _, close = (shot.box for shot in truth.shots)
    assert peers.nearest([Box(0.0, 0.0, 0.1, 0.1), close], truth) == 1.0
    assert peers.nearest([FULL_FRAME], truth) == pytest.approx(0.8)
    assert peers.nearest([], truth) == 0.0
    assert [*peers.overlaps((wide, close, close), truth).values()] == pytest.approx([1.0, 0.16, 1.0])
    assert [*peers.overlaps((), truth).values()] == [0.0, 0.0, 0.0]


def test_a_photo_without_a_crop_counts_as_nothing_reached() -> None:
    truth = fixed_composition()
    crops = [tuple(shot.box for shot in truth.shots), ()]
    name, cropped, best, *each, mean = peers.quality_row("a", crops, [truth, truth])
    assert (name, cropped, each) == ("a", "1", ["0.500"] * 3)
    assert best == mean == "0.500 (0.000 to 1.000)"


@pytest.mark.parametrize("name", [*peer_croppers.PEERS])
def test_a_peer_says_where_it_cropped(name: str, tmp_path: Path) -> None:
    if name not in peer_croppers.installed()[0]:
        pytest.skip(f"{name} is not installed")
    target = tmp_path / "crop.jpg"
    box = peer_croppers.crop_photo(name, FEW[0], target)
    image, crop = open_image(FEW[0]).convert("RGB"), open_image(target)
    left, upper = round(box.x0 * image.width), round(box.y0 * image.height)
    expected = image.crop((left, upper, left + crop.width, upper + crop.height))
    assert np.abs(np.asarray(crop, int) - np.asarray(expected, int)).mean() < 3


def test_a_process_is_measured_with_the_memory_that_it_alone_took() -> None:
    ballast = bytearray(os.urandom(1 << 20) * 200)
    taken = measure(sys.executable, "-I", "-c", "import time; time.sleep(0.1)")
    assert 0.1 <= taken.seconds < 60
    assert taken.peak_mb < len(ballast) / 1e6


def test_a_process_that_ends_badly_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="no such word"):
        measure(sys.executable, "-I", "-c", "raise SystemExit('no such word')")


def test_the_limit_comes_out(monkeypatch: pytest.MonkeyPatch, document: Path) -> None:
    rows = run(decode_limit, monkeypatch, document, "--sizes", "0.1,0.2", "--count", "3", "--rounds", "1")
    pillow = [row for row in rows if row[1] == "Pillow"]
    assert [row[0].split(",")[0] for row in pillow] == ["0.1 MP", "0.2 MP"]
    assert [row[-1] for row in pillow] == ["1.00", "1.00"]


def test_the_throughput_comes_out(monkeypatch: pytest.MonkeyPatch, document: Path) -> None:
    rows = run(crop_throughput, monkeypatch, document, "--sizes", "0.1", "--count", "3")
    assert [row[1] for row in rows[:2]] == ["shotcrop crop", "Pillow, no model"]
    ours, pillow = (float(row[2]) for row in rows[:2])
    assert float(rows[0][9]) == pytest.approx(ours / pillow, abs=0.03)
    assert sum(int(share.removesuffix("%")) for share in rows[0][6:9]) in (99, 100, 101)


@pytest.mark.slow
def test_linearity_start_up_and_peers_come_out(monkeypatch: pytest.MonkeyPatch, document: Path, tmp_path: Path) -> None:
    lengths = run(crop_throughput, monkeypatch, document, "--linear", "--sizes", "0.1", "--counts", "2,4")
    assert [row[0] for row in lengths] == ["2", "4"]
    rows = run(start_up, monkeypatch, document, "--rounds", "1")[len(lengths) :]
    assert [row[0] for row in rows] == [start_up.PYTHON, start_up.CLICK, start_up.HELP, start_up.FIRST]
    rows = run(peers, monkeypatch, document, "--size", "0.1", "--count", "3", "--data", str(_dataset(tmp_path, FEW)))
    assert {"shotcrop", "the whole photo, uncropped"} <= {row[0] for row in rows}


def _dataset(folder: Path, photos: Sequence[Path]) -> Path:
    data = folder / "data"
    data.mkdir()
    rows = []
    for photo in photos:
        shutil.copy(photo, data)
        width, height = open_image(photo).size
        shots = {str(kind): {"box": [100, 100, 900, 900], "caption": ""} for kind in SHOT_TYPES}
        rows.append({"file_name": photo.name, "width": width, "height": height, "annotation": {"shots": shots}})
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


def test_a_simulated_cluster_waits_for_what_is_slowest() -> None:
    given = Assumptions(list_seconds=0.1, decide_seconds=0.001, feed_seconds=0.001, crop_seconds=1.0, driver_mb=0)
    assert simulate(8, 1, given).seconds == pytest.approx(0.1 + 8 * 0.001 + 8)
    assert simulate(16, 2, given).seconds == pytest.approx(0.1 + 16 * 0.001 + 8)
    assert simulate(10_000, 10, given).seconds == pytest.approx(2 * (0.5 + 5 + 504))  # 63 chunks for some workers
    most = simulate(5_000, 625, given)
    assert most.seconds == simulate(5_000, 100_000, given).seconds == pytest.approx(0.5 + 5 + 8)
    assert most.busy == pytest.approx(8 / 13.5)
