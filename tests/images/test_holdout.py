from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.errors import DataError
from convforge.images.holdout import check_seed, draw_test, recorded_test, seeded_record


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
