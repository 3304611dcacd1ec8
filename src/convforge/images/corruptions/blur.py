"""Corruptions that blur; images float [H, W, 3] of 0…1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.images.corruptions.filters import (
    convolved,
    eight_bits,
    motion_kernel,
    smoothed,
    zoomed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.images.corruptions.filters import Pixels, Plane


def gaussian_blur(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """A Gaussian of `level` pixels, cut off at four of them."""
    return smoothed(x, level)


def defocus_blur(x: Pixels, level: tuple[int, float], _generator: np.random.Generator) -> Pixels:
    """Each point becomes a disc: radius and softness of its rim, in pixels."""
    radius, softness = level
    return convolved(x, disc(radius, softness), edges="reflect")


def disc(radius: int, softness: float) -> Plane:
    """The pixels within `radius`, evenly, smoothed by a Gaussian of three or five taps.

    The square is reflected at its rim as the reference does. Discs of 8 and 10 pixels touch the rim
    and so sum to 1.013 and 1.011: images get that much brighter.
    """
    reach = max(8, radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = (x**2 + y**2 <= radius**2).astype(float)
    taps = 1 if radius <= 8 else 2
    return smoothed(inside / inside.sum(), softness, truncate=taps / softness, edges="reflect")


def glass_blur(x: Pixels, level: tuple[float, int, int], generator: np.random.Generator) -> Pixels:
    """Pixels are displaced as behind frosted glass, between two Gaussian blurs of sigma.

    So many times: from the lower right to the upper left, each pixel takes the colour of one that
    is up to `reach` pixels away, as that is by then. The paper says that the two are swapped; the
    code that its data set was made with copies, and so does this.
    """
    sigma, reach, times = level
    height, width = x.shape[:2]
    pixels = eight_bits(smoothed(x, sigma)).reshape(height * width, -1)
    rows, columns = max(0, height - 2 * reach), max(0, width - 2 * reach)
    for _ in range(times):
        moves = generator.integers(-reach, reach, (rows, columns, 2))
        pixels = pixels.take(glass_sources((height, width), reach, moves), axis=0)
    return smoothed(pixels.reshape(x.shape) / 255.0, sigma)


def glass_sources(size: tuple[int, int], reach: int, moves: NDArray[np.int64]) -> NDArray[np.int64]:
    """From which pixel [H W] each has its colour once all have moved; without a loop over them.

    `moves` [H - 2 reach, W - 2 reach, x and y] in the order in which pixels are visited: both axes
    downwards from size - reach to reach + 1.
    """
    height, width = size
    count = height * width
    rows = np.arange(height - reach, reach, -1)[:, None]
    columns = np.arange(width - reach, reach, -1)
    own = (rows * width + columns).ravel()
    taken = (rows + moves[:, :, 1]) * width + columns + moves[:, :, 0]
    # A colour is a node: 0…count - 1 as moved, count… as before. Who takes from a pixel that was
    # visited earlier has what that one got: follow until all arrive at colours of before.
    node = np.arange(2 * count)
    visited = np.zeros(count, bool)
    visited[own] = True
    node[:count] += count
    source = taken.ravel()
    node[own] = np.where(visited[source] & (source > own), source, source + count)
    while not np.array_equal(further := node.take(node), node):
        node = further
    return node[:count] - count


def motion_blur(x: Pixels, level: tuple[int, float], generator: np.random.Generator) -> Pixels:
    """The camera moves: half a Gaussian along a line within 45 degrees of the horizontal.

    `level` is radius and sigma as ImageMagick takes them, by which the reference does it.
    """
    radius, sigma = level
    kernel = motion_kernel(radius, sigma, generator.uniform(-45, 45))
    return convolved(x, kernel, edges="edge")


def zoom_blur(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """The mean of the image and its zooms from 1 to `level`, in steps of 1, 2 or 3 %."""
    step = 0.01 if level < 1.2 else 0.02 if level < 1.3 else 0.03
    zooms = np.arange(1, level, step)
    return (x + sum(zoomed(x, zoom) for zoom in zooms)) / (len(zooms) + 1)
