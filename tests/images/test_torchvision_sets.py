"""Against torchvision's own classes, on small files in the published formats, without a network."""

from __future__ import annotations

import bz2
import hashlib
import pickle
import struct
import sys

import numpy as np
import pytest
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5

from convforge import images
from convforge.errors import DataError, PackageError
from convforge.images.torchvision_sets import SETS

RNG = np.random.default_rng(0)
CIFAR = {"CIFAR10": ("cifar-10-batches-py", 10, b"labels"), "CIFAR100": ("", 100, b"fine_labels")}


def idx(values):
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes((0, 0, 8, values.ndim)) + shape + values.tobytes()


def write_mnist(root, name, *, classes=10):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % classes
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            idx(RNG.integers(0, 256, (count, 28, 28), np.uint8))
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def write_cifar(root, name, monkeypatch):
    """Pickled batches, whose checksums take the place of the published ones."""
    kind = getattr(datasets, name)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    classes = 100 if name == "CIFAR100" else 10
    key = "fine_labels" if name == "CIFAR100" else "labels"

    def write(file, value):
        (folder / file).write_bytes(pickle.dumps(value))
        return [file, calculate_md5(folder / file)]

    for which in ("train_list", "test_list"):
        lists = []
        for file, _ in getattr(kind, which):
            data = RNG.integers(0, 256, (2 * classes, 3072), np.uint8)
            labels = [i % classes for i in range(2 * classes)]
            lists.append(write(file, {"data": data, key: labels}))
        monkeypatch.setattr(kind, which, lists)
    names = [f"kind {i}" for i in range(classes)]
    file, md5 = write(kind.meta["filename"], {kind.meta["key"]: names})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "filename": file, "md5": md5})


def held_against_torchvision(data, name, root):
    argument, values = SETS[name]
    for part, value in values.items():
        theirs = getattr(datasets, name)(root, **{argument: value})
        ours = data.splits[part]
        assert len(ours) == len(theirs)
        for i in range(len(theirs)):
            image, label = theirs[i]
            np.testing.assert_array_equal(ours.load(i), np.asarray(image.convert("RGB")))
            assert ours.labels[i] == label
        assert list(data.classes) == [str(c) for c in getattr(theirs, "classes", range(10))]


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist_and_its_kin_are_torchvisions(name, tmp_path):
    write_mnist(tmp_path, name)
    data = images.open(f"torchvision:{name}?root={tmp_path}")
    held_against_torchvision(data, name, tmp_path)
    assert data.channels == 1
    assert data.record()["split"] == {"method": "folders"}


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_is_torchvisions(name, tmp_path, monkeypatch):
    write_cifar(tmp_path, name, monkeypatch)
    data = images.open(f"torchvision:{name}?root={tmp_path}")
    held_against_torchvision(data, name, tmp_path)
    assert data.channels == 3


def test_usps_is_torchvisions(tmp_path, monkeypatch):
    split_list = {}
    for part in ("train", "test"):
        lines = [
            f"{i % 10 + 1} " + " ".join(f"{j + 1}:{RNG.uniform(-1, 1):.4f}" for j in range(256))
            for i in range(20)
        ]
        content = bz2.compress("\n".join(lines).encode())
        (tmp_path / f"usps-{part}.bz2").write_bytes(content)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        split_list[part] = ["https://invalid.invalid", f"usps-{part}.bz2", digest]
    monkeypatch.setattr(datasets.USPS, "split_list", split_list)
    data = images.open(f"torchvision:USPS?root={tmp_path}")
    held_against_torchvision(data, "USPS", tmp_path)


def test_a_set_under_the_cache_folder_needs_no_root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_mnist(tmp_path / "convforge" / "torchvision", "MNIST")
    assert len(images.open("torchvision:MNIST").splits["train"]) == 30


def test_a_set_with_the_pixels_of_idx_files_decodes_alike(tmp_path):
    write_mnist(tmp_path, "FashionMNIST")
    theirs = images.open(f"torchvision:FashionMNIST?root={tmp_path}").splits["test"]
    ours = images.open(tmp_path / "FashionMNIST" / "raw").splits["test"]
    assert theirs.digests == ours.digests


def test_what_cannot_be_had_says_where_it_may_be_put(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(datasets, "CIFAR10", offline)
    message = f"torchvision:CIFAR10: cannot be had .no network.; put its files under {tmp_path}"
    with pytest.raises(DataError, match=message):
        images.open(f"torchvision:CIFAR10?root={tmp_path}")


@pytest.mark.parametrize(
    ("name", "hint"), [("cifar10", "did you mean CIFAR10"), ("ImageNet", "open the folder")]
)
def test_another_set_is_refused(name, hint):
    with pytest.raises(DataError, match=f"no such set; there is CIFAR10, .*; {hint}"):
        images.open(f"torchvision:{name}")


def test_without_torchvision_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        images.open("torchvision:MNIST")
