from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge import images
from convforge.errors import DataError
from convforge.images import open_for_evaluation
from convforge.images.digits import open_digits
from convforge.images.holdout import (
    check_seed,
    draw_test,
    recorded_test,
    recorded_val,
    seeded_record,
    with_val,
)


def labels_of(counts):
    return {f"{label}/{i}.jpg": label for label, n in counts.items() for i in range(n)}


counts_of_classes = st.dictionaries(
    st.text("abcdefg", min_size=1, max_size=3), st.integers(1, 40), min_size=1, max_size=6
)


@given(counts=counts_of_classes, seed=st.integers(0, 2**32 - 1))
def test_a_fifth_of_each_class_is_held_out_at_least_one_and_never_all(counts, seed):
    labels = labels_of(counts)
    test = draw_test(labels, seed=seed)
    held_out = Counter(labels[name] for name in test)
    for label, n in counts.items():
        assert held_out[label] == (max(1, (2 * n + 5) // 10) if n > 1 else 0)
        assert held_out[label] < n


@given(counts=counts_of_classes, seed=st.integers(0, 99))
def test_the_order_of_the_images_does_not_matter(counts, seed):
    labels = labels_of(counts)
    mixed = list(labels.items())
    random.Random(seed).shuffle(mixed)
    assert draw_test(dict(mixed), seed=seed) == draw_test(labels, seed=seed)


def test_another_seed_holds_out_other_images():
    labels = labels_of({"cat": 50, "dog": 50})
    splits = {draw_test(labels, seed=seed) for seed in range(20)}
    assert len(splits) == 20


def test_every_image_is_held_out_equally_often():
    labels = labels_of({"cat": 20})
    counts = Counter(name for seed in range(2000) for name in draw_test(labels, seed=seed))
    assert len(counts) == 20
    assert min(counts.values()) > 320  # 400 expected, standard deviation 18
    assert max(counts.values()) < 480


def test_a_new_class_changes_nothing_for_the_others():
    before = draw_test(labels_of({"cat": 30, "dog": 12}), seed=3)
    after = draw_test(labels_of({"ant": 7, "cat": 30, "dog": 12}), seed=3)
    assert before < after


def test_the_drawn_names_stay_the_same_in_every_version():
    # printf 0/cat/5.jpg | sha256sum: 5.jpg and 1.jpg have the two smallest sums of the ten
    assert draw_test(labels_of({"cat": 10}), seed=0) == {"cat/1.jpg", "cat/5.jpg"}


def test_a_record_that_went_through_json_gives_the_same_names():
    labels = labels_of({"cat": 30, "dog": 12})
    test = draw_test(labels, seed=3)
    record = json.loads(json.dumps(seeded_record(test, seed=3, fraction=0.2)))
    assert recorded_test(record, labels, origin="photos") == test


def test_names_that_are_new_since_the_record_are_not_held_out():
    labels = labels_of({"cat": 30})
    record = seeded_record(draw_test(labels, seed=3), seed=3, fraction=0.2)
    grown = labels_of({"cat": 300})
    assert recorded_test(record, grown, origin="photos") == draw_test(labels, seed=3)


def test_missing_images_are_named_ten_of_them_and_the_count():
    record = seeded_record({f"cat/{i:02d}.jpg" for i in range(12)}, seed=0, fraction=0.2)
    message = (
        r"photos: 11 of 12 images that were held out of training are missing: "
        r"cat/00\.jpg, .*cat/10\.jpg and 1 more; put them back, or train again"
    )
    with pytest.raises(DataError, match=message):
        recorded_test(record, {"cat/05.jpg"}, origin="photos")


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"method": "seeded", "seed": 0},
        {"method": "seeded", "seed": 0, "test": []},
        {"method": "seeded", "seed": 0, "test": "cat/1.jpg"},
        {"method": "seeded", "seed": 0, "test": [1, 2]},
        {"method": "seeded", "test": ["cat/1.jpg"]},
        {"method": "guessed", "seed": 0, "test": ["cat/1.jpg"]},
    ],
)
def test_a_damaged_record_is_refused(record):
    with pytest.raises(DataError, match="photos: the recorded split is damaged"):
        recorded_test(record, {"cat/1.jpg"}, origin="photos")


def test_the_record_of_a_folder_with_parts_is_refused():
    with pytest.raises(DataError, match="is of a data set with its own train/ folder"):
        recorded_test({"method": "folders"}, {"cat/1.jpg"}, origin="photos")


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(DataError, match=rf"expected 0…4294967295, got {seed}"):
        check_seed(seed)


