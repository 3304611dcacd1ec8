from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convforge.errors import DataError, PackageError
from convforge.images.digits import is_digits, open_digits


def test_the_digits_are_split_1347_to_450_in_proportion():
    digits = open_digits("digits")
    assert {name: len(part) for name, part in digits.splits.items()} == {"train": 1347, "test": 450}
    assert digits.classes == tuple("0123456789")
    assert digits.channels == 1
    total = np.bincount(load_digits().target)
    test = np.bincount(digits.splits["test"].labels)
    assert np.abs(test - total * 450 / 1797).max() < 1


def test_each_scan_is_in_one_part_with_its_own_label_and_pixels():
    digits = open_digits("digits:7")
    scans = load_digits()
    seen = []
    for part in digits.splits.values():
        for i, name in enumerate(part.names):
            number = int(name.removeprefix("digits/"))
            seen.append(number)
            assert part.labels[i] == scans.target[number]
            pixels = part.load(i)
            assert pixels.dtype == np.uint8
            expected = np.floor(scans.images[number] * 255 / 16 + 0.5)
            np.testing.assert_array_equal(pixels, np.stack([expected] * 3, axis=-1))
    assert sorted(seen) == list(range(1797))


def test_the_seed_decides_the_split_and_the_uri_says_it():
    first, again, other = (open_digits(u) for u in ("digits", "digits:0", "digits:1"))
    assert first.splits["test"].names == again.splits["test"].names
    assert first.splits["test"].names != other.splits["test"].names
    assert [d.uri for d in (first, again, other)] == ["digits", "digits", "digits:1"]
    assert open_digits("digits", seed=1).splits["test"].names == other.splits["test"].names
    assert open_digits("digits:1", seed=5).uri == "digits:1"


def test_the_fingerprint_is_of_the_content_not_of_the_split():
    assert open_digits("digits").fingerprint == open_digits("digits:1").fingerprint
    assert len(open_digits("digits").fingerprint) == 64


def test_a_record_makes_the_split_again_whatever_the_default():
    trained = open_digits("digits:3")
    record = json.loads(json.dumps(trained.record()))
    again = open_digits("digits", split=record["split"])
    assert again.splits["test"].names == trained.splits["test"].names
    assert again.record() == trained.record()
    assert record["split"]["seed"] == 3
    assert record["split"]["fraction"] == 0.25
    assert len(record["split"]["test"]) == 450


def test_a_seed_that_is_not_the_records_is_refused():
    record = open_digits("digits:3").record()["split"]
    with pytest.raises(DataError, match="digits:4: the recorded split has seed 3"):
        open_digits("digits:4", split=record)


@pytest.mark.parametrize("uri", ["digits:", "digits:x", "digits:-1", "digits:1.5", "digits: 1"])
def test_a_seed_that_is_not_a_number_is_refused(uri):
    with pytest.raises(DataError, match="expected a whole number after the colon, as in digits:3"):
        open_digits(uri)


def test_a_seed_out_of_range_is_refused():
    with pytest.raises(DataError, match="expected 0…4294967295, got 4294967296"):
        open_digits("digits:4294967296")


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        open_digits("digits")


def test_a_path_or_another_name_is_not_the_digits():
    assert is_digits("digits")
    assert is_digits("digits:3")
    assert not any(map(is_digits, (Path("digits"), "./digits", "digits3", "digits/", "my digits")))


def test_changing_a_loaded_scan_leaves_the_data_set_as_it_is():
    part = open_digits("digits").splits["train"]
    before = part.load(0).copy()
    part.load(0)[:] = 0
    np.testing.assert_array_equal(part.load(0), before)


def test_a_part_can_be_sent_to_another_process():
    part = open_digits("digits").splits["test"]
    copy = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(copy.load(3), part.load(3))


def test_a_record_with_images_to_validate_on_takes_them_from_train_again():
    whole = open_digits("digits:3")
    val = list(whole.splits["train"].names[::10])
    record = {**whole.record()["split"], "val": val}
    again = open_digits("digits", split=record)
    assert [len(again.splits[part]) for part in ("train", "val", "test")] == [1212, 135, 450]
    assert list(again.splits["val"].names) == val
    assert again.record()["split"] == record
