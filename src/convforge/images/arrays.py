"""Images that lie in arrays: IDX files (MNIST and its kin), CIFAR's binary files, torchvision's.

    train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-…       also .gz, also with a dot
    data_batch_1.bin … test_batch.bin  batches.meta.txt            CIFAR-10
    train.bin  test.bin  fine_label_names.txt                      CIFAR-100, its 100 fine classes

Formats: LeCun, Cortes and Burges, The MNIST database; Krizhevsky 2009, CIFAR's binary version.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError
from convforge.images.collection import Collection, Entry
from convforge.images.dataset import listing
from convforge.images.uri import read_classes, split_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_BYTES = 16_000_000_000  # of one file, unpacked

_IDX = re.compile(r"(train|t10k)-(images|labels)[-.]idx([13])-ubyte(\.gz)?")
_IDX_PARTS = {"train": "train", "t10k": "test"}
_CIFAR_10 = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
_CIFAR_100 = {"train": ("train.bin",), "test": ("test.bin",)}
_CIFAR_SIDE = 32


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Images that are rows of an array a part, uint8 [N, H, W] grey or [N, H, W, 3]."""

    arrays: Mapping[str, NDArray[np.uint8]]

    def read(self, place: tuple[str, int], *, short_side: int | None = None) -> NDArray[np.uint8]:
        """As `Reader.read`; always at full size."""
        del short_side
        part, row = place
        image = self.arrays[part][row]
        if image.ndim == 2:
            return np.repeat(image[:, :, None], 3, axis=2)
        return np.array(image)

    def digest(self, place: tuple[str, int]) -> tuple[bytes, bool | None]:
        """As `Reader.digest`, of the pixels and their shape."""
        part, row = place
        image = self.arrays[part][row]
        content = str(image.shape).encode() + image.tobytes()
        return hashlib.sha256(content).digest(), image.ndim == 2


def array_collection(
    arrays: Mapping[str, NDArray[np.uint8]],
    labels: Mapping[str, NDArray[np.int64]],
    *,
    origin: str,
    classes: Sequence[str],
) -> Collection:
    """Pixels and labels by part, as a collection; labels are indexes into `classes`.

    Raises DataError where there are not as many labels as images, or one has no class.
    """
    for part, pixels in arrays.items():
        if len(pixels) != len(labels[part]):
            raise DataError(
                f"{origin}: {len(pixels)} images and {len(labels[part])} labels of {part}; "
                "expected one an image"
            )
        beyond = np.flatnonzero((labels[part] < 0) | (labels[part] >= len(classes)))
        if len(beyond):
            row = int(beyond[0])
            raise DataError(
                f"{origin}: {part} image {row} has label {labels[part][row]}; expected 0 to "
                f"{len(classes) - 1}"
            )
    parts = {
        part: tuple(
            Entry(f"{part}/{row:05d}", classes[label], (part, row))
            for row, label in enumerate(labels[part].tolist())
        )
        for part in arrays
    }
    return Collection(
        origin=origin,
        where="the files of train",
        parts=parts,
        reader=ArrayReader(arrays),
        classes=tuple(classes),
    )


def has_arrays(folder: Path) -> bool:
    """Whether a folder holds IDX or CIFAR files, by their names."""
    return _has_idx(folder) or _cifar_files(folder) is not None


def read_arrays(text: str) -> Collection:
    """A folder of IDX or CIFAR files, with `?classes=FILE` to name the classes.

    Without names, IDX labels are their own: "0", "1", …. Raises DataError naming the file that is
    missing, damaged or cut short.
    """
    place, options = split_options(text, known=("classes",))
    folder = Path(place)
    classes = read_classes(options["classes"]) if options else ()
    if not folder.is_dir():
        raise DataError(f"{place}: no such folder; expected one of IDX or CIFAR files")
    if _has_idx(folder):
        return _read_idx(folder, classes)
    if (files := _cifar_files(folder)) is not None:
        return _read_cifar(folder, files, classes)
    raise DataError(
        f"{place}: no IDX files (train-images-idx3-ubyte, …) and no CIFAR files (data_batch_1.bin, "
        "…, or train.bin and test.bin)"
    )