@pytest.mark.parametrize("val", ["cat/1.jpg", [1], {"cat/1.jpg": 0}])
def test_a_damaged_list_of_what_was_taken_to_validate_on_is_refused(val):
    with pytest.raises(DataError, match=r"photos: the recorded split is damaged; .* as 'val'"):
        recorded_val({"method": "folders", "val": val}, {"cat/1.jpg"}, origin="photos")


def test_what_was_taken_to_validate_on_and_is_missing_is_named():
    record = {"method": "folders", "val": ["cat/1.jpg", "cat/2.jpg"]}
    assert recorded_val(record, ["cat/2.jpg", "cat/1.jpg"], origin="") == set(record["val"])
    assert recorded_val({"method": "folders"}, [], origin="") == set()
    with pytest.raises(DataError, match=r"1 of 2 images .* missing: cat/2\.jpg; put them back"):
        recorded_val(record, ["cat/1.jpg"], origin="photos")


def test_images_to_validate_on_are_taken_from_those_to_train_on_and_the_record_says_which():
    whole = open_digits("digits")
    names = whole.splits["train"].names
    found = with_val(whole, {names[7], names[3]})
    assert found.splits["val"].names == (names[3], names[7])
    assert found.splits["val"].name == "val"
    assert found.splits["train"].names == names[:3] + names[4:7] + names[8:]
    assert found.splits["test"] is whole.splits["test"]
    record = found.record()["split"]
    assert record == {**whole.record()["split"], "val": [names[3], names[7]]}
    assert with_val(whole, set()) is whole


def test_of_a_data_set_with_parts_it_is_known_what_some_of_them_hold():
    whole = dataclasses.replace(open_digits("digits"), split_record={"method": "folders"})
    part = whole.splits["train"]
    record = with_val(whole, part.names[:40]).record()["split"]
    assert len(record["val"]) == 40
    assert record["known"] == {part.names[i]: part.digests[i].hex()[:16] for i in range(16)}


# ---- what was taken from train to validate on ----


CLASSES = ("cat", "dog", "emu")
TREES = [
    {"cat": 10, "dog": 6, "emu": 2},
    {f"train/{name}": 6 for name in CLASSES} | {"test/cat": 2},
]


def with_three(root):
    """The data set, three of its images to train on being validated on, and its record."""
    whole = images.open(root)
    data = with_val(whole, set(whole.splits["train"].names[1:4]))
    return data, json.loads(json.dumps(data.record()))


@pytest.mark.parametrize("tree", TREES)
def test_a_record_of_images_to_validate_on_makes_that_part_again(build, tree, tmp_path):
    root = build(tree)
    data, record = with_three(root)
    again = images.open(root, split=record["split"])
    for part in ("train", "val", "test"):
        assert again.splits[part].names == data.splits[part].names
    assert again.record() == data.record()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    for place in (root, elsewhere):
        for part in ("train", "val", "test", None):
            found = open_for_evaluation(place, classes=CLASSES, trained_on=record, part=part)
            assert found.names == data.splits[part or "test"].names


def test_without_a_part_to_test_on_it_is_evaluated_on(build):
    root = build({"train/cat": 6, "train/dog": 6})
    data, record = with_three(root)
    found = open_for_evaluation(root, classes=CLASSES, trained_on=record)
    assert (found.name, found.names) == ("val", data.splits["val"].names)


@pytest.mark.parametrize("tree", TREES)
def test_of_other_data_nothing_was_taken_to_validate_on(build, tree):
    _, record = with_three(build(tree))
    other = build({"train/cat": 2, "train/dog": 2}, name="other")
    with pytest.raises(DataError, match="no part 'val'; there is train"):
        open_for_evaluation(other, classes=CLASSES, trained_on=record, part="val")


@pytest.mark.parametrize("tree", TREES)
def test_an_image_that_was_validated_on_and_is_missing_is_named(build, tree):
    root = build(tree)
    data, record = with_three(root)
    gone = data.splits["val"].names[0]
    (root / gone).unlink()
    assert open_for_evaluation(root, classes=CLASSES, trained_on=record).name == "test"
    with pytest.raises(DataError, match=f"1 of 3 images .* are missing: {gone}"):
        open_for_evaluation(root, classes=CLASSES, trained_on=record, part="val")


def test_a_part_val_that_the_folder_has_got_since_goes_first(build):
    root = build(TREES[1])
    _, record = with_three(root)
    build({"val/dog": 1})
    for data in (images.open(root), images.open(root, split=record["split"])):
        assert data.splits["val"].names == ("val/dog/0.png",)
    found = open_for_evaluation(root, classes=CLASSES, trained_on=record, part="val")
    assert found.names == ("val/dog/0.png",)
