"""Elastic distortion: an image pulled askew and rippled; float [H, W, 3] of 0…1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.images.corruptions.filters import smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.images.corruptions.filters import Pixels, Plane

_SIDE = 244 / 224  # the reference's constants are shares of 244 pixels, its images have 224


def elastic(x: Pixels, level: tuple[float, float, float], generator: np.random.Generator) -> Pixels:
    """An affine map that moves three points at random, then smooth random moves of every pixel.

    `level` is how much the pixels' moves are times, how smooth they are, and how far a point goes,
    each as a share of the shorter side. The first two severities hardly do more than the affine
    map, the last three hardly of it. The reference, for squares alone, rounds the places of the
    affine map to 1/32 pixel.
    """
    height, width = x.shape[:2]
    side = _SIDE * min(height, width)
    strength, sigma, jitter = (side * share for share in level)
    y, x_ = np.mgrid[:height, :width].astype(np.float64)
    rows, columns = _askew(y, x_, jitter, generator)
    image = _sampled(x, rows, columns, corner=1)
    draws = np.stack([generator.uniform(-1, 1, (height, width)) for _ in range(2)], axis=2)
    moves = strength * smoothed(draws, sigma, truncate=3, edges="symmetric")
    return _sampled(image, y + moves[:, :, 1], x_ + moves[:, :, 0], corner=0)


def _askew(
    y: Plane, x: Plane, jitter: float, generator: np.random.Generator
) -> tuple[Plane, Plane]:
    """Where each pixel comes from when three points move by up to `jitter` pixels."""
    height, width = y.shape
    reach = max(1, min(height, width) // 3)
    middle = np.array([width // 2, height // 2], float)
    before = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + generator.uniform(-jitter, jitter, before.shape)
    back = np.linalg.solve(np.column_stack([after, np.ones(3)]), before)  # [x y 1] @ back
    columns, rows = (x * back[0, i] + y * back[1, i] + back[2, i] for i in range(2))
    return rows, columns


def _sampled(x: Pixels, rows: Plane, columns: Plane, *, corner: int) -> Pixels:
    """Linear interpolation at places; beyond the edge the image is mirrored.

    With `corner` 1 about the middle of the outermost pixels, with 0 about their outer side.
    """
    height, width = x.shape[:2]
    pixels = x.reshape(height * width, -1)
    top, left = np.floor(rows), np.floor(columns)
    y, x_ = (rows - top)[:, :, None], (columns - left)[:, :, None]
    (north, south) = (_mirrored(top + i, height, corner) * width for i in range(2))
    (west, east) = (_mirrored(left + i, width, corner) for i in range(2))
    upper, lower = (
        pixels.take(row + west, axis=0) * (1 - x_) + pixels.take(row + east, axis=0) * x_
        for row in (north, south)
    )
    between: Pixels = upper * (1 - y) + lower * y
    return between


def _mirrored(places: Plane, size: int, corner: int) -> NDArray[np.intp]:
    period = max(1, 2 * (size - corner))
    within = places - period * np.floor(places / period)
    folded: Plane = np.minimum(within, period - 1 + corner - within)
    return folded.astype(np.intp)
