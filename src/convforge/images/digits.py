"""The digits of scikit-learn: 1,797 real scans of 8x8 pixels, from 43 people who wrote for NIST.

They need no download: scikit-learn brings them along. Values 0…16 become round(v·255/16).
Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository
(its test set).
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError, PackageError
from convforge.images.dataset import Images, Split
from convforge.images.holdout import (
    check_seed,
    recorded_test,
    recorded_val,
    seeded_record,
    with_val,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TEST_IMAGES = 450  # of 1,797: a quarter
CLASSES = tuple("0123456789")
_PREFIX = "digits/"  # of an image's name, before its number in four digits


def is_digits(uri: str | Path) -> bool:
    """Whether `uri` is "digits" or "digits:SEED"; a Path is a folder, also one of that name."""
    return isinstance(uri, str) and re.fullmatch(r"digits(:.*)?", uri) is not None


def open_digits(uri: str, *, split: Mapping[str, Any] | None = None, seed: int = 0) -> Images:
    """The digits, 1,347 to train on and 450 to test on, each class in proportion.

    The seed is the one in `uri`, else that of the record `split`, else `seed`. Raises DataError
    where `uri` and the record have two, and PackageError without scikit-learn.
    """
    named = _seed_in(uri)
    if split is not None and named is not None and split.get("seed") != named:
        raise DataError(
            f"{uri}: the recorded split has seed {split.get('seed')}, which the classifier was "
            "trained with; leave the seed out, or open the digits without the record"
        )
    scans = pixels, labels = _scans()
    names = [f"{_PREFIX}{i:04d}" for i in range(len(labels))]
    if split is not None:
        test = recorded_test(split, names, origin=uri)
        record = dict(split)
        seed = int(split["seed"])
    else:
        seed = named if named is not None else seed
        check_seed(seed)
        test = frozenset(names[i] for i in _draw_test(labels, seed=seed))
        record = seeded_record(test, seed=seed, fraction=0.25)

    images = Images(
        uri=f"digits:{seed}" if seed else "digits",
        classes=CLASSES,
        channels=1,
        splits={
            "train": _part("train", scans, names=[n for n in names if n not in test]),
            "test": _part("test", scans, names=sorted(test)),
        },
        fingerprint=hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest(),
        split_record=record,
    )
    return with_val(images, recorded_val(record, images.splits["train"].names, origin=uri))


def _seed_in(uri: str) -> int | None:
    _, colon, seed = uri.partition(":")
    if not colon:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", seed):
        raise DataError(
            f"{uri}: expected a whole number after the colon, as in digits:3, got {seed!r}"
        )
    return int(seed)


def _scans() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels uint8 [1797, 8, 8] and labels int64 [1797]."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - optional and slow to import
    except ImportError:
        raise PackageError(
            "digits: these images come with scikit-learn, which is not installed; "
            'pip install "convforge[train]"'
        ) from None
    scans = load_digits()
    return np.rint(scans.images * (255 / 16)).astype(np.uint8), scans.target.astype(np.int64)


def _draw_test(labels: NDArray[np.int64], *, seed: int) -> list[int]:
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - as load_digits

    rows = list(range(len(labels)))
    _, test = train_test_split(rows, test_size=TEST_IMAGES, stratify=labels, random_state=seed)
    return [int(i) for i in test]


def _part(
    name: str, scans: tuple[NDArray[np.uint8], NDArray[np.int64]], *, names: list[str]
) -> Split:
    rows = [int(n.removeprefix(_PREFIX)) for n in names]
    pixels, labels = scans
    return Split(
        name=name,
        names=tuple(names),
        labels=labels[rows],
        read=partial(_scan, pixels[rows]),
        digests=tuple(hashlib.sha256(pixels[row].tobytes()).digest() for row in rows),
    )


def _scan(grey: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    return np.repeat(grey[index][:, :, None], 3, axis=2)
