from __future__ import annotations

import os
import re
import shutil
import unicodedata

import pytest

from convforge.errors import DataError
from convforge.images.collection import UNREADABLE, read_content
from convforge.images.dataset import FLAT
from convforge.images.folder import SUFFIXES, read_folder

FLAT_TREE = {"cat": 3, "dog": 2}
PARTS_TREE = {"train/cat": 2, "train/dog": 1, "val/cat": 1, "test/dog": 1}


def names(folder, part=FLAT):
    return [file.name for file in folder.parts[part]]


def fingerprint(root):
    return read_content(read_folder(root)).fingerprint


# ---- layouts ----


def test_a_flat_folder_has_one_part_in_sorted_order(build):
    folder = read_folder(build({"dog": 1, "cat": 2, "10": 1, "2": 1}))
    assert list(folder.parts) == [FLAT]
    assert names(folder) == ["10/0.png", "2/0.png", "cat/0.png", "cat/1.png", "dog/0.png"]
    assert [file.label for file in folder.entries] == ["10", "2", "cat", "cat", "dog"]


def test_a_folder_with_parts_has_them_by_name(build):
    folder = read_folder(build(PARTS_TREE))
    assert list(folder.parts) == ["train", "val", "test"]
    assert names(folder, "train") == ["train/cat/0.png", "train/cat/1.png", "train/dog/0.png"]
    assert names(folder, "test") == ["test/dog/0.png"]


def test_validation_is_val(build):
    folder = read_folder(build({"train/cat": 1, "validation/cat": 1}))
    assert names(folder, "val") == ["validation/cat/0.png"]


def test_a_class_may_be_called_train_beside_other_classes(build):
    folder = read_folder(build({"train": 2, "bus": 1, "car": 1}))
    assert list(folder.parts) == [FLAT]
    assert {file.label for file in folder.entries} == {"train", "bus", "car"}


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_images_are_known_by_their_suffix_in_either_case(suffix, build):
    root = build({"cat": 1})
    (root / "cat" / f"x{suffix}").write_bytes(b"")
    (root / "cat" / f"y{suffix.upper()}").write_bytes(b"")
    assert len(read_folder(root).entries) == 3


def test_what_the_desktop_leaves_behind_is_passed_over(build):
    root = build({"cat": 1, ".ipynb_checkpoints": 1, "__MACOSX": 1})
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "cat/._0.png"):
        (root / name).write_bytes(b"x")
    (root / "cat" / ".ipynb_checkpoints").mkdir()
    assert names(read_folder(root)) == ["cat/0.png"]


def test_other_files_beside_class_folders_are_passed_over(build):
    root = build(PARTS_TREE)
    (root / "README.md").write_text("about")
    (root / "train" / "labels.csv").write_text("a,b")
    assert len(read_folder(root).entries) == 5


def test_a_link_to_a_class_folder_elsewhere_is_followed(build, tmp_path):
    root, elsewhere = build({"cat": 1}), build({"dog": 2}, name="elsewhere")
    (root / "dog").symlink_to(elsewhere / "dog")
    assert names(read_folder(root)) == ["cat/0.png", "dog/0.png", "dog/1.png"]


def test_names_decomposed_by_macos_are_the_composed_ones(build):
    name = "고양이"
    decomposed = unicodedata.normalize("NFD", name)
    assert decomposed != name
    folder = read_folder(build({decomposed: 1}))
    assert names(folder) == [f"{name}/0.png"]
    assert folder.entries[0].place.is_file()


# ---- layouts that are refused ----


def refused(root, message):
    with pytest.raises(DataError, match=message) as caught:
        read_folder(root)
    assert str(root) in str(caught.value)


def test_an_empty_folder_is_refused(build):
    refused(build({}), "no class folders; expected one folder a class")


def test_a_part_without_class_folders_is_refused(build):
    root = build({"train/cat": 1})
    (root / "test").mkdir()
    refused(root, "test: no class folders")


@pytest.mark.parametrize("tree", [{"cat": 1, "dog": 0}, {"train/cat": 1, "val/dog": 0}])
def test_a_class_folder_without_images_is_named(tree, build):
    refused(build(tree), "dog: a class folder without images")


def test_a_class_folder_with_only_hidden_files_has_no_images(build):
    root = build({"cat": 1, "dog": 0})
    (root / "dog" / ".gitkeep").write_bytes(b"")
    refused(root, "dog: a class folder without images")


def test_files_that_are_not_images_are_named_the_first_ten_and_the_count(build):
    root = build({"cat": 1})
    for i in range(12):
        (root / "cat" / f"{i:02d}.txt").write_text("x")
    refused(root, r"cat: 12 files that are not images: 00\.txt, .*09\.txt and 2 more; expected")


def test_images_outside_of_a_class_folder_are_named(build):
    root = build(FLAT_TREE)
    shutil.copy(root / "cat" / "0.png", root / "loose.PNG")
    refused(root, r"images outside of a class folder: loose\.PNG")


def test_only_images_and_no_folders_are_refused(build):
    root = build({"cat": 2})
    refused(root / "cat", r"images outside of a class folder: 0\.png, 1\.png")


def test_images_directly_in_train_and_test_are_refused(build):
    refused(build({"train": 2, "test": 2}), "images outside of a class folder: 0.png, 1.png")


def test_folders_in_a_class_folder_are_named(build):
    refused(build({"cat": 1, "cat/kitten": 1}), "cat: a class folder that holds folders: kitten")


def test_a_data_set_one_folder_further_down_is_refused(build):
    refused(build({"data/train/cat": 1, "data/test/cat": 1}), "data: .* holds folders: test, train")


