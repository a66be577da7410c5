"""The figures of the detector's recall."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.detector_recall import looks, match, tables
from figures import Figure, scene_of
from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_train.nano.detector_labels import merge_labels

HEAD, FAR = [400, 100, 500, 220], [20, 600, 60, 640]


def test_found_and_missed_heads_are_counted_by_size() -> None:
    heads = [{"box": HEAD, "score": 0.9}, {"box": FAR, "score": 0.9}, {"box": [700, 700, 760, 760], "score": 0.3}]
    labels = merge_labels({"detections": {"heads": heads}, "width": 100, "height": 100})
    figure = Figure(0.45, 0.1, 0.12)
    scene = scene_of(figure, Figure(0.9, 0.1, 0.12))
    scene.head[0] = np.array(HEAD) / 1000
    one = match(labels, scene, Kind.HEAD)
    assert one.found.tolist() == [True, False]  # the third is not sure enough to be missed
    assert np.allclose(one.size, [0.1095, 0.04], atol=1e-3)
    assert (one.right, one.detected) == (1, 2)


def test_tables_name_recall_and_precision() -> None:
    labels = merge_labels({"detections": {"heads": [{"box": HEAD, "score": 0.9}]}, "width": 100, "height": 100})
    scene = scene_of(Figure(0.45, 0.1, 0.12), Figure(0.9, 0.1, 0.12))
    scene.head[0] = np.array(HEAD) / 1000
    by_kind, by_looks = tables([(["all"], {kind: match(labels, scene, kind) for kind in Kind})])
    assert by_kind.rows[0][:3] == ("head", "1.00 (1)", "0.50")
    assert by_looks.rows == (("all", "1", "1.00 (1)", "1.00 (1)", "0.50"),)


def test_looks_come_from_whole_words_and_the_direction() -> None:
    row = {"captions": ["A boy in a helmet"], "annotation": {"facing": "away", "subject": "He chats", "shots": {}}}
    assert looks(row, heads=7) == ["all", "a helmet", "a child", "seen from behind", "6 heads or more"]
    assert looks({}, heads=0) == ["all"]
