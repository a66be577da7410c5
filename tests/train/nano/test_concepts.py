import numpy as np

from shotcrop_train.nano.concepts import CONCEPTS, FEATURES, Fit, Labels, cross_validate, fit, read_labels


def column(name: str) -> int:
    return list(CONCEPTS).index(name)


def test_captions_must_agree_on_what_a_photo_surely_shows() -> None:
    dog, maybe, none = (
        ["a dog runs", "two dogs", "a brown animal", "an animal", "a pet"],
        ["a dog", *["a cow"] * 4],
        ["a"],
    )
    labels = read_labels([dog, maybe, none, ["a man and his dog in the snow"]])
    assert labels.shown[:, column("dog")].tolist() == [True, False, False, True]
    assert labels.possible[:, column("dog")].tolist() == [True, True, False, True]
    assert labels.shown[:, column("snow")].tolist() == [False, False, False, True]


def test_a_child_is_one_without_adults() -> None:
    child = ["a boy runs", "a child", "a kid", "a young boy", "somebody"]
    labels = read_labels([child, ["a boy and a man"] * 5, [*child[:4], "a man"], ["a bicyclist"], ["a dirt bike"]])
    assert labels.shown[:, column("child")].tolist() == [True, False, True, False, False]
    assert labels.shown[:, column("bicycle")].tolist() == [False, False, False, True, False]


def test_heads_learn_what_the_features_show_and_are_judged_on_other_photos() -> None:
    rng = np.random.default_rng(0)
    shown = rng.random((400, len(CONCEPTS))) < 0.4
    features = rng.normal(size=(400, FEATURES)).astype(np.float32)
    features[:, : len(CONCEPTS)] += 9.0 * shown
    labels = Labels(shown, shown)
    heads = fit(features, labels, np.ones(400, bool))
    assert isinstance(heads, Fit) and heads.weights.shape == (len(CONCEPTS), FEATURES)
    logits = heads.logits(features)
    assert logits[shown].mean() > logits[~shown].mean() + 0.5
    for figures in cross_validate(features, labels).values():
        assert figures.right <= figures.named and figures.found <= figures.shown
        assert figures.right == figures.found  # without uncertain labels, what is right is what is shown
