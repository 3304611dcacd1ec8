"""Corruptions by noise, value by value; images float [H, W, 3] of 0…1, given back unclipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convforge.images.corruptions.filters import Pixels


def gaussian_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Noise of deviation `level`, as of a sensor in poor light."""
    return x + generator.normal(0, level, x.shape)


def shot_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """White is `level` photons; how many come is drawn."""
    return generator.poisson(x * level) / level


def impulse_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """A share of all values becomes 0 or 1, with equal chance."""
    drawn = generator.random(x.shape)
    return np.where(drawn < level / 2, 0.0, np.where(drawn < level, 1.0, x))


def speckle_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Noise in proportion to the value."""
    return x + x * generator.normal(0, level, x.shape)
