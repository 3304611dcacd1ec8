"""Metrics against scikit-learn's; Wilson's interval against its definition; parts and refusals."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from convforge.card import Card
from convforge.errors import DataError, InputError
from convforge.evaluation import Z_95, evaluate, measure, wilson_interval
from convforge.images import source
from convforge.images.dataset import Images, Split
from convforge.images.decoding import BATCH
from convforge.images.preprocess import Preprocess

PREPROCESS = Preprocess(resize=(8, 8), crop=(8, 8), mean=(0.0,), std=(1.0,))


class Oracle:
    """A model whose probabilities are a table, with a row for each mean value of an image."""

    preprocess = PREPROCESS

    def __init__(self, classes, table, *, data=None):
        self.classes = tuple(classes)
        self.table = np.asarray(table, np.float32)
        self.batches = []
        self.card = Card(
            network="",
            arguments={},
            classes=self.classes,
            preprocess=PREPROCESS,
            data=data or {},
        )

    def probabilities(self, images):
        self.batches.append(len(images))
        return self.table[[int(image.mean()) for image in images]]


def part_of(labels, *, name="test"):
    """A part whose image i has the value i in its pixels."""
    return Split(
        name=name,
        names=tuple(f"{i:03d}.png" for i in range(len(labels))),
        labels=np.asarray(labels),
        read=lambda i: np.full((8, 8, 3), i, np.uint8),
    )


def images_of(*, classes, **labels):
    return Images(
        uri="made",
        classes=tuple(classes),
        channels=1,
        splits={name: part_of(values, name=name) for name, values in labels.items()},
        fingerprint="0",
    )


def random_case(*, count, size, seed):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(size), count).astype(np.float32)
    return table, rng.integers(0, size, count)


def measured(table, labels, *, classes):
    return measure([table], part_of(labels), classes=tuple(classes), uri="")


# -------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(("count", "size", "seed"), [(200, 10, 0), (37, 6, 1), (50, 3, 2)])
def test_figures_are_those_of_scikit_learn(count, size, seed):
    table, labels = random_case(count=count, size=size, seed=seed)
    found = measured(table, labels, classes=map(str, range(size)))
    answers = table.argmax(1)
    every = range(size)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, answers, labels=every, zero_division=0
    )
    np.testing.assert_array_equal(
        found.confusion, metrics.confusion_matrix(labels, answers, labels=every)
    )
    assert found.count == count
    assert found.top1 == pytest.approx(metrics.accuracy_score(labels, answers))
    assert [s.support for s in found.scores] == support.tolist()
    np.testing.assert_allclose([s.precision or 0 for s in found.scores], precision)
    np.testing.assert_allclose([s.recall or 0 for s in found.scores], recall)
    np.testing.assert_allclose([s.f1 or 0 for s in found.scores], f1)
    present = np.flatnonzero(support)
    macro = metrics.precision_recall_fscore_support(
        labels, answers, labels=present, average="macro", zero_division=0
    )
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(macro[:3])


@pytest.mark.parametrize("size", [6, 10])
def test_top5_is_that_of_scikit_learn(size):
    table, labels = random_case(count=150, size=size, seed=3)
    found = measured(table, labels, classes=map(str, range(size)))
    expected = metrics.top_k_accuracy_score(labels, table, k=5, labels=range(size))
    assert found.top5 == pytest.approx(expected)
    assert found.top5 < 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_top5_of_five_classes_or_fewer_says_nothing_and_is_none(size):
    table, labels = random_case(count=20, size=size, seed=4)
    assert measured(table, labels, classes=map(str, range(size))).top5 is None


def test_the_rows_of_the_confusion_matrix_are_the_true_classes():
    found = measured(np.float32([[0, 1], [0, 1], [1, 0]]), [0, 0, 0], classes="ab")
    np.testing.assert_array_equal(found.confusion, [[1, 2], [0, 0]])


def test_what_is_nought_by_nought_is_none_and_what_is_wrong_is_zero():
    table = np.eye(5, dtype=np.float32)[[0, 1, 1, 3]]
    found = measured(table, [0, 0, 2, 2], classes="abcde")
    a, b, c, d, e = found.scores
    assert (a.precision, a.recall, a.f1) == (1, 0.5, pytest.approx(2 / 3))
    assert (b.support, b.predicted, b.precision, b.recall, b.f1) == (0, 2, 0, None, 0)
    assert (c.support, c.predicted, c.precision, c.recall, c.f1) == (2, 0, None, 0, 0)
    assert (d.precision, d.recall, d.f1) == (0, None, 0)
    assert (e.precision, e.recall, e.f1) == (None, None, None)
    # over a and c, the classes that are there
    assert (found.macro_precision, found.macro_recall) == (0.5, 0.25)
    assert found.macro_f1 == pytest.approx(1 / 3)


def test_of_equal_probabilities_the_lower_index_is_the_answer_and_the_five():
    table = np.full((3, 8), 1 / 8, np.float32)
    found = measured(table, [0, 4, 5], classes=map(str, range(8)))
    assert (found.top1, found.top5) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_everything_is_plain_json_and_the_summary_is_in_it():
    table, labels = random_case(count=30, size=7, seed=5)
    found = measured(table, labels, classes=map(str, range(7)))
    fields = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert fields["confusion"] == found.confusion.tolist()
    assert fields["scores"][2] == dataclasses.asdict(found.scores[2])
    assert fields["interval"] == list(found.interval)
    assert found.summary().items() <= found.to_json().items()
    assert "confusion" not in found.summary()


# ------------------------------------------------------------------------------------- interval


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (1, 2), (445, 450), (37, 100)])
def test_the_ends_of_the_interval_are_where_the_score_test_is_at_the_limit(right, count):
    """Wilson's definition: the ends solve |p̂ - p| = z √(p (1 - p) / n)."""
    low, high = wilson_interval(right, count)
    share = right / count
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert abs(share - end) == pytest.approx(Z_95 * math.sqrt(end * (1 - end) / count))


