"""Drops of water or mud on the lens; images float [H, W, 3] of 0…1, given back unclipped.

The reference makes the drops' shine of OpenCV's filters; they are here in numpy, on planes of
values 0…255, with OpenCV's rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.images.corruptions.filters import smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.images.corruptions.filters import Pixels, Plane

WATER = np.array([175, 238, 238]) / 255
MUD = np.array([63, 42, 20]) / 255

_FAR = 20  # pixels; the shine is the same from there on
_WEAK, _STRONG = 50, 150  # edges, as sums of absolute Sobel gradients


def spatter(
    x: Pixels, level: tuple[str, float, float, float, float, float], generator: np.random.Generator
) -> Pixels:
    """Drops, where smooth noise is high: pale water that shines, or brown mud that covers.

    `level`: which of the two, mean, deviation and smoothness of the noise, above which value a drop
    is, and how bright water is or how soft mud's rim.
    """
    liquid, mean, deviation, sigma, threshold, last = level
    noise = smoothed(generator.normal(mean, deviation, x.shape[:2]), sigma)
    if liquid == "mud":
        cover = smoothed((noise > threshold).astype(float), last)
        cover[cover < 0.8] = 0
        muddy: Pixels = x + cover[:, :, None] * (MUD - x)
        return muddy
    drops = np.floor(np.where(noise < threshold, 0, noise) * 255)
    light = drops * shine(drops)
    light *= last / max(light.max(), 1)
    wet: Pixels = x + light[:, :, None] * WATER
    return wet


def shine(drops: Plane) -> Plane:
    """How light falls on drops, 0…255: by the distance to their rims, from the lower right."""
    depth = np.floor(_box(np.minimum(distances(canny(drops)), _FAR)))
    light = _equalized(depth.astype(np.uint8))
    padded = np.pad(light, 1, "reflect")
    relief = light - 2 * padded[:-2, :-2] + 2 * padded[2:, 2:]
    relief += padded[1:-1, 2:] + padded[2:, 1:-1] - padded[:-2, 1:-1] - padded[1:-1, :-2]
    return np.rint(_box(np.clip(relief, 0, 255)))


def canny(plane: Plane) -> NDArray[np.bool_]:
    """Where Canny's detector finds an edge: ridges of the gradient that hang on a strong one."""
    padded = np.pad(plane, 1, "edge")
    along, across = (p[:-2] + 2 * p[1:-1] + p[2:] for p in (padded, padded.T))
    dx, dy = along[:, 2:] - along[:, :-2], (across[:, 2:] - across[:, :-2]).T
    steep = np.abs(dx) + np.abs(dy)
    around = np.pad(steep, 1)
    middle, less, more = slice(1, -1), slice(None, -2), slice(2, None)
    flat = np.abs(dy) < np.tan(np.pi / 8) * np.abs(dx)
    upright = np.abs(dy) > np.tan(3 * np.pi / 8) * np.abs(dx)
    ridge = np.where(
        flat,
        (steep > around[middle, less]) & (steep >= around[middle, more]),
        np.where(
            upright,
            (steep > around[less, middle]) & (steep >= around[more, middle]),
            np.where(
                (dx < 0) == (dy < 0),
                (steep > around[less, less]) & (steep > around[more, more]),
                (steep > around[less, more]) & (steep > around[more, less]),
            ),
        ),
    )
    weak = ridge & (steep > _WEAK)
    found = weak & (steep > _STRONG)
    while (grown := weak & _dilated(found)).sum() > found.sum():
        found = grown
    return found


def distances(points: NDArray[np.bool_]) -> Plane:
    """To the nearest point, in steps of the 5 x 5 chamfer of Borgefors 1986; up to _FAR exact.

    A step to a neighbour is 1, over a corner 1.4, that of a knight 2.1969.
    """
    height, width = points.shape
    places = np.arange(width)
    far = _FAR + 1
    before = np.maximum.accumulate(np.where(points, places, -far), axis=1)
    after = np.minimum.accumulate(np.where(points, places, width + far)[:, ::-1], axis=1)[:, ::-1]
    within_row = np.minimum(np.minimum(places - before, after - places), far)
    padded = np.pad(within_row, ((far, far), (0, 0)), constant_values=far)
    found = np.full(points.shape, float(far))
    for down in range(-_FAR, _FAR + 1):
        rows = padded[far + down : far + down + height]
        np.minimum(found, _CHAMFER[abs(down)].take(rows), out=found)
    return found


def _chamfer() -> Plane:
    """[down, right] to what the shortest way sums up."""
    y, x = np.mgrid[: _FAR + 2, : _FAR + 2]
    long, short = np.maximum(x, y), np.minimum(x, y)
    knights = np.minimum(short, long - short)
    cost: Plane = 2.1969 * knights + np.abs(long - 2 * short) * np.where(long > 2 * short, 1, 1.4)
    return cost


_CHAMFER = _chamfer()


def _dilated(points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(points, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _box(plane: Plane) -> Plane:
    """The mean of 3 x 3."""
    padded = np.pad(plane, 1, "reflect")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9


def _equalized(plane: NDArray[np.uint8]) -> Plane:
    """Each value by the share of pixels that are no brighter, from 0 for the darkest to 255."""
    counts = np.bincount(plane.ravel(), minlength=256)
    darkest = int(plane.min())
    others = plane.size - counts[darkest]
    if others == 0:
        return plane.astype(np.float64)
    ranks = np.cumsum(counts) - counts[darkest]
    shares: Plane = np.rint(np.maximum(ranks, 0) * (255 / others))
    return shares[plane]
