from __future__ import annotations

from pathlib import Path

import pytest

from convforge.errors import DataError
from convforge.images.dataset import FLAT
from convforge.images.uri import by_part, expand, read_classes, short_names, split_options

KNOWN = ("root", "classes")


@pytest.mark.parametrize(
    ("text", "place", "options"),
    [
        ("CIFAR10", "CIFAR10", {}),
        ("CIFAR10?root=/data", "CIFAR10", {"root": "/data"}),
        ("a?b/c.tar?root=x&classes=n.txt", "a?b/c.tar", {"root": "x", "classes": "n.txt"}),
        ("what?", "what?", {}),
        ("x?root=a=b", "x", {"root": "a=b"}),
    ],
)
def test_options_follow_the_last_question_mark(text, place, options):
    assert split_options(text, known=KNOWN) == (place, options)


@pytest.mark.parametrize("options", ["size=3", "root=", "root=a&root=b", "root=a&b"])
def test_an_option_that_is_not_known_is_refused(options):
    with pytest.raises(DataError, match="is not understood; expected root=… or classes=…"):
        split_options(f"x?{options}", known=KNOWN)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


def test_braces_count_and_list(tmp_path):
    names = [f"{part}-{i:02d}.tar" for part in ("train", "val") for i in range(8, 12)]
    touch(tmp_path, *names)
    found = expand(f"{tmp_path}/{{train,val}}-{{08..11}}.tar")
    assert [path.name for path in found] == names
    assert expand(f"{tmp_path}/val-08.tar") == [tmp_path / "val-08.tar"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{00..02}.tar", r"2 of 3 files are not there: .*01\.tar, .*02\.tar; check the path"),
        ("{5..2}.tar", "counts down"),
        ("{x}.tar", r"\{x\} is not understood; expected \{00..99\} or \{a,b\}"),
        ("{0..9999999}.tar", "stands for over 1,000,000 files"),
        ("{0..99999}{0..99}.tar", "stands for 10,000,000 files"),
    ],
)
def test_a_pattern_without_its_files_is_refused(pattern, message, tmp_path):
    touch(tmp_path, "00.tar")
    with pytest.raises(DataError, match=message):
        expand(f"{tmp_path}/{pattern}")


def parts_of(*names):
    found = by_part([Path("data") / name for name in names], origin="photos")
    return {part: [path.name for path in paths] for part, paths in found.items()}


def test_a_part_is_a_word_of_the_name_or_the_name_of_the_folder():
    assert parts_of("photos-Train-0.tar", "test_1.tar", "validation.0.tar") == {
        "train": ["photos-Train-0.tar"],
        "val": ["validation.0.tar"],
        "test": ["test_1.tar"],
    }
    assert parts_of("val/00.tar", "train/00.tar") == {"train": ["00.tar"], "val": ["00.tar"]}
    assert parts_of("trains.tar", "latest.tar") == {FLAT: ["trains.tar", "latest.tar"]}


def test_files_of_two_parts_or_of_none_beside_others_are_refused():
    with pytest.raises(DataError, match=r"train-test\.tar: names two parts, test, train"):
        parts_of("train-test.tar")
    with pytest.raises(DataError, match=r"photos: of no part: data/0\.tar, beside others of train"):
        parts_of("0.tar", "train-0.tar")


def test_short_names_begin_below_the_common_folder(tmp_path):
    one, other = tmp_path / "train" / "0.tar", tmp_path / "val" / "0.tar"
    assert short_names([one, other]) == {one: "train/0.tar", other: "val/0.tar"}
    assert short_names([one]) == {one: "0.tar"}


def test_class_names_come_one_a_line(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("cat\nblack dog \n", encoding="utf-8")
    assert read_classes(str(file)) == ("cat", "black dog")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\ndog", ":2: is empty"),
        (b"cat\ndog\ncat", ":3: has 'cat' again"),
        (b"", ":1: is empty"),
        (b"\xff", "cannot be read as a list"),
    ],
)
def test_a_list_of_classes_that_is_none_is_refused(content, message, tmp_path):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"names\.txt{message}" if message[0] == ":" else message):
        read_classes(str(tmp_path / "names.txt"))
    with pytest.raises(DataError, match="cannot be read as a list"):
        read_classes(str(tmp_path / "absent.txt"))
