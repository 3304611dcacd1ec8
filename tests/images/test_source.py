from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from convforge import images
from convforge.errors import DataError
from convforge.images import open_for_evaluation
from convforge.images.decoding import decode_images
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess

FLAT_TREE = {"cat": 10, "dog": 6, "emu": 2}
PARTS_TREE = {"train/cat": 3, "train/dog": 2, "val/dog": 1, "test/cat": 1, "test/dog": 1}
CLASSES = ("cat", "dog", "emu")


def through_json(record):
    return json.loads(json.dumps(record))


def refused(uri, message, **arguments):
    with pytest.raises(DataError, match=message):
        images.open(uri, **arguments)


# ---- to train on ----


def test_the_package_gives_functions_and_records_also_after_their_modules_are_imported():
    assert images.decode is decode
    assert images.Preprocess is Preprocess
    assert all(not isinstance(getattr(images, name), ModuleType) for name in images.__all__)


def test_a_folder_with_parts_keeps_them(build):
    data = images.open(build(PARTS_TREE))
    assert data.classes == ("cat", "dog")
    assert data.channels == 3
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 5,
        "val": 1,
        "test": 2,
    }
    assert data.splits["val"].labels.tolist() == [1]
    assert data.record()["split"] == {"method": "folders"}


def test_every_name_is_the_file_that_is_loaded(build):
    root = build(PARTS_TREE)
    for part in images.open(str(root)).splits.values():
        for i, name in enumerate(part.names):
            np.testing.assert_array_equal(part.load(i), decode(root / name))


def test_a_flat_folder_is_split_a_fifth_of_each_class(build):
    data = images.open(build(FLAT_TREE))
    test, train = data.splits["test"], data.splits["train"]
    assert np.bincount(test.labels).tolist() == [2, 1, 1]
    assert np.bincount(train.labels).tolist() == [8, 5, 1]
    assert not set(test.names) & set(train.names)
    assert all(
        data.classes[label] in name for label, name in zip(test.labels, test.names, strict=True)
    )


def test_the_seed_decides_the_split_but_not_the_fingerprint(build):
    root = build(FLAT_TREE)
    first, again, other = (images.open(root, seed=seed) for seed in (1, 1, 2))
    assert first.splits["test"].names == again.splits["test"].names
    assert first.splits["test"].names != other.splits["test"].names
    assert first.fingerprint == other.fingerprint


def test_a_split_does_not_depend_on_where_the_folder_lies(build, tmp_path):
    before = images.open(build(FLAT_TREE), seed=5)
    shutil.move(tmp_path / "photos", tmp_path / "moved")
    after = images.open(tmp_path / "moved", seed=5)
    assert after.splits["test"].names == before.splits["test"].names
    assert after.fingerprint == before.fingerprint


def test_a_record_makes_the_same_split_again_over_any_seed(build):
    root = build(FLAT_TREE)
    trained = images.open(root, seed=3)
    record = through_json(trained.record())
    assert record["split"]["method"] == "seeded"
    assert (record["split"]["seed"], record["split"]["fraction"]) == (3, 0.2)
    assert record["split"]["test"] == list(trained.splits["test"].names)
    again = images.open(root, split=record["split"], seed=99)
    for name, part in trained.splits.items():
        assert again.splits[name].names == part.names
    assert again.record() == trained.record()


def test_files_that_a_folder_gained_since_the_record_are_trained_on(build):
    root = build(FLAT_TREE)
    trained = images.open(root)
    build({"fox": 3})
    for i in range(20):
        shutil.copy(root / "cat" / "0.png", root / "cat" / f"new{i}.png")
    grown = images.open(root, split=trained.record()["split"])
    assert grown.splits["test"].names == trained.splits["test"].names
    assert len(grown.splits["train"]) == len(trained.splits["train"]) + 23
    assert grown.classes == (*CLASSES, "fox")
    assert grown.fingerprint != trained.fingerprint


def test_held_out_files_that_are_missing_now_are_named(build):
    root = build(FLAT_TREE)
    record = images.open(root).record()["split"]
    (root / record["test"][0]).unlink()
    refused(
        root, rf"1 of 4 images that were held out .* missing: {record['test'][0]}", split=record
    )


def test_a_record_of_the_other_layout_is_refused(build):
    flat, parts = build(FLAT_TREE), build(PARTS_TREE, name="parts")
    flat_record, parts_record = (images.open(root).record()["split"] for root in (flat, parts))
    refused(flat, "is of a data set with its own train/ folder", split=parts_record)
    refused(
        parts, "is of a data set without parts, this one has train, val, test", split=flat_record
    )
    assert images.open(parts, split=parts_record).record() == images.open(parts).record()


