import random
import signal
from pathlib import Path

import pytest

from benchmarks.reliability import broken_runs, killed_runs, odd_names
from benchmarks.reliability.crop_runs import different, half_done, temporaries, torn, tree
from benchmarks.reliability.finding import Finding, as_markdown
from benchmarks.reliability.undisturbed import Library, make_library

ONE = {"a.jpg.json": "record", "a.jpg.medium.jpg": "medium", "a.jpg.close_up.jpg": "close"}
OTHER = {"a.jpg.json": "record 2", "a.jpg.medium.jpg": "medium 2", "a.jpg.close_up.jpg": "close"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make_library(tmp_path_factory.mktemp("library"), 24)


def test_a_tree_is_read_with_all_its_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"")
    assert [*tree(tmp_path)] == ["sub/a"]
    assert tree(tmp_path / "absent") == {}


def test_a_file_with_another_content_is_torn() -> None:
    assert torn(ONE, ONE) == []
    assert torn({**ONE, "a.jpg.medium.jpg": "med"}, ONE)[0].startswith("a.jpg.json: says that its crops are complete")
    assert torn({"a.jpg.medium.jpg": "med"}, ONE) == ["a.jpg.medium.jpg: differs from what a finished run leaves"]


def test_a_sidecar_without_its_crops_is_torn() -> None:
    assert len(torn({"a.jpg.json": "record"}, ONE)) == 1


def test_crops_of_two_runs_are_torn_only_beside_a_sidecar() -> None:
    mixed = {**OTHER, "a.jpg.medium.jpg": "medium"}
    assert len(torn(mixed, ONE, OTHER)) == 1
    del mixed["a.jpg.json"]
    assert torn(mixed, ONE, OTHER) == []


def test_a_sidecar_that_says_that_nothing_is_cut_is_not_torn_but_not_finished_either(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.json").write_text('{"shots": [{"file": null}]}')
    assert torn(tree(tmp_path), {"a.jpg.json": "record"}) == []
    assert different(tree(tmp_path), {"a.jpg.json": "record"}) == ["a.jpg.json: differs from an uninterrupted run's"]


def test_a_photo_that_is_there_in_part_is_half_done() -> None:
    assert half_done({}, ONE) == half_done(ONE, ONE) == []
    assert half_done({"a.jpg.medium.jpg": "medium"}, ONE) == ["a.jpg.json: only 1 of the photo's 3 files exist"]


def test_trees_differ_by_missing_changed_and_surplus_files() -> None:
    now = {"a.jpg.json": "record", "a.jpg.medium.jpg": "x", ".shotcrop-0123.tmp": "half"}
    assert [line.partition(":")[0] for line in different(now, ONE)] == [
        ".shotcrop-0123.tmp",
        "a.jpg.close_up.jpg",
        "a.jpg.medium.jpg",
    ]
    assert temporaries(now) == [".shotcrop-0123.tmp: a temporary file was left"]


def test_a_broken_promise_is_told_in_the_table() -> None:
    findings = [Finding("a", "1", "b"), Finding("c", "1", "d", ("e",)), Finding("f", "0", "g", skipped=True)]
    assert [line.split(" | ")[-1] for line in as_markdown(findings).splitlines()[2:]] == [
        "kept |",
        "broken |",
        "skipped |",
    ]


@pytest.mark.slow
def test_killed_runs_leave_nothing_half_done_and_resume_to_the_same_tree(library: Library, tmp_path: Path) -> None:
    assert killed_runs.kill(library, tmp_path / "shots", 8, random.Random(0)).violations == ()
    assert killed_runs.kill_redoing(library, tmp_path / "again", 8, random.Random(0)).violations == ()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_runs_leave_whole_photos_and_no_temporary(
    library: Library, tmp_path: Path, number: signal.Signals
) -> None:
    assert killed_runs.stop(library, tmp_path / "shots", number, 3, random.Random(0)).violations == ()


@pytest.mark.slow
def test_a_lost_output_is_noticed_and_not_made_again(library: Library, tmp_path: Path) -> None:
    assert broken_runs.lose_output(library, tmp_path, 2, random.Random(0)).violations == ()


@pytest.mark.slow
def test_photos_may_change_while_a_run_works(library: Library, tmp_path: Path) -> None:
    assert broken_runs.change_sources(library, tmp_path, 1, random.Random(0)).violations == ()


@pytest.mark.slow
def test_two_runs_on_one_output_keep_out_of_each_others_way(library: Library, tmp_path: Path) -> None:
    assert broken_runs.run_twice(library, tmp_path, 1).violations == ()


@pytest.mark.slow
def test_odd_file_names_survive_everywhere(tmp_path: Path) -> None:
    assert odd_names.name_oddly(tmp_path).violations == ()
