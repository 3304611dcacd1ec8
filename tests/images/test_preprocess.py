from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convforge.errors import DataError
from convforge.images.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_SIDE,
    Interpolation,
    Preprocess,
)

RGB = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
GREY = {"mean": (0.0,), "std": (1.0,)}
INTERPOLATIONS = get_args(Interpolation)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 997 + width).integers(
        0, 256, (height, width, 3), np.uint8
    )


def torchvision_pixels(image: np.ndarray, *, mode: str, preprocess: Preprocess) -> np.ndarray:
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    resize = Resize(preprocess.resize, InterpolationMode(preprocess.interpolation))
    picture = Image.fromarray(image).convert(mode)
    cropped = CenterCrop(preprocess.crop)(resize(picture))
    return np.asarray(cropped).reshape(*preprocess.crop, preprocess.channels)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_short_side_and_crop_are_torchvisions_on_pillow_images(interpolation, data):
    resize = data.draw(st.integers(1, 40), label="resize")
    crop = data.draw(st.tuples(st.integers(1, resize), st.integers(1, resize)), label="crop")
    image = noise(data.draw(st.integers(1, 80)), data.draw(st.integers(1, 80)))
    for mode, channels in (("RGB", RGB), ("L", GREY)):
        preprocess = Preprocess(resize=resize, crop=crop, interpolation=interpolation, **channels)
        expected = torchvision_pixels(image, mode=mode, preprocess=preprocess)
        np.testing.assert_array_equal(preprocess.pixels(image), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_stretching_is_torchvisions_on_pillow_images(interpolation, data):
    resize = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)), label="resize")
    crop = tuple(data.draw(st.integers(1, side)) for side in resize)
    image = noise(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60)))
    preprocess = Preprocess(resize=resize, crop=crop, interpolation=interpolation, **RGB)
    expected = torchvision_pixels(image, mode="RGB", preprocess=preprocess)
    np.testing.assert_array_equal(preprocess.pixels(image), expected)


@pytest.mark.parametrize(
    ("side", "offset"), [(8, 0), (9, 0), (10, 1), (11, 2), (12, 2), (13, 2), (14, 3), (15, 4)]
)
def test_a_crop_offset_of_a_half_goes_to_the_even_neighbour(side, offset):
    preprocess = Preprocess(resize=(side, side), crop=(8, 8), **RGB)
    assert preprocess.crop_offset(height=side, width=side) == (offset, offset)
    image = noise(side, side)
    expected = image[offset : offset + 8, offset : offset + 8]
    np.testing.assert_array_equal(preprocess.pixels(image), expected)
    expected = torchvision_pixels(image, mode="RGB", preprocess=preprocess)
    np.testing.assert_array_equal(preprocess.pixels(image), expected)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (100, 100, (8, 8)),
        (100, 199, (8, 15)),
        (199, 100, (15, 8)),
        (3, 4, (8, 10)),
        (7, 5, (11, 8)),
    ],
)
def test_the_long_side_is_cut_to_whole_pixels(height, width, expected):
    preprocess = Preprocess(resize=8, crop=(8, 8), **RGB)
    assert preprocess.resized_size(height=height, width=width) == expected


def test_grey_is_taken_before_the_resize_by_pillows_weights():
    image = noise(9, 9)
    preprocess = Preprocess(resize=9, crop=(9, 9), **GREY)
    weights = np.array([19595, 38470, 7471])  # ITU-R 601 in units of 1/65536
    expected = (image.astype(np.int64) @ weights + 0x8000) >> 16
    np.testing.assert_array_equal(preprocess.pixels(image)[..., 0], expected)
    np.testing.assert_array_equal(
        preprocess.pixels(image)[..., 0], np.asarray(Image.fromarray(image).convert("L"))
    )


