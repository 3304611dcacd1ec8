from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from convforge.errors import DataError
from convforge.images.dataset import FLAT, Images, Split, listing


def picture(i: int) -> np.ndarray:
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, (5 + i % 7, 11 - i % 5, 3), np.uint8)


def split_of(count: int, *, name: str = "train", digests: bool = False) -> Split:
    return Split(
        name=name,
        names=tuple(f"{name}/{i}.jpg" for i in range(count)),
        labels=np.arange(count) % 3,
        read=picture,
        digests=tuple(str(i).encode() for i in range(count)) if digests else (),
    )


def images_of(**splits: Split) -> Images:
    return Images(
        uri="photos",
        classes=("ant", "bee", "cat"),
        channels=3,
        splits=splits,
        fingerprint="0" * 64,
        split_record={"method": "seeded", "seed": 1, "fraction": 0.2, "test": ("a", "b")},
    )


def test_labels_are_int64_and_read_only():
    split = split_of(5)
    assert split.labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1


def test_a_name_without_a_label_is_a_defect():
    with pytest.raises(AssertionError):
        Split(name="train", names=("a", "b"), labels=np.zeros(1), read=picture)


def test_a_selection_has_its_images_labels_and_digests_in_order():
    split = split_of(5, digests=True)
    assert split.select(range(5)) is split
    chosen = split.select([4, 1])
    assert chosen.names == ("train/4.jpg", "train/1.jpg")
    assert chosen.labels.tolist() == [1, 1]
    assert chosen.digests == (b"4", b"1")
    np.testing.assert_array_equal(chosen.load(1), picture(1))
    assert chosen.select([1]).names == ("train/1.jpg",)
    assert len(split.select([])) == 0


def test_an_image_may_come_small_where_its_source_can():
    split = split_of(3)
    np.testing.assert_array_equal(split.load(2, short_side=2), picture(2))
    small = dataclasses.replace(split, read_small=lambda i, side: picture(i)[:side, :side])
    assert small.select([2, 1]).load(1, short_side=2).shape == (2, 2, 3)
    np.testing.assert_array_equal(small.load(2), picture(2))


def test_a_record_is_plain_json():
    record = images_of(train=split_of(3)).record()
    assert json.loads(json.dumps(record)) == record
    assert record["split"]["test"] == ["a", "b"]
    assert set(record) == {"uri", "fingerprint", "split"}


# ---- a part, for a classifier ----


def test_labels_are_mapped_by_name_onto_a_classifiers_classes():
    split = images_of(train=split_of(3), test=split_of(6)).part(
        classes=["dog", "cat", "bee", "ant"]
    )
    assert split.labels.tolist() == [3, 2, 1, 3, 2, 1]
    np.testing.assert_array_equal(split.load(4), picture(4))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("train", "val", "test"), "test"),
        (("train", "test"), "test"),
        (("train", "val"), "val"),
        ((FLAT,), FLAT),
    ],
)
def test_the_part_to_evaluate_on_is_test_else_val_else_the_whole(parts, expected):
    images = images_of(**{name: split_of(3, name=name) for name in parts})
    assert images.part(classes=images.classes).name == expected


def test_a_part_can_be_named():
    images = images_of(train=split_of(3), test=split_of(6, name="test"))
    assert images.part("train", classes=images.classes).name == "train"
    with pytest.raises(DataError, match="photos: no part 'val'; there is train, test"):
        images.part("val", classes=images.classes)


def test_with_nothing_but_train_the_part_has_to_be_named():
    images = images_of(train=split_of(3))
    with pytest.raises(DataError, match="photos: only a part to train on, nothing to evaluate on"):
        images.part(classes=images.classes)
    assert len(images.part("train", classes=images.classes)) == 3


def test_a_class_that_the_classifier_does_not_know_is_named():
    images = images_of(train=split_of(3), test=split_of(3, name="test"))
    message = "part test has classes .* not trained on: ant, cat; its 2 are bee, dog: rename"
    with pytest.raises(DataError, match=message):
        images.part(classes=["bee", "dog"])


def test_an_unknown_class_without_an_image_in_the_part_is_fine():
    images = images_of(train=split_of(3), test=split_of(2, name="test"))
    assert images.part(classes=["bee", "ant"]).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (2, "0, 1"), (10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9")]
)
def test_a_short_listing_names_all(count, text):
    assert listing(map(str, range(count))) == text


def test_a_long_listing_names_ten_and_counts_the_rest():
    assert listing(map(str, range(1210))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1,200 more"
