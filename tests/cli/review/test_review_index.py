"""The index of a review: filters, order, neighbours, and what it notices when it reads the folder again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from review_pages import Library
from shotcrop_cli.review.index import Filter, PhotoIndex, photo_id, prominent
from shotcrop_cli.shots import Box


@pytest.fixture
def index(library: Library) -> Iterator[PhotoIndex]:
    found = PhotoIndex(library.shots)
    yield found
    found.close()


def names(index: PhotoIndex, **wanted: object) -> list[str]:
    return [json.loads(card)["name"] for card in index.page(Filter(**wanted), 0, 100).cards]  # type: ignore[arg-type]


def score(library: Library, name: str) -> float:
    return min(shot["score"] for shot in library.record(name)["shots"])


def test_the_worst_photo_comes_first(index: PhotoIndex, library: Library) -> None:
    index.scan()
    photos = ["astronaut.jpg", "camera.jpg", "trips/pair.jpg"]
    worst_first = sorted(photos, key=lambda name: score(library, name))
    assert names(index) == [Path(name).name for name in worst_first]
    assert names(index, by_name=True) == ["astronaut.jpg", "camera.jpg", "pair.jpg"]
    close_ups = sorted(photos, key=lambda name: library.shot(name, "close_up")["score"])
    assert names(index, shot="close_up") == [Path(name).name for name in close_ups]


def test_equal_scores_go_by_folder_and_name(index: PhotoIndex, library: Library) -> None:
    for folder in ("b", "a"):
        for name in ("2.jpg", "1.jpg"):
            (library.shots / folder).mkdir(exist_ok=True)
            shutil.copy(library.sidecar("astronaut.jpg"), library.shots / folder / f"{name}.json")
    index.scan()
    cards = [json.loads(card) for card in index.page(Filter(below=1.0), 0, 100).cards]
    placed = [(card["folder"], card["name"]) for card in cards if card["folder"] in ("a", "b")]
    assert placed == [("a", "1.jpg"), ("a", "2.jpg"), ("b", "1.jpg"), ("b", "2.jpg")]


def test_each_filter_chooses(index: PhotoIndex, library: Library) -> None:
    library.edit("astronaut.jpg", lambda record: record["shots"][2].update(edited=True))
    library.edit("camera.jpg", lambda record: record.update(rejected=True))
    library.edit("trips/pair.jpg", lambda record: record["shots"][1].update(caption="Ana & Ben, 100 %_"))
    index.scan()
    assert names(index, state="edited", by_name=True) == ["astronaut.jpg", "pair.jpg"]
    assert names(index, state="rejected") == ["camera.jpg"]
    assert sorted(names(index, state="open")) == ["astronaut.jpg", "pair.jpg"]
    assert names(index, state="pending") == ["pair.jpg"]
    assert names(index, text="ben ANA") == ["pair.jpg"]
    assert names(index, text="100 %_") == ["pair.jpg"]
    assert names(index, text="10_") == []
    assert names(index, text="AstroNaut") == ["astronaut.jpg"]
    assert names(index, folder="trips") == ["pair.jpg"]
    assert names(index, folder="trip") == []
    assert names(index, people=2) == ["pair.jpg"]
    assert names(index, people=4) == []
    assert names(index, status="no_subject") == []
    limit = score(library, "camera.jpg")
    assert "camera.jpg" not in names(index, below=limit)
    assert len(names(index, status="done")) == 3
    assert index.folders(10) == ("trips",)


def test_crops_of_people_and_sets_can_be_found(index: PhotoIndex, library: Library) -> None:
    def add(record: dict) -> None:
        crop = {**record["shots"][2], "person": "person2", "set": "story", "file": None, "size": None, "written": None}
        record["more_crops"] = [crop]

    library.edit("trips/pair.jpg", add)
    index.scan()
    assert names(index, person="person2") == names(index, set_name="story") == ["pair.jpg"]
    assert names(index, person="person") == names(index, set_name="stor") == []
    assert (index.names("persons"), index.names("sets")) == (("person2",), ("story",))


def test_a_deleted_crop_counts_as_rejected(index: PhotoIndex, library: Library) -> None:
    (library.shots / library.shot("astronaut.jpg", "medium")["file"]).unlink()
    index.scan()
    assert names(index, state="rejected") == ["astronaut.jpg"]


def test_neighbours_follow_the_list(index: PhotoIndex) -> None:
    index.scan()
    ids = [json.loads(card)["id"] for card in index.page(Filter(), 0, 100).cards]
    assert [index.position(Filter(), one) for one in ids] == [0, 1, 2]
    assert [index.neighbour(Filter(), one, forward=True) for one in ids] == [ids[1], ids[2], None]
    assert [index.neighbour(Filter(), one, forward=False) for one in ids] == [None, ids[0], ids[1]]
    # A photo that does not fit any more, because it was edited, still has neighbours.
    (pair,) = [json.loads(card)["id"] for card in index.page(Filter(folder="trips"), 0, 9).cards]
    place = ids.index(pair)
    for at, one in enumerate(ids):
        assert index.neighbour(Filter(folder="trips"), one, forward=True) == (pair if at < place else None)
    assert index.position(Filter(), "unknown") is None


def test_a_second_look_finds_what_changed(index: PhotoIndex, library: Library) -> None:
    index.scan()
    shutil.copy(library.sidecar("astronaut.jpg"), library.shots / "new.jpg.json")
    library.sidecar("camera.jpg").unlink()
    library.edit("trips/pair.jpg", lambda record: record.update(rejected=True))
    index.scan()
    assert sorted(names(index)) == ["astronaut.jpg", "new.jpg", "pair.jpg"]
    assert names(index, state="rejected") == ["pair.jpg"]
    library.sidecar("astronaut.jpg").unlink()
    index.update(library.sidecar("astronaut.jpg"))
    assert "astronaut.jpg" not in names(index)


def test_an_unreadable_sidecar_is_listed(index: PhotoIndex, library: Library) -> None:
    library.sidecar("camera.jpg").write_text("{")
    (library.shots / "other.jpg.json").write_text('{"status": "done", "source": {"width": 1}}')
    (library.shots / "notes.json").write_text("{}")
    index.scan()
    assert sorted(names(index, status="unreadable")) == ["camera.jpg", "other.jpg"]
    assert len(names(index)) == 4


def test_an_identity_leads_to_its_sidecar_alone(index: PhotoIndex, library: Library) -> None:
    index.scan()
    path = library.sidecar("astronaut.jpg")
    assert index.path(photo_id(library.shots, path)) == path
    assert index.path("astronaut.jpg") is None
    assert index.path("../astronaut.jpg.json") is None


def test_bystanders_are_not_counted() -> None:
    tall, tiny = Box(0.1, 0.1, 0.5, 0.9), Box(0.7, 0.4, 0.72, 0.5)
    assert prominent([(0.99, tall), (0.001, tiny), (0.001, tall), (0.06, None), (0.01, None)]) == [0, 2, 3]
    assert prominent([(0.2, None)]) == [0]
    assert prominent([]) == []