def test_folders_beside_the_parts_are_named(build):
    root = build({**PARTS_TREE, "raw": 1})
    refused(
        root, r"folders beside test/ that are no parts of a data set: raw; expected only train/"
    )


def test_val_and_validation_together_are_refused(build):
    refused(build({"train/cat": 1, "val/cat": 1, "validation/cat": 1}), "both val/ and validation/")


def test_a_link_that_leads_back_does_not_hang(build):
    root = build(FLAT_TREE)
    (root / "loop").symlink_to(root)
    refused(root, "loop: a class folder that holds folders: cat, dog, loop")


def test_a_link_to_itself_is_an_image_that_cannot_be_read(build):
    root = build(FLAT_TREE)
    (root / "cat" / "9.png").symlink_to(root / "cat" / "9.png")
    folder = read_folder(root)
    assert read_content(folder).digests["cat/9.png"] == UNREADABLE
    with pytest.raises(DataError, match=r"cat/9\.png: cannot be read \(Too many levels"):
        folder.reader.read(root / "cat" / "9.png")


@pytest.mark.parametrize("place", ["dog", "train/dog", "val"])
def test_a_broken_link_that_may_have_been_a_class_or_a_part_is_refused(place, build):
    root = build({"train/cat": 1, "train/emu": 1})
    (root / place).symlink_to(root / "gone")
    refused(root, f"links that lead nowhere: {place.rpartition('/')[2]}; mend or remove them")


def test_two_folders_of_the_same_name_in_two_unicode_forms_are_refused(build):
    root = build({unicodedata.normalize(form, "é"): 1 for form in ("NFC", "NFD")})
    refused(root, "names that differ only in their Unicode form: é")


def test_two_files_of_the_same_name_in_two_unicode_forms_are_refused(build):
    root = build({"cat": 1})
    for form in ("NFC", "NFD"):
        (root / "cat" / unicodedata.normalize(form, "é.png")).write_bytes(b"")
    refused(root, r"names that differ only in their Unicode form: cat/é\.png")


@pytest.mark.parametrize("place", [b"", b"cat/"])
def test_a_name_that_is_not_unicode_is_refused(place, build):
    root = build(FLAT_TREE)
    (root / os.fsdecode(place) / os.fsdecode(b"\xff.png")).touch()
    refused(root, re.escape(r"the name b'\xff.png' is not Unicode"))


def test_a_folder_that_cannot_be_listed_is_refused(build, monkeypatch):
    root = build(FLAT_TREE)

    def locked(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", locked)
    refused(root, r"cannot be read \(Permission denied\)")


# ---- content ----


def test_the_place_and_the_names_of_the_files_are_not_content(build, tmp_path):
    root = build(FLAT_TREE)
    before = fingerprint(root)
    moved = root.rename(tmp_path / "elsewhere")
    (moved / "cat" / "0.png").rename(moved / "cat" / "z.png")
    assert fingerprint(moved) == before
    assert re.fullmatch(r"[0-9a-f]{64}", before)


def test_bytes_classes_counts_and_parts_are_content(build):
    root = build(PARTS_TREE)
    seen = {fingerprint(root)}

    def changed():
        found = fingerprint(root)
        new = found not in seen
        seen.add(found)
        return new

    with (root / "train/cat/0.png").open("ab") as file:
        file.write(b"\0")
    assert changed()
    shutil.copy(root / "train/cat/0.png", root / "train/cat/again.png")
    assert changed()
    (root / "train/cat/again.png").rename(root / "train/dog/again.png")
    assert changed()
    (root / "train/dog/again.png").rename(root / "val/cat/again.png")
    assert changed()
    (root / "train/cat").rename(root / "train/lion")
    assert changed()


def test_a_flat_folder_and_the_same_as_train_are_two_contents(build):
    flat, parts = build(FLAT_TREE), build({"train/cat": 0}, name="parts")
    shutil.copytree(flat, parts / "train", dirs_exist_ok=True)
    assert fingerprint(flat) != fingerprint(parts)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("LA", 1), ("RGB", 3)])
def test_channels_are_one_only_if_every_header_says_grey(mode, channels, build):
    root = build(FLAT_TREE, mode=mode)
    assert read_content(read_folder(root)).channels == channels
    build({"emu": 1})
    assert read_content(read_folder(root)).channels == 3


def test_a_damaged_header_says_nothing_about_the_channels(build):
    root = build(FLAT_TREE, mode="L")
    (root / "cat" / "empty.png").write_bytes(b"")
    assert read_content(read_folder(root)).channels == 1


def test_a_file_that_cannot_be_read_has_no_digest_and_says_so_when_it_is_read(build, tmp_path):
    root = build(FLAT_TREE)
    (root / "cat" / "a.png").symlink_to(tmp_path / "gone")
    os.mkfifo(root / "dog" / "b.png")
    folder = read_folder(root)
    digests = read_content(folder).digests
    assert [name for name in digests if digests[name] == UNREADABLE] == ["cat/a.png", "dog/b.png"]
    for name, message in (("cat/a.png", "no such file"), ("dog/b.png", "is not a file")):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            folder.reader.read(root / name)


def test_reading_reports_its_progress_up_to_the_end(build, monkeypatch):
    monkeypatch.setattr("convforge.images.collection._CHUNK", 2)
    calls = []
    read_content(read_folder(build(FLAT_TREE)), progress=lambda *call: calls.append(call))
    assert calls == [(n, 5, "reading images") for n in (2, 4, 5)]
