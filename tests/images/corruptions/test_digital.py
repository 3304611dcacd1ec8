"""Contrast and saturation against their definitions."""

import colorsys

import numpy as np
import pytest
from skimage import data

from convforge.images.corruptions import Corruption

PHOTO = data.astronaut()[:224, 100:340]


def apply(name, severity, image=PHOTO):
    return Corruption(name, severity)(image, np.random.default_rng(0))


def test_contrast_shrinks_distances_to_the_mean():
    found = apply("contrast", 3).astype(float)
    mean = PHOTO.mean(axis=(0, 1))
    np.testing.assert_allclose(found, (PHOTO - mean) * 0.2 + mean, atol=1.01)


@pytest.mark.parametrize(
    ("severity", "factor", "more"), [(1, 0.3, 0), (2, 0.1, 0), (3, 2, 0), (4, 5, 0.1), (5, 20, 0.2)]
)
def test_saturation_is_changed_as_colorsys_has_it(severity, factor, more):
    corners = [[r, g, b] for r in (0, 90, 255) for g in (0, 90, 255) for b in (0, 90, 255)]
    drawn = np.random.default_rng(1).integers(0, 256, (200, 3)).tolist()
    colours = [*corners, *drawn]
    expected = []
    for colour in colours:
        hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
        saturation = min(1, saturation * factor + more)
        expected.append([255 * c for c in colorsys.hsv_to_rgb(hue, saturation, value)])
    found = apply("saturate", severity, np.array([colours], np.uint8))[0]
    np.testing.assert_array_less(np.abs(found - (np.array(expected) - 0.5)), 0.5001)


def test_pixels_of_a_coarse_image_are_squares():
    found = apply("pixelate", 5, PHOTO[:224, :224])
    assert (found == found[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)).all()
    np.testing.assert_allclose(found.mean(), PHOTO[:224, :224].mean(), atol=0.5)
