"""Occlusion: the picture is covered patch by patch, and what that costs a class is written down.

Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2.
It asks the model for probabilities and for nothing else, so a compiled artifact is explained as a
classifier is, without torch. `serving/page/evidence.js` is the same definition in the browser:

    the part of the picture that the preprocessing keeps is divided into cells, PATCHES along its
    shorter side; a patch is OVERLAP x OVERLAP cells, moved by one; it is filled with the picture's
    mean colour; a cell gets the mean of what the patches over it cost

    drop = max(0, p(class | picture) - p(class | picture with the patch covered))
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from convforge.images.preprocess import Preprocess

    Progress: TypeAlias = Callable[[int, int, str], object]
    Span: TypeAlias = tuple[float, float]  # where it begins, how long it is; in pixels

PATCHES = 9  # along the shorter side of what the network sees
OVERLAP = 2  # patches that cover a place, in each direction
MOST_PATCHES = 4096  # of a picture that the preprocessing squeezes
AT_A_TIME = 32  # covered pictures that are kept in memory and computed together


class Predicts(Protocol):
    """What can be explained by occlusion, as `Classifier` and `Runtime` can."""

    @property
    def preprocess(self) -> Preprocess:
        """From an image to the network's input."""

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """float32 [N, K] of RGB images uint8 [H, W, 3]."""


def drops(
    model: Predicts,
    image: NDArray[np.uint8],
    *,
    index: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Probability that the class `index` loses where a cell is covered, float32 [rows, columns].

    `image` is RGB, uint8 [H, W, 3]; the rows and columns divide the part of it that the network
    sees, at least PATCHES each. A picture whose short side is over twice the preprocessing's is
    made that small first. Raises DataError where the preprocessing refuses the image, InputError
    where the part seen is so long that it would take over MOST_PATCHES patches.
    """
    image = _shrunk(image, model.preprocess)
    across, down = _part_seen(model.preprocess, height=image.shape[0], width=image.shape[1])
    step = min(across[1], down[1]) / PATCHES
    columns, rows = _nearest(across[1] / step), _nearest(down[1] / step)
    grid = np.zeros((rows, columns))
    places = [*itertools.product(_runs(rows), _runs(columns))]
    if len(places) > MOST_PATCHES:
        raise InputError(
            f"occlusion: an image of {image.shape[1]}x{image.shape[0]} pixels takes {len(places)} "
            f"patches, over the limit of {MOST_PATCHES}; crop it to a shape nearer to a square"
        )
    whole = float(model.probabilities([image])[0, index])
    grey = _mean_colour(image)
    for start in range(0, len(places), AT_A_TIME):
        batch = places[start : start + AT_A_TIME]
        covered = [
            _covered(image, _pixels(row, down, rows), _pixels(column, across, columns), grey)
            for row, column in batch
        ]
        left = model.probabilities(covered)[:, index]
        for (row, column), probability in zip(batch, left.tolist(), strict=True):
            grid[slice(*row), slice(*column)] += max(0.0, whole - probability) / OVERLAP**2
        if progress is not None:
            progress(start + len(batch), len(places), "covering the picture patch by patch")
    return grid.astype(np.float32)


def _runs(cells: int) -> list[tuple[int, int]]:
    """The cells that each patch covers along one side: those at the border reach beyond it."""
    return [(max(0, i - OVERLAP + 1), min(cells, i + 1)) for i in range(cells + OVERLAP - 1)]


def _pixels(run: tuple[int, int], part: Span, cells: int) -> slice:
    begin, length = part
    return slice(*(_nearest(begin + cell * length / cells) for cell in run))


def _covered(
    image: NDArray[np.uint8], rows: slice, columns: slice, colour: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    covered = image.copy()
    covered[rows, columns] = colour
    return covered


def _part_seen(preprocess: Preprocess, *, height: int, width: int) -> tuple[Span, Span]:
    """(across, down) of what the preprocessing keeps, in pixels of the picture."""
    resized = preprocess.resized_size(height=height, width=width)

    def span(whole: int, kept: int, pixels: int) -> Span:
        return (whole - kept) / 2 / whole * pixels, kept / whole * pixels

    return (
        span(resized[1], preprocess.crop[1], width),
        span(resized[0], preprocess.crop[0], height),
    )


def _shrunk(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """The picture with a short side of at most twice the resize's longest side."""
    resize = preprocess.resize
    longest = resize if isinstance(resize, int) else max(resize)
    scale = 2 * longest / min(image.shape[:2])
    if scale >= 1:
        return image
    from PIL import Image  # noqa: PLC0415  (an artifact does without)

    size = (_nearest(image.shape[1] * scale), _nearest(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _mean_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Sums of integers, so that the mean is the browser's to the bit.
    sums = image.reshape(-1, 3).sum(axis=0, dtype=np.uint64).tolist()
    count = image.shape[0] * image.shape[1]
    return np.array([_nearest(total / count) for total in sums], np.uint8)


def _nearest(value: float) -> int:
    """The whole number that is nearest; of two the larger, as JavaScript's Math.round."""
    return math.floor(value + 0.5)
