"""Corruptions by weather and light; images float [H, W, 3] of 0…1, given back unclipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.images.corruptions.filters import convolved, eight_bits, motion_kernel, zoomed

if TYPE_CHECKING:
    from convforge.images.corruptions.filters import Pixels, Plane

_LUMA = (0.299, 0.587, 0.114)


def snow(
    x: Pixels,
    level: tuple[float, float, float, float, int, float, float],
    generator: np.random.Generator,
) -> Pixels:
    """Flakes that fall at an angle and the same from the other side, over a paler image.

    `level`: mean and deviation of the noise that flakes are the peaks of, how large they are, above
    which value one is, radius and sigma of its fall, and how much of the image's colour remains.
    """
    mean, deviation, size, threshold, radius, sigma, remains = level
    layer = zoomed(generator.normal(mean, deviation, x.shape[:2])[:, :, None], size)
    layer[layer < threshold] = 0
    fall = motion_kernel(radius, sigma, generator.uniform(-135, -45))
    flakes = eight_bits(convolved(eight_bits(layer) / 255.0, fall, edges="edge")) / 255.0
    pale = np.maximum(x, (x @ _LUMA)[:, :, None] * 1.5 + 0.5)
    paler: Pixels = remains * x + (1 - remains) * pale
    return paler + flakes + flakes[::-1, ::-1]


def fog(x: Pixels, level: tuple[float, float], generator: np.random.Generator) -> Pixels:
    """Clouds of strength and roughness `level` are added; the brightest value stays as bright."""
    strength, decay = level
    height, width = x.shape[:2]
    size = max(2, 1 << (max(height, width) - 1).bit_length())
    clouds = plasma(size, decay, generator)[:height, :width, None]
    most = float(x.max())
    return (x + strength * clouds) * (most / (most + strength))


def plasma(size: int, decay: float, generator: np.random.Generator) -> Plane:
    """Heights of 0…1 by the diamond-square algorithm on a torus of `size`, a power of two.

    From one known point, each step halves the distance between known points: a new one is the mean
    of its four neighbours and a draw, which is `decay` squared times smaller at every step.
    """
    heights = np.zeros((size, size))
    step, roughness = size, 1.0

    def fill(rows: int, columns: int, *neighbours: Plane) -> None:
        draws = generator.uniform(-roughness, roughness, neighbours[0].shape)
        heights[rows::step, columns::step] = sum(neighbours) / 4 + draws

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        beside = corners + np.roll(corners, -1, axis=1)
        fill(half, half, beside, np.roll(beside, -1, axis=0))
        centres = heights[half::step, half::step]
        fill(0, half, beside, centres, np.roll(centres, 1, axis=0))
        below = corners + np.roll(corners, -1, axis=0)
        fill(half, 0, below, centres, np.roll(centres, 1, axis=1))
        step, roughness = half, roughness / decay**2
    heights -= heights.min()
    heights /= heights.max()
    return heights


def brightness(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """`level` more of HSV's value; hue and saturation stay."""
    value: Pixels = x.max(axis=2, keepdims=True)
    brighter = np.minimum(value + level, 1)
    return np.where(value > 0, x * (brighter / np.maximum(value, 1e-12)), brighter)
