from __future__ import annotations

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from convforge import images
from convforge.errors import DataError
from convforge.images import shards
from convforge.images.decoding import decode_part
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess

PREPROCESS = Preprocess(resize=4, crop=(4, 4), mean=(0.0,) * 3, std=(1.0,) * 3)


def png(seed, *, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def shard(path, members, **options):
    """A tar file of (name, content) in that order."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, options.pop("mode", "w"), **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(*labels, first=0):
    for i, label in enumerate(labels, start=first):
        yield f"{i:04d}.cls", label.encode()
        yield f"{i:04d}.png", png(i)


@pytest.fixture
def photos(tmp_path):
    """Two shards to train on, one to test on, as a pattern."""
    shard(tmp_path / "train-0.tar", samples("cat", "dog", "cat"))
    shard(tmp_path / "train-1.tar", samples("dog", first=3))
    shard(tmp_path / "test-0.tar", samples("dog"))
    return f"shards:{tmp_path}/{{train-0,train-1,test-0}}.tar"


def test_shards_open_by_a_pattern_with_their_parts(photos):
    data = images.open(photos)
    assert data.classes == ("cat", "dog")
    assert data.splits["train"].names == (
        "train-0.tar/0000.png",
        "train-0.tar/0001.png",
        "train-0.tar/0002.png",
        "train-1.tar/0003.png",
    )
    assert data.splits["train"].labels.tolist() == [0, 1, 0, 1]
    assert data.splits["test"].labels.tolist() == [1]
    assert data.channels == 3


def test_every_member_is_the_image_it_was(photos):
    part = images.open(photos).splits["train"]
    for i in range(4):
        expected = decode(Image.open(io.BytesIO(png(i))))
        np.testing.assert_array_equal(part.load(i), expected)
    copy = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(copy.load(3), part.load(3))


def test_shards_have_the_fingerprint_of_the_folder_with_the_same_files(photos, tmp_path):
    for i, place in enumerate(["train/cat/a", "train/dog/b", "train/cat/c", "train/dog/d"]):
        path = tmp_path / "folder" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    (tmp_path / "folder" / "test" / "dog").mkdir(parents=True)
    (tmp_path / "folder" / "test" / "dog" / "0.png").write_bytes(png(0))
    assert images.open(photos).fingerprint == images.open(tmp_path / "folder").fingerprint


def test_a_shard_without_a_part_is_split_and_evaluated_on_what_was_held_out(tmp_path):
    path = shard(tmp_path / "photos.tar", samples(*["cat", "dog"] * 5))
    data = images.open(path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 8, "test": 2}
    part = images.open_for_evaluation(path, classes=data.classes, trained_on=data.record())
    assert part.names == data.splits["test"].names


def test_labels_may_be_in_json_and_numbers_into_a_list(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\nemu\n")
    members = [
        ("a.json", json.dumps({"label": 2, "caption": "…"}).encode()),
        ("a.jpg", png(0)),
        ("b.jpg", png(1)),
        ("b.txt", b"passed over"),
        ("b.cls", b"0\n"),
    ]
    path = shard(tmp_path / "train.tar", members)
    data = images.open(f"shards:{path}?classes={tmp_path}/names.txt")
    assert data.classes == ("cat", "emu")
    assert data.splits["train"].labels.tolist() == [1, 0]
    assert images.open(f"shards:{path}").classes == ("0", "2")


def test_keys_end_at_the_first_dot_of_their_last_piece(tmp_path):
    members = [("v1.0/a.x.png", png(0)), ("v1.0/a.cls", b"cat"), ("v1.0/a.jpg", png(1))]
    path = shard(tmp_path / "train.tar", [*members, ("b.cls", b"dog"), ("b.JPG", png(2))])
    assert images.open(path).splits["train"].names == ("train.tar/v1.0/a.jpg", "train.tar/b.JPG")


def test_the_order_of_a_samples_members_does_not_matter(tmp_path):
    members = [("a.png", png(0)), ("b.png", png(1)), ("a.cls", b"cat"), ("b.cls", b"dog")]
    assert images.open(shard(tmp_path / "train.tar", members)).classes == ("cat", "dog")


def test_a_damaged_member_is_a_bad_image_named_with_its_shard(tmp_path):
    members = [*samples("cat", "dog"), ("x.cls", b"cat"), ("x.png", b"text")]
    path = shard(tmp_path / "train.tar", members)
    [bad] = decode_part(images.open(path).splits["train"], PREPROCESS).bad
    assert bad.name == "train.tar/x.png"
    assert bad.reason.startswith(f"{path}: x.png: is not an image")


# ---- what is refused ----


def refused(path, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        images.open(path, **options)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.cls", b"cat")], "a: 0 images among .cls; expected one a key, such as a.jpg"),
        ([("a.png", b""), ("a.jpg", b""), ("a.cls", b"x")], "a: 2 images among .cls, .jpg, .png"),
        ([("a.png", b"")], "a: no label among .png; expected a.cls, or a.json"),
        ([("a.png", b""), ("a.json", b"{}")], r"a\.json: no label can be read"),
        ([("a.png", b""), ("a.json", b"[1]")], r"a\.json: no label can be read"),
        ([("a.png", b""), ("a.json", b'{"label": 1.5}')], r"a\.json: label 1.5; expected a class"),
        ([("a.png", b""), ("a.json", b'{"label": true}')], r"a\.json: label True; expected"),
        ([("a.png", b""), ("a.cls", b" ")], r"a\.cls: label ''; expected a class name"),
        ([("a.png", b""), ("a.cls", b"\xff")], r"a\.cls: no label can be read"),
        ([("a.png", b""), ("a.png", b"")], r"a\.png: there twice"),
    ],
)
def test_what_is_no_sample_is_refused_by_name(members, message, tmp_path):
    refused(shard(tmp_path / "train.tar", members), message)


def test_a_number_beyond_the_list_of_classes_is_refused(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog")
    path = shard(tmp_path / "train.tar", samples("0", "2"))
    with pytest.raises(DataError, match=r"0001\.cls: label 2; expected a number from 0 to 1"):
        images.open(f"shards:{path}?classes={tmp_path}/names.txt")


def test_members_over_the_bounds_are_refused(tmp_path, monkeypatch):
    path = shard(tmp_path / "train.tar", samples("cat", "dog"))
    monkeypatch.setattr(shards, "MAX_IMAGE_BYTES", 100)
    refused(path, r"0000\.png: [0-9]+ bytes; expected at most 100")
    monkeypatch.setattr(shards, "MAX_IMAGE_BYTES", 10_000)
    monkeypatch.setattr(shards, "MAX_LABEL_BYTES", 2)
    refused(path, r"0000\.cls: 3 bytes; expected at most 2")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused_and_names_are_never_paths(kind, tmp_path):
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("../../a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    refused(path, r"\.\./\.\./a\.png: a link or device; expected plain files")
    outside = [("../../evil.png", png(0)), ("../../evil.cls", b"cat"), *samples("dog")]
    data = images.open(shard(tmp_path / "in" / "train.tar", outside))
    assert len(data.splits["train"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "train.tar"]


@pytest.mark.parametrize("lost", [1, 5_000, 10_300, 12_000])
def test_a_shard_that_was_cut_short_is_refused(lost, tmp_path):
    path = shard(tmp_path / "train.tar", samples("cat", "dog"))
    content = path.read_bytes()
    last = content.rstrip(b"\0")
    end = len(last) + (-len(last)) % 512
    path.write_bytes(content[: max(0, end - lost)])
    refused(path, "cut short|damaged")


def test_a_shard_cut_between_two_members_is_refused(tmp_path):
    path = shard(tmp_path / "train.tar", samples("cat", "dog"))
    with tarfile.open(path) as tar:
        end = tar.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:end])
    refused(path, "cut short, its end is missing")


def test_a_compressed_shard_is_refused(tmp_path):
    path = shard(tmp_path / "train.tar", samples("cat", "dog"), mode="w:gz")
    refused(path, "compressed, or damaged .* expected one that is not compressed")


def test_a_shard_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="2 of 2 files are not there"):
        images.open(f"shards:{tmp_path}/{{0..1}}.tar")