def _has_idx(folder: Path) -> bool:
    return any(_IDX.fullmatch(path.name) for path in folder.iterdir())


def _read_idx(folder: Path, classes: Sequence[str]) -> Collection:
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir()):  # a file before the same one with .gz
        if name := _IDX.fullmatch(path.name):
            found.setdefault((_IDX_PARTS[name[1]], name[2]), path)
    parts = sorted({part for part, _ in found}, key=["train", "test"].index)
    missing = [
        f"{kind} of {p}" for p in parts for kind in ("images", "labels") if (p, kind) not in found
    ]
    if missing:
        raise DataError(f"{folder}: no IDX file of {listing(missing)}; add it")
    arrays = {part: _idx(found[part, "images"], dimensions=3) for part in parts}
    labels = {part: _idx(found[part, "labels"], dimensions=1).astype(np.int64) for part in parts}
    if not classes:
        most = max((int(one.max()) for one in labels.values() if len(one)), default=0)
        classes = [str(label) for label in range(most + 1)]
    return array_collection(arrays, labels, origin=str(folder), classes=classes)


def _idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Bytes 0, 0, 8 (uint8), dimensions; each dimension, big-endian uint32; values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(
                    f"{path}: begins with {header[:4].hex(' ')}; expected 00 00 08 "
                    f"{dimensions:02x}, an IDX file of bytes with {dimensions} dimensions"
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            count = int(np.prod(shape, dtype=object))
            if count > MAX_BYTES:
                raise DataError(f"{path}: {count:,} bytes; expected at most {MAX_BYTES:,}")
            content = file.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(content) != count:
        found = f"only {len(content):,}" if len(content) < count else "more"
        raise DataError(f"{path}: {count:,} values expected by its header, {found} found")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _cifar_files(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """File names by part, of those that are there; None where the folder has none of either."""
    for files in (_CIFAR_10, _CIFAR_100):
        parts = {part: names for part, names in files.items() if (folder / names[0]).is_file()}
        if parts:
            return parts
    return None


def _read_cifar(
    folder: Path, files: Mapping[str, Sequence[str]], classes: Sequence[str]
) -> Collection:
    fine = int(any(names == _CIFAR_100.get(part) for part, names in files.items()))
    arrays, labels = {}, {}
    for part, names in files.items():
        records = np.concatenate([_cifar(folder / name, labels=1 + fine) for name in names])
        labels[part] = records[:, fine].astype(np.int64)
        planes = records[:, 1 + fine :].reshape(-1, 3, _CIFAR_SIDE, _CIFAR_SIDE)
        arrays[part] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    if not classes:
        names_file = folder / ("fine_label_names.txt" if fine else "batches.meta.txt")
        classes = _cifar_names(names_file, count=100 if fine else 10)
    return array_collection(arrays, labels, origin=str(folder), classes=classes)


def _cifar(path: Path, *, labels: int) -> NDArray[np.uint8]:
    """Records of a file, uint8 [N, labels + 3072]: labels, then the planes red, green, blue."""
    size = labels + 3 * _CIFAR_SIDE**2
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) % size or not len(content):
        raise DataError(
            f"{path}: {len(content):,} bytes; expected a multiple of {size:,}, one record an image"
        )
    return content.reshape(-1, size)


def _cifar_names(file: Path, *, count: int) -> tuple[str, ...]:
    if not file.is_file():
        return tuple(str(label) for label in range(count))
    names = tuple(line for line in file.read_text(encoding="utf-8").split("\n") if line.strip())
    if len(names) != count or len(set(names)) != count:
        raise DataError(f"{file}: {len(names)} class names; expected {count}, one a line")
    return names
