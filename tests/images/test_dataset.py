from __future__ import annotations

import json
import os

import numpy as np
import pytest

from convforge.errors import DataError
from convforge.images.dataset import FLAT, Images, Split, listing
from convforge.images.preprocess import Preprocess

PREPROCESS = Preprocess(resize=8, crop=(7, 6), mean=(0.0,) * 3, std=(1.0,) * 3)
GREY = Preprocess(resize=8, crop=(7, 6), mean=(0.0,), std=(1.0,))


def picture(i: int) -> np.ndarray:
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, (5 + i % 7, 11 - i % 5, 3), np.uint8)


def split_of(count: int, *, name: str = "train", bad: tuple[int, ...] = ()) -> Split:
    def read(i: int) -> np.ndarray:
        if i in bad:
            raise DataError(f"{name}/{i}.jpg: is empty")
        return picture(i)

    names = tuple(f"{name}/{i}.jpg" for i in range(count))
    return Split(name=name, names=names, labels=np.arange(count) % 3, read=read)


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


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_batches_give_every_image_in_order(count):
    batches = list(split_of(count).batches(4))
    assert [len(batch) for batch in batches] == [4] * (count // 4) + [count % 4] * (count % 4 > 0)
    for i, image in enumerate(image for batch in batches for image in batch):
        np.testing.assert_array_equal(image, picture(i))


def test_batches_hold_no_more_than_one():
    batches = split_of(8, bad=(5,)).batches(4)
    assert len(next(batches)) == 4  # the damaged one has not been looked at
    with pytest.raises(DataError):
        next(batches)


def test_a_damaged_image_in_a_batch_is_reported_with_all_that_follow():
    message = (
        r"^3 of 20 images cannot be used; repair or remove them:\n"
        r"  train/5\.jpg: is empty\n  train/7\.jpg: is empty\n  train/19\.jpg: is empty$"
    )
    with pytest.raises(DataError, match=message):
        list(split_of(20, bad=(5, 7, 19)).batches(4))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 65])
@pytest.mark.parametrize("preprocess", [PREPROCESS, GREY])
def test_decoding_all_gives_each_image_its_row(count, preprocess):
    pixels = split_of(count).decode_all(preprocess)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (count, 7, 6, preprocess.channels)
    for i in range(count):
        np.testing.assert_array_equal(pixels[i], preprocess.pixels(picture(i)))


def test_decoding_the_parts_gives_one_array_each():
    images = images_of(train=split_of(40), test=split_of(9, name="test"))
    arrays = images.decode_all(PREPROCESS)
    assert list(arrays) == ["train", "test"]
    np.testing.assert_array_equal(arrays["test"], split_of(9).decode_all(PREPROCESS))


def test_decoding_reports_its_progress_up_to_the_end():
    calls = []
    images = images_of(train=split_of(70), test=split_of(9, name="test"))
    images.decode_all(PREPROCESS, progress=lambda *call: calls.append(call))
    assert calls == [(n, 79, "decoding images") for n in (32, 64, 70, 79)]


def test_all_damaged_images_of_all_parts_are_reported_at_once_ten_by_name():
    images = images_of(
        train=split_of(70, bad=tuple(range(0, 60, 6))), test=split_of(9, name="test", bad=(1, 8))
    )
    with pytest.raises(DataError) as caught:
        images.decode_all(PREPROCESS)
    first, *lines = str(caught.value).split("\n")
    assert first == "12 of 79 images cannot be used; repair or remove them:"
    assert lines == [f"  train/{i}.jpg: is empty" for i in range(0, 60, 6)] + ["  and 2 more"]


def test_an_image_that_preprocessing_refuses_is_reported_by_name():
    strip = np.zeros((1, 20_000, 3), np.uint8)
    split = Split(name="train", names=("a/strip.png",), labels=np.zeros(1), read=lambda _: strip)
    with pytest.raises(DataError, match=r"1 of 1 images.*\n  a/strip\.png: image of 20000x1 pix"):
        split.decode_all(PREPROCESS)


def test_more_pixels_than_the_machine_has_memory_are_refused_before_decoding():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    big = Preprocess(resize=30_000, crop=(30_000, 30_000), mean=(0.0,), std=(1.0,))
    count = memory // 30_000**2 + 1
    looked_at = []
    split = Split(name="train", names=("a",) * count, labels=np.zeros(count), read=looked_at.append)
    with pytest.raises(DataError, match=r"the machine has .* use fewer images or a smaller input"):
        split.decode_all(big)
    assert not looked_at


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
    message = "test: ant, cat not among the 2 classes of the classifier: bee, dog; rename"
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