def test_the_interval_of_published_examples():
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, row 3."""
    for right, count, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_nothing_is_known():
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("right", "count"), [(-1, 5), (6, 5), (1, 0)])
def test_successes_out_of_range_are_refused(right, count):
    with pytest.raises(InputError, match=f"0 to {count} successes, got {right}"):
        wilson_interval(right, count)


# ---------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1])
def test_every_image_is_asked_once_in_order_a_batch_at_a_time(count):
    table, labels = random_case(count=count, size=4, seed=6)
    model = Oracle("abcd", table)
    calls = []
    found = evaluate(model, part_of(labels), progress=lambda *call: calls.append(call))
    assert sum(model.batches) == count
    assert max(model.batches) <= BATCH
    assert found.top1 == pytest.approx(np.mean(table.argmax(1) == labels))
    assert calls[-1] == (count, count, "evaluating on test")
    assert [done for done, _, _ in calls] == np.cumsum(model.batches).tolist()


def test_classes_are_matched_by_name():
    model = Oracle("cab", np.eye(3)[[1, 2]])  # answers a, then b
    found = evaluate(model, images_of(classes="ab", train=[0], test=[0, 1]))
    assert found.top1 == 1
    assert found.classes == ("c", "a", "b")
    assert [score.support for score in found.scores] == [0, 1, 1]


def test_the_part_is_test_then_val_then_what_is_asked_for():
    model = Oracle("ab", np.eye(2)[[0, 1]])
    both = images_of(classes="ab", train=[0], val=[0], test=[0, 1])
    assert evaluate(model, both).split == "test"
    assert evaluate(model, images_of(classes="ab", train=[0], val=[0])).split == "val"
    assert evaluate(model, both, split="train").count == 1
    assert evaluate(model, both).uri == "made"


def test_digits_are_held_out_as_they_were_in_training():
    trained = source.open("digits:7")
    model = Oracle(trained.classes, np.eye(10)[np.arange(256) % 10], data=trained.record())
    found = evaluate(model, "digits")
    other = evaluate(Oracle(trained.classes, model.table), "digits")
    expected = measure(
        [model.probabilities([trained.splits["test"].load(i) for i in range(450)])],
        trained.splits["test"],
        classes=trained.classes,
        uri="digits",
    )
    assert (found.uri, found.split, found.count) == ("digits", "test", 450)
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    assert not np.array_equal(found.confusion, other.confusion)


def test_a_folder_of_class_folders_is_evaluated_on_as_a_whole(tmp_path):
    for label, value in (("a", 0), ("b", 1)):
        (tmp_path / label).mkdir()
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / label / "1.png")
    found = evaluate(Oracle("ab", np.eye(2)), tmp_path)
    assert (found.count, found.top1, found.uri) == (2, 1, str(tmp_path))


# ------------------------------------------------------------------------------------- refusals


def test_a_class_that_the_model_does_not_know_is_refused_naming_it():
    with pytest.raises(DataError, match="zebra"):
        evaluate(Oracle("ab", np.eye(2)), images_of(classes=["a", "zebra"], train=[0], test=[1]))


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="no part 'val'"):
        evaluate(Oracle("ab", np.eye(2)), images_of(classes="ab", train=[0], test=[1]), split="val")


def test_another_part_than_the_one_passed_is_refused():
    with pytest.raises(DataError, match=r"part 'val' was asked for, .* 'test' already"):
        evaluate(Oracle("ab", np.eye(2)), part_of([0, 1]), split="val")


def test_a_part_without_images_is_refused():
    with pytest.raises(DataError, match="test has no images"):
        evaluate(Oracle("ab", np.eye(2)), part_of([]))


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(DataError, match="from 0 to 2, the model has 2 classes"):
        evaluate(Oracle("ab", np.eye(3)[:, :2]), part_of([0, 1, 2]))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="absent"):
        evaluate(Oracle("ab", np.eye(2)), tmp_path / "absent")


def test_probabilities_that_are_not_finite_are_refused_naming_the_image():
    table = np.eye(3, dtype=np.float32)
    table[1, 1] = np.nan
    with pytest.raises(InputError, match=r"001\.png are not finite"):
        evaluate(Oracle("abc", table), part_of([0, 1, 2]))


# ---------------------------------------------------------------------- images that cannot be used


def folder_with_bad_images(root):
    """Class a: images 0, damaged, damaged; class b: image 1 and one of 32768x1 pixels."""
    for label in "ab":
        (root / label).mkdir()
    Image.fromarray(np.full((8, 8), 0, np.uint8)).save(root / "a" / "0.png")
    Image.fromarray(np.full((8, 8), 1, np.uint8)).save(root / "b" / "0.png")
    Image.fromarray(np.zeros((1, 32_768), np.uint8)).save(root / "b" / "1.png")
    for name in ("1.png", "2.png"):
        (root / "a" / name).write_bytes(b"not an image")


def test_images_that_cannot_be_used_count_as_errors_and_are_listed(tmp_path):
    folder_with_bad_images(tmp_path)
    model = Oracle("ab", np.eye(2))
    model.card = dataclasses.replace(
        model.card, preprocess=dataclasses.replace(PREPROCESS, resize=8)
    )
    found = evaluate(model, tmp_path)
    assert (found.count, found.top1) == (5, 0.4)
    assert found.interval == wilson_interval(2, 5)
    assert [(image.name, image.label) for image in found.bad] == [
        ("a/1.png", 0),
        ("a/2.png", 0),
        ("b/1.png", 1),
    ]
    assert "is not an image" in found.bad[0].reason
    assert "limit of 32768" in found.bad[2].reason
    assert found.confusion.tolist() == [[1, 0], [0, 1]]
    assert [(score.support, score.recall) for score in found.scores] == [(3, 1 / 3), (2, 1 / 2)]
    assert found.summary()["unusable"] == 3
    assert json.loads(json.dumps(found.to_json()))["bad"][0]["name"] == "a/1.png"


def test_a_part_of_damaged_images_alone_is_all_wrong(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes(b"not an image")
    found = evaluate(Oracle("ab", np.eye(2)), tmp_path)
    assert (found.count, found.top1, len(found.bad)) == (2, 0.0, 2)


def test_the_calibration_error_is_that_of_the_probabilities():
    table = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.0, 1.0]]
    found = evaluate(Oracle(("a", "b"), table), part_of([0, 1, 0, 1]))
    assert found.ece == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6) + 0) / 4, abs=1e-6)
    assert found.summary()["ece"] == found.ece
