"""Images to find the ranges of a classifier's values with, and others to measure it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError, InputError
from convforge.images.decoding import BATCH, read_batches
from convforge.images.source import open_for_evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convforge.card import Card
    from convforge.compiler.ir.graph import Array
    from convforge.images.dataset import Split

CALIBRATION, MEASURED = 128, 5000  # images at most
FEWEST = 2


@dataclass(frozen=True)
class Examples:
    """`calibration` and `held_out` have no image in common."""

    uri: str
    calibration: Split
    held_out: Split


def open_examples(uri: str, card: Card) -> Examples:
    """From a URI as `evaluate` takes one.

    Calibrated with "train" where there is such a part, measured on what `evaluate` would take;
    where there is one part alone, every second of its images is for the one, others for the other.
    Raises DataError as `open_for_evaluation` does; InputError where there are fewer than two.
    """
    measured = open_for_evaluation(uri, classes=card.classes, trained_on=card.data)
    try:
        trained = open_for_evaluation(uri, classes=card.classes, trained_on=card.data, part="train")
    except DataError:
        trained = measured
    if len(measured) < FEWEST:
        raise InputError(
            f"int8: {uri} has {len(measured)} images to calibrate with and to measure on; give "
            "some hundreds"
        )
    rows = np.arange(len(measured))
    if trained.name == measured.name:
        return Examples(
            uri,
            _some(measured, rows[1::2], most=CALIBRATION),
            _some(measured, rows[::2], most=MEASURED),
        )
    return Examples(
        uri,
        _some(trained, np.arange(len(trained)), most=CALIBRATION),
        _some(measured, rows, most=MEASURED),
    )


def network_inputs(part: Split, card: Card) -> Iterator[Array]:
    """What the network gets of each image that can be read, float32 [1, C, H, W]."""
    for images, _rows, _unusable in read_batches(part, BATCH, preprocess=card.preprocess):
        for image in images:
            yield card.preprocess(image)[None]


def _some(part: Split, rows: np.ndarray[tuple[int], np.dtype[np.int64]], *, most: int) -> Split:
    """Evenly spaced ones: classes follow each other in most collections."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
    return part.select(chosen.tolist())
