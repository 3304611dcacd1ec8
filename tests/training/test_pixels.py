"""What the preprocessing of a training run is, and that its statistics are the pixels'."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from convforge.errors import DataError
from convforge.images import source
from convforge.images.dataset import Images, Split
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from convforge.training.pixels import SAMPLE, SMALL, channel_statistics, read_pixels


def images_of(*shapes, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    part = Split(
        name="train",
        names=tuple(f"{i}.png" for i in range(len(pictures))),
        labels=np.arange(len(pictures)) % 2,
        read=pictures.__getitem__,
    )
    return Images(
        uri="made", classes=("a", "b"), channels=channels, splits={"train": part}, fingerprint="0"
    )


def test_digits_are_stretched_to_the_input_and_normalised_by_their_own_statistics():
    pixels, preprocess = read_pixels(source.open("digits"), input_shape=(1, 32, 32))
    assert preprocess.resize == preprocess.crop == (32, 32)
    assert preprocess.interpolation == "bicubic"
    assert pixels["train"].pixels.shape == (1347, 32, 32, 1)
    assert pixels["test"].pixels.shape == (450, 32, 32, 1)
    x = preprocess.normalize(pixels["train"].pixels)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(x.std()) == pytest.approx(1, abs=1e-4)


def test_small_colour_squares_have_statistics_of_their_own_by_channel():
    images = images_of((SMALL, SMALL), (32, 32), (8, 8))
    pixels, preprocess = read_pixels(images, input_shape=(3, 48, 48))
    assert preprocess.resize == (48, 48)
    exact = pixels["train"].pixels.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(preprocess.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(preprocess.std, exact.std(0), rtol=1e-12)


@pytest.mark.parametrize("shape", [(SMALL + 1, SMALL + 1), (32, 33), (300, 200)])
def test_one_larger_or_oblong_image_makes_them_photographs(shape):
    _, preprocess = read_pixels(images_of((32, 32), shape), input_shape=(3, 112, 112))
    assert preprocess.resize == 128
    assert preprocess.crop == (112, 112)
    assert preprocess.interpolation == "bilinear"
    assert (preprocess.mean, preprocess.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_grey_photographs_are_normalised_by_their_own_statistics():
    images = images_of((100, 80), (90, 90), channels=1)
    pixels, preprocess = read_pixels(images, input_shape=(1, 56, 56))
    assert preprocess.mean == (pytest.approx(pixels["train"].pixels.mean()),)
    assert preprocess.std == (pytest.approx(pixels["train"].pixels.std()),)


def test_the_kind_is_told_from_a_sample_of_the_first_to_the_last_image():
    shapes = [(16, 16)] * (3 * SAMPLE) + [(16, 17)]
    _, preprocess = read_pixels(images_of(*shapes), input_shape=(3, 16, 16))
    assert preprocess.resize == 18


def test_the_statistics_of_one_colour_do_not_divide_by_nought():
    mean, std = channel_statistics(np.full((300, 4, 4, 1), 7, np.uint8))
    assert (mean, std) == ((7.0,), (1.0,))


def test_all_damaged_images_are_named_those_to_test_on_too(tmp_path):
    for part in ("train", "test"):
        for label in "ab":
            (tmp_path / part / label).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / part / label / "good.png")
        raw = (tmp_path / part / "a" / "good.png").read_bytes()
        (tmp_path / part / "b" / "bad.png").write_bytes(raw[:40])
    images = source.open(tmp_path)
    with pytest.raises(DataError, match=r"2 of 6 images") as caught:
        read_pixels(images, input_shape=(1, 8, 8))
    assert "train/b/bad.png" in str(caught.value)
    assert "test/b/bad.png" in str(caught.value)
    decoded, preprocess = read_pixels(images, input_shape=(1, 8, 8), max_bad=0.5)
    assert preprocess.resize == (8, 8), "what is damaged does not make photographs of the others"
    assert [len(decoded[part].part) for part in ("train", "test")] == [2, 2]
    assert [bad.name for bad in decoded["train"].bad] == ["train/b/bad.png"]


@pytest.mark.parametrize(
    ("crop", "shapes"),
    [
        ("random", [(80, 64, 3), (64, 96, 3)]),
        ("resized", [(100, 80, 3), (64, 96, 3)]),
    ],
)
def test_images_to_draw_crops_from_keep_what_the_centre_crop_would_cut_off(crop, shapes):
    images = images_of((100, 80), (60, 90))
    pixels, preprocess = read_pixels(images, input_shape=(3, 56, 56), crop=crop)
    assert [image.shape for image in pixels["train"].pixels] == shapes
    assert preprocess.crop == (56, 56)


def test_statistics_of_images_of_several_sizes_are_those_of_all_their_pixels():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (5 + i, 9, 3), np.uint8) for i in range(3)]
    every = np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(float)
    mean, std = channel_statistics(pictures)
    np.testing.assert_allclose(mean, every.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, every.std(0), rtol=1e-12)