def test_the_input_is_torchvisions_normalised_tensor():
    from torchvision.transforms import Compose, Normalize, ToTensor

    image = noise(12, 10)
    preprocess = Preprocess(resize=8, crop=(8, 6), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    pixels = preprocess.pixels(image)
    theirs = Compose([ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    ours = preprocess(image)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    assert ours.shape == preprocess.input_shape == (3, 8, 6)
    np.testing.assert_allclose(ours, theirs(pixels.copy()).numpy(), rtol=0, atol=2e-6)


def test_normalize_takes_a_batch_and_gives_what_it_gives_for_each():
    preprocess = Preprocess(resize=8, crop=(8, 8), mean=(127.0,) * 3, std=(128.0, 64.0, 32.0))
    batch = np.stack([noise(8, 8), noise(8, 9)[:, 1:]])
    each = np.stack([preprocess.normalize(image) for image in batch])
    np.testing.assert_array_equal(preprocess.normalize(batch), each)
    expected = (batch[1, 2, 3].astype(np.float32) - np.float32(127)) / np.array([128, 64, 32])
    np.testing.assert_array_equal(each[1, :, 2, 3], expected.astype(np.float32))


@given(
    resize=st.one_of(st.integers(4, 99), st.tuples(st.integers(4, 99), st.integers(4, 99))),
    interpolation=st.sampled_from(INTERPOLATIONS),
    mean=st.floats(-1e3, 1e3),
    std=st.floats(1e-3, 1e3),
)
def test_json_gives_back_the_same_record(resize, interpolation, mean, std):
    record = Preprocess(
        resize=resize, crop=(4, 3), mean=(mean,), std=(std,), interpolation=interpolation
    )
    assert Preprocess.from_json(json.loads(json.dumps(record.to_json()))) == record


# ---- what is refused ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": 0}, "must be at least 1 pixel"),
        ({"crop": (0, 8)}, "must be at least 1 pixel"),
        ({"crop": (9, 8)}, "is larger than resize"),
        ({"crop": (8, 9)}, "is larger than resize"),
        ({"resize": (8, 7)}, "is larger than resize"),
        ({"resize": MAX_SIDE + 1}, f"over the limit of {MAX_SIDE} pixels"),
        ({"resize": (8, MAX_SIDE + 1)}, f"over the limit of {MAX_SIDE} pixels"),
        ({"mean": (0.0,) * 2, "std": (1.0,) * 2}, "for 1 or 3 channels, got 2 and 2"),
        ({"mean": (0.0,)}, "got 1 and 3"),
        ({"mean": (0.0, float("nan"), 0.0)}, "must be finite"),
        ({"std": (1.0, float("inf"), 1.0)}, "must be finite"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
        ({"interpolation": "nearest"}, "'nearest' is not one of box, bilinear, bicubic, lanczos"),
    ],
)
def test_a_value_out_of_range_is_refused(change, message):
    fields = {"resize": 8, "crop": (8, 8), **RGB, **change}
    with pytest.raises(DataError, match=message):
        Preprocess(**fields)


@pytest.mark.parametrize("resize", [8, (8, 8)])
@pytest.mark.parametrize(("height", "width"), [(MAX_SIDE + 1, 9), (9, MAX_SIDE + 1)])
def test_an_image_with_too_long_a_side_is_refused(resize, height, width):
    preprocess = Preprocess(resize=resize, crop=(8, 8), **RGB)
    with pytest.raises(DataError, match=f"expected at most {MAX_SIDE} a side"):
        preprocess.resized_size(height=height, width=width)


def test_an_image_whose_long_side_would_become_too_long_is_refused():
    preprocess = Preprocess(resize=256, crop=(224, 224), **RGB)
    assert preprocess.resized_size(height=1, width=128) == (256, MAX_SIDE)
    with pytest.raises(DataError, match="the long side is 33024, over the limit"):
        preprocess.resized_size(height=1, width=129)


@pytest.mark.parametrize("field", ["resize", "crop", "mean", "std", "interpolation"])
def test_a_record_with_a_field_missing_or_malformed_is_refused(field):
    fields = Preprocess(resize=8, crop=(8, 8), **RGB).to_json()
    for damaged in ({k: v for k, v in fields.items() if k != field}, {**fields, field: None}):
        with pytest.raises(DataError, match=r"preprocessing"):
            Preprocess.from_json(damaged)


def test_for_another_input_the_crop_keeps_its_share_and_channels_are_averaged():
    photo = Preprocess(resize=256, crop=(224, 224), mean=(90.0, 60.0, 30.0), std=(3.0, 6.0, 9.0))
    assert photo.for_input((3, 224, 224)) == photo
    half = photo.for_input((1, 112, 112))
    assert (half.resize, half.crop, half.mean, half.std) == (128, (112, 112), (60.0,), (6.0,))
    scan = Preprocess(resize=(40, 36), crop=(32, 32), mean=(7.0,), std=(5.0,))
    wide = scan.for_input((3, 16, 64))
    assert (wide.resize, wide.crop, wide.mean) == ((20, 72), (16, 64), (7.0,) * 3)


@given(sides=st.tuples(*[st.integers(8, 300)] * 4), more=st.integers(0, 50))
def test_a_crop_fits_into_its_resize_for_any_input(sides, more):
    """Where it did not, `Preprocess` would refuse it."""
    height, width = sides[:2]
    scan = Preprocess(resize=max(height, width) + more, crop=(height, width), mean=(7,), std=(5,))
    assert scan.for_input((1, *sides[2:])).crop == sides[2:]
