"""Where images come from: `open(uri)` gives a data set."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError, PackageError
from convforge.images.dataset import Images, Split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def open(  # noqa: A001 - `images.open` reads as the file of the same verb
    uri: str | Path, *, split: Mapping[str, Any] | None = None, seed: int = 0
) -> Images:
    """The data set at `uri`."""
    if uri == "digits":
        return _digits(seed=seed)
    raise DataError(f"no data set at {uri!r}")


def _digits(*, seed: int) -> Images:
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - optional and slow to import
        from sklearn.model_selection import train_test_split  # noqa: PLC0415
    except ImportError:
        raise PackageError(
            "the digits come with scikit-learn, which is not installed; "
            'pip install "convforge[train]"'
        ) from None
    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=450, stratify=labels, random_state=seed
    )

    def part(name: str, indices: NDArray[np.int64]) -> Split:
        indices = np.sort(indices)
        return Split(
            name=name,
            names=tuple(f"digits/{i:04d}" for i in indices),
            labels=labels[indices],
            read=lambda i: pixels[indices[i]],
        )

    splits = {"train": part("train", train), "test": part("test", test)}
    return Images(
        uri="digits",
        classes=tuple(str(d) for d in range(10)),
        channels=1,
        splits=splits,
        fingerprint=hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest(),
        split_record={
            "method": "seeded",
            "seed": seed,
            "fraction": 0.25,
            "test": list(splits["test"].names),
        },
    )
