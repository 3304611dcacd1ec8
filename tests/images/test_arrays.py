from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

from convforge import images
from convforge.errors import DataError

RNG = np.random.default_rng(0)
DIGITS = {"train": RNG.integers(0, 256, (12, 5, 4), np.uint8)}
DIGITS["t10k"] = RNG.integers(0, 256, (3, 5, 4), np.uint8)
LABELS = {"train": np.arange(12, dtype=np.uint8), "t10k": np.array([11, 0, 3], np.uint8)}


def idx(values):
    return (
        bytes((0, 0, 8, values.ndim))
        + struct.pack(f">{values.ndim}I", *values.shape)
        + (values.tobytes())
    )


@pytest.fixture
def mnist(tmp_path):
    """A folder of four IDX files; `pack` and `dot` change how they are called."""

    def write(*, pack=False, dot="-"):
        folder = tmp_path / "mnist"
        folder.mkdir()
        for part in ("train", "t10k"):
            for kind, values in (("images", DIGITS[part]), ("labels", LABELS[part])):
                content = idx(values)
                name = f"{part}-{kind}{dot}idx{values.ndim}-ubyte{'.gz' if pack else ''}"
                (folder / name).write_bytes(gzip.compress(content) if pack else content)
        return folder

    return write


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx_files_are_known_by_their_names(pack, dot, mnist):
    data = images.open(mnist(pack=pack, dot=dot))
    assert data.classes == tuple(str(i) for i in range(12))  # in the order of numbers
    assert data.channels == 1
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 12, "test": 3}
    assert data.splits["test"].labels.tolist() == [11, 0, 3]
    for part, name in (("train", "train"), ("t10k", "test")):
        for i, pixels in enumerate(DIGITS[part]):
            expected = np.repeat(pixels[:, :, None], 3, axis=2)
            np.testing.assert_array_equal(data.splits[name].load(i), expected)
    assert data.splits["test"].names == ("test/00000", "test/00001", "test/00002")


def test_packed_and_plain_idx_files_have_one_fingerprint(mnist, tmp_path):
    plain = images.open(mnist()).fingerprint
    (tmp_path / "mnist").rename(tmp_path / "plain")
    folder = mnist(pack=True)
    assert images.open(folder).fingerprint == plain
    path = folder / "train-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    assert images.open(folder).fingerprint != plain


def test_classes_can_be_named(mnist, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing {i}" for i in range(12)))
    data = images.open(f"arrays:{mnist()}?classes={names}")
    assert data.classes[10:] == ("thing 10", "thing 11")
    names.write_text("a\nb\nc")
    with pytest.raises(DataError, match="train image 3 has label 3; expected 0 to 2"):
        images.open(f"arrays:{tmp_path}/mnist?classes={names}")


def test_a_part_can_be_sent_to_another_process(mnist):
    part = images.open(mnist()).splits["train"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).load(2), part.load(2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"begins with ; expected 00 00 08 03"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with 00 00 0d 03"),
        (b"\0\0\x08\x01" + bytes(12), "begins with 00 00 08 01"),
        (idx(DIGITS["train"])[:-1], "240 values expected by its header, only 239 found"),
        (idx(DIGITS["train"]) + b"x", "240 values expected by its header, more found"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "bytes; expected at most 16,000,000,000"),
    ],
)
def test_a_damaged_idx_file_is_named(content, message, mnist):
    folder = mnist()
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte: .*{message}"):
        images.open(folder)


@pytest.mark.parametrize("lost", [1, 30, 100])
def test_a_packed_idx_file_that_was_cut_short_is_named(lost, mnist):
    path = mnist(pack=True) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(DataError, match=r"ubyte\.gz: cannot be read"):
        images.open(path.parent)


def test_idx_files_that_are_missing_or_do_not_match_are_named(mnist):
    folder = mnist()
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no IDX file of labels of test; add it"):
        images.open(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS["train"]))
    with pytest.raises(DataError, match="3 images and 12 labels of test"):
        images.open(folder)


# ---- CIFAR ----


def records(count, *, classes, fine):
    """(bytes, labels, pixels [N, 32, 32, 3]) of a file as the format's page describes it."""
    labels = RNG.permutation(np.arange(count) % classes).astype(np.uint8)
    pixels = RNG.integers(0, 256, (count, 32, 32, 3), np.uint8)
    rows = []
    for label, image in zip(labels, pixels, strict=True):
        before = bytes((7, label)) if fine else bytes((label,))
        rows.append(before + b"".join(image[:, :, c].tobytes() for c in range(3)))
    return b"".join(rows), labels, pixels


def test_cifar_10_is_its_five_batches_and_the_test_batch(tmp_path):
    names = [f"kind {i}" for i in range(10)]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    found = {name: records(30, classes=10, fine=False) for name in "12345t"}
    for name, (content, _, _) in found.items():
        file = "test_batch.bin" if name == "t" else f"data_batch_{name}.bin"
        (tmp_path / file).write_bytes(content)
    data = images.open(tmp_path)
    assert data.classes == tuple(names)
    assert data.channels == 3
    labels = np.concatenate([found[name][1] for name in "12345"])
    np.testing.assert_array_equal(data.splits["train"].labels, labels)
    np.testing.assert_array_equal(data.splits["train"].load(31), found["2"][2][1])
    np.testing.assert_array_equal(data.splits["test"].load(3), found["t"][2][3])


def test_cifar_100_has_its_fine_classes(tmp_path):
    for name in ("train.bin", "test.bin"):
        content, labels, pixels = records(200, classes=100, fine=True)
        (tmp_path / name).write_bytes(content)
    data = images.open(f"arrays:{tmp_path}")
    assert data.classes == tuple(str(i) for i in range(100))
    assert [data.classes[i] for i in data.splits["test"].labels[:9]] == [str(i) for i in labels[:9]]
    np.testing.assert_array_equal(data.splits["test"].load(5), pixels[5])


def test_a_cifar_file_of_another_length_is_named(tmp_path):
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(bytes(3073))
    with pytest.raises(DataError, match=r"train\.bin: 3,073 bytes; expected a multiple of 3,074"):
        images.open(tmp_path)
    (tmp_path / "fine_label_names.txt").write_text("one\ntwo")
    (tmp_path / "train.bin").write_bytes(bytes(3074))
    (tmp_path / "test.bin").write_bytes(bytes(3074))
    with pytest.raises(DataError, match="2 class names; expected 100"):
        images.open(tmp_path)


def test_a_missing_batch_is_named(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(DataError, match=r"data_batch_2\.bin: cannot be read"):
        images.open(tmp_path)


def test_a_folder_of_neither_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no IDX files .* and no CIFAR files"):
        images.open(f"arrays:{tmp_path}")
    with pytest.raises(DataError, match="no such folder"):
        images.open(f"arrays:{tmp_path}/absent")
