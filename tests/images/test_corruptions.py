"""Corruptions against their definitions; every severity does more than the one before."""

import colorsys

import numpy as np
import pytest
from skimage import data

from convforge.errors import InputError
from convforge.images.corruptions import CORRUPTIONS, SEVERITIES, Corruption, corrupted
from convforge.images.dataset import Split
from convforge.images.preprocess import Preprocess

PHOTO = data.astronaut()[:224, 100:340]


def apply(name, severity, image=PHOTO, seed=0):
    return Corruption(name, severity)(image, np.random.default_rng(seed))


def distance(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_is_further_from_the_image(name):
    before = PHOTO.copy()
    found = [apply(name, severity) for severity in SEVERITIES]
    assert all(image.shape == PHOTO.shape and image.dtype == np.uint8 for image in found)
    away = [distance(image, PHOTO) for image in found]
    assert away[0] > 1
    assert away == sorted(away)
    np.testing.assert_array_equal(PHOTO, before)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (33, 7, 3)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_odd_sizes_keep_their_size(name, shape):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert apply(name, 5, image).shape == shape


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("gaussian_noise", 0.18), ("shot_noise", np.sqrt(0.5 / 12)), ("speckle_noise", 0.5 * 0.35)],
)
def test_noise_has_the_deviation_of_its_level(name, deviation):
    grey = np.full((300, 300, 3), 128, np.uint8)
    assert apply(name, 3, grey).std() / 255 == pytest.approx(deviation, rel=0.05)


def test_impulses_are_as_many_as_the_level_says_and_half_of_them_white():
    found = apply("impulse_noise", 4, np.full((300, 300, 3), 128, np.uint8))
    assert np.mean(found != 128) == pytest.approx(0.17, abs=0.003)
    assert np.mean(found == 255) == pytest.approx(0.085, abs=0.003)


def test_brightness_adds_to_the_value_and_keeps_hue_and_saturation():
    for colour in ((100, 50, 20), (0, 0, 0), (250, 10, 10)):
        image = np.full((2, 2, 3), colour, np.uint8)
        h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
        expected = [255 * c for c in colorsys.hsv_to_rgb(h, s, min(1, v + 0.3))]
        np.testing.assert_allclose(apply("brightness", 3, image)[0, 0], expected, atol=1)


def test_contrast_shrinks_distances_to_the_mean():
    found = apply("contrast", 3).astype(float)
    mean = PHOTO.mean(axis=(0, 1))
    np.testing.assert_allclose(found, (PHOTO - mean) * 0.2 + mean, atol=1.01)


def test_a_part_is_corrupted_alike_at_every_reading_and_at_the_networks_size():
    images = [PHOTO, PHOTO[::-1], PHOTO[:100, :50]]
    names = ("a", "b", "c")
    part = Split(name="test", names=names, labels=[0, 1, 0], read=lambda i: images[i])
    preprocess = Preprocess(resize=64, crop=(56, 56), mean=(0.0,), std=(1.0,))
    made = corrupted(part, Corruption("gaussian_noise", 2), preprocess=preprocess)
    assert made.load(0).shape == (64, 68, 3)
    assert made.load(2).shape == (128, 64, 3)
    np.testing.assert_array_equal(made.load(1), made.load(1))
    np.testing.assert_array_equal(made.labels, part.labels)
    assert (made.load(0) != made.load(1)[::-1]).any()


@pytest.mark.parametrize(("name", "severity"), [("snowfall", 3), ("contrast", 0), ("contrast", 6)])
def test_what_is_not_there_is_refused(name, severity):
    with pytest.raises(InputError, match=r"corruption"):
        Corruption(name, severity)