def test_damaged_files_do_not_stop_opening_but_are_all_named_before_training(build):
    root = build(FLAT_TREE)
    whole = (root / "cat" / "0.png").read_bytes()
    bad = {"cat/1.png": b"", "dog/0.png": b"text", "emu/0.png": whole[: len(whole) // 2]}
    for name, content in bad.items():
        (root / name).write_bytes(content)
    preprocess = Preprocess(resize=4, crop=(4, 4), mean=(0.0,), std=(1.0,))
    with pytest.raises(DataError, match="3 of 18 images cannot be used") as caught:
        decode_images(images.open(root), {"train": preprocess, "test": preprocess})
    assert all(f"{root / name}: " in str(caught.value) for name in bad)


def test_a_part_of_a_folder_can_be_sent_to_another_process(build):
    part = images.open(build(FLAT_TREE)).splits["train"]
    copy = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(copy.load(3), part.load(3))


def test_digits_open_by_name_and_by_seed():
    assert images.open("digits").uri == "digits"
    assert images.open("digits:4").record()["split"]["seed"] == 4
    assert images.open("digits", seed=4).uri == "digits:4"


def test_a_folder_called_digits_opens_as_a_path(build, tmp_path, monkeypatch):
    build(FLAT_TREE, name="digits")
    monkeypatch.chdir(tmp_path)
    assert images.open("digits").classes == tuple("0123456789")
    assert images.open("./digits").classes == CLASSES
    assert images.open(Path("digits")).classes == CLASSES


# ---- what is refused ----


def test_a_missing_folder_says_what_was_looked_for(tmp_path):
    refused(
        tmp_path / "nowhere",
        rf"no folder '{tmp_path}/nowhere', .*digits; others .*; check the path",
    )
    refused(tmp_path / "no" / "where", rf"no folder '{tmp_path}/no/where'")


def test_a_near_miss_is_suggested(build, tmp_path):
    refused("digit", "did you mean digits")
    build(FLAT_TREE)
    refused(tmp_path / "photo", r"did you mean photos\?")


def test_nothing_at_all_is_not_the_current_folder():
    refused("", "'': no such data set")


def test_a_file_of_another_kind_is_not_a_data_set(build):
    refused(build(FLAT_TREE) / "cat" / "0.png", r"is a file; expected a folder .* \.csv, \.parquet")


def test_a_scheme_is_one_in_text_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("csv:absent", "absent: cannot be read")
    refused(Path("csv:absent"), "'csv:absent': no such data set")
    refused("./csv:absent", "no such data set; .* others begin with arrays:, csv:, parquet:")


def test_one_class_is_not_enough(build):
    refused(build({"cat": 3}), "one class only, cat; a classifier needs two or more")
    refused(build({"train/cat": 3}, name="parts"), "one class only, cat")


def test_a_class_that_train_lacks_is_named(build):
    root = build({**PARTS_TREE, "val/emu": 1, "val/fox": 1})
    refused(root, "val has classes without an image to train on: emu, fox")


def test_a_record_that_holds_out_a_whole_class_is_refused(build):
    record = {"method": "seeded", "seed": 0, "fraction": 0.2, "test": ["emu/0.png", "emu/1.png"]}
    refused(build(FLAT_TREE), "test has classes without an image to train on: emu", split=record)


def test_without_train_there_is_nothing_to_train_on(build):
    refused(
        build({"val/cat": 1, "test/cat": 1}),
        "there is val, test but no train, .* add the same class folders below train/",
    )


def test_single_images_leave_none_to_test_on(build):
    refused(build({"cat": 1, "dog": 1}), "a single image in every class leaves none to test on")


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed, build):
    refused(build(FLAT_TREE), "expected 0…4294967295", seed=seed)


# ---- to evaluate on ----


def test_any_flat_folder_is_evaluated_on_as_a_whole_by_class_name(build):
    root = build({"val/dog": 2, "val/cat": 1}) / "val"
    split = open_for_evaluation(root, classes=("emu", "dog", "cat"))
    assert split.name == "all"
    assert split.names == ("cat/0.png", "dog/0.png", "dog/1.png")
    assert split.labels.tolist() == [2, 1, 1]


def test_one_class_is_enough_to_evaluate_on(build):
    assert len(open_for_evaluation(build({"dog": 3}), classes=CLASSES)) == 3


def test_a_class_folder_that_the_classifier_does_not_know_is_named(build):
    root = build({"dog": 1, "fox": 1})
    with pytest.raises(DataError, match="was not trained on: fox; its 3 are cat, dog"):
        open_for_evaluation(root, classes=CLASSES)


def test_a_folder_with_parts_is_evaluated_on_test_else_val(build):
    root = build(PARTS_TREE)
    record = images.open(root).record()
    assert open_for_evaluation(root, classes=CLASSES, trained_on=record).name == "test"
    assert open_for_evaluation(root, classes=CLASSES, part="train").name == "train"
    shutil.rmtree(root / "test")
    assert open_for_evaluation(root, classes=CLASSES).name == "val"
    shutil.rmtree(root / "val")
    with pytest.raises(DataError, match="only a part to train on"):
        open_for_evaluation(root, classes=CLASSES)


def test_a_folder_with_parts_but_no_train_can_be_evaluated_on(build):
    root = build({"val/cat": 1, "test/dog": 2})
    assert open_for_evaluation(root, classes=CLASSES).names == ("test/dog/0.png", "test/dog/1.png")


def test_the_flat_folder_trained_on_is_evaluated_on_what_was_held_out(build, tmp_path):
    root = build(FLAT_TREE)
    trained = images.open(root, seed=3)
    record = through_json(trained.record())
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    for place in (root, elsewhere):
        split = open_for_evaluation(place, classes=trained.classes, trained_on=record)
        assert split.name == "test"
        assert split.names == trained.splits["test"].names
        np.testing.assert_array_equal(split.labels, trained.splits["test"].labels)
        part = open_for_evaluation(place, classes=CLASSES, trained_on=record, part="train")
        assert part.names == trained.splits["train"].names


def test_images_that_came_to_the_folder_trained_on_are_not_evaluated_on(build):
    root = build(FLAT_TREE)
    trained = images.open(root)
    build({"fox": 1})
    shutil.copy(root / "cat" / "0.png", root / "cat" / "new.png")
    split = open_for_evaluation(root, classes=CLASSES, trained_on=trained.record())
    assert split.names == trained.splits["test"].names


def test_a_held_out_image_missing_from_the_folder_trained_on_is_named(build):
    root = build(FLAT_TREE)
    trained = images.open(root)
    gone = trained.splits["test"].names[0]
    (root / gone).unlink()
    with pytest.raises(DataError, match=f"missing: {gone}"):
        open_for_evaluation(root, classes=CLASSES, trained_on=trained.record())


def test_other_images_under_the_recorded_relative_path_are_other_data(build, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    build(FLAT_TREE, name="here/photos")
    build(FLAT_TREE, name="elsewhere/photos")
    monkeypatch.chdir(tmp_path / "here")
    trained = images.open("photos")
    record = through_json(trained.record())
    for number, name in enumerate(sorted(tmp_path.glob("elsewhere/photos/*/*.png"))):
        Image.new("RGB", (9, 9 + number)).save(name)
    monkeypatch.chdir(tmp_path / "elsewhere")
    split = open_for_evaluation("photos", classes=CLASSES, trained_on=record)
    assert split.name == "all"
    held = trained.splits["test"].names
    shutil.copy(tmp_path / "here" / "photos" / held[0], tmp_path / "elsewhere" / "photos" / held[0])
    split = open_for_evaluation("photos", classes=CLASSES, trained_on=record)
    assert (split.name, split.names) == ("test", held)
    del record["split"]["known"]  # of a card that has no such thing the path decides
    shutil.rmtree("photos")
    shutil.copytree(tmp_path / "here" / "photos", "photos")
    assert open_for_evaluation("photos", classes=CLASSES, trained_on=record).name == "test"


def test_another_flat_folder_is_evaluated_on_as_a_whole(build):
    record = images.open(build(FLAT_TREE)).record()
    other = build({"cat": 4}, name="other")
    for trained_on in (record, {}, None, {"uri": "digits", "fingerprint": "0"}):
        assert len(open_for_evaluation(other, classes=CLASSES, trained_on=trained_on)) == 4


def test_a_flat_folder_not_trained_on_has_no_parts(build):
    with pytest.raises(DataError, match="no part 'test'; there is all"):
        open_for_evaluation(build(FLAT_TREE), classes=CLASSES, part="test")


def test_the_digits_trained_on_are_evaluated_on_what_was_held_out():
    trained = images.open("digits:3")
    for uri in ("digits", "digits:3"):
        split = open_for_evaluation(uri, classes=trained.classes, trained_on=trained.record())
        assert split.names == trained.splits["test"].names
    with pytest.raises(DataError, match="digits:4: the recorded split has seed 3"):
        open_for_evaluation("digits:4", classes=trained.classes, trained_on=trained.record())


def test_the_digits_not_trained_on_are_evaluated_on_their_test_part():
    backwards = tuple("9876543210")
    split = open_for_evaluation("digits", classes=backwards)
    expected = images.open("digits").splits["test"]
    assert split.names == expected.names
    np.testing.assert_array_equal(split.labels, 9 - expected.labels)
