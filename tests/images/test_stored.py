from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from convforge.errors import DataError
from convforge.images.dataset import Split
from convforge.images.picture import decode_file
from convforge.images.preprocess import Preprocess
from convforge.images.stored import Ragged, Streamed, Uncropped, read_stored, shown, take

PREPROCESS = Preprocess(resize=64, crop=(64, 64), mean=(0.0,) * 3, std=(1.0,) * 3)


def part_of(*images):
    return Split(
        name="train",
        names=tuple(f"{i}.jpg" for i in range(len(images))),
        labels=np.zeros(len(images)),
        read=images.__getitem__,
    )


def test_ragged_images_are_views_of_one_array():
    flat = np.arange(2 * 3 * 1 + 4 * 1 * 1, dtype=np.uint8)
    ragged = Ragged(flat, sides=np.array([[2, 3], [4, 1]]), channels=1)
    assert len(ragged) == 2
    np.testing.assert_array_equal(ragged[0][..., 0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(ragged[-1][..., 0], [[6], [7], [8], [9]])
    assert np.shares_memory(ragged[1], flat)
    assert [image.shape for image in ragged] == [(2, 3, 1), (4, 1, 1)]
    with pytest.raises(IndexError):
        ragged[2]


def test_streamed_images_are_decoded_whenever_they_are_asked_for():
    pictures = [np.full((70 + i, 80, 3), i, np.uint8) for i in range(5)]
    streamed = Streamed(part_of(*pictures), PREPROCESS)
    assert [int(image[0, 0, 0]) for image in streamed] == [0, 1, 2, 3, 4]
    assert [int(image[0, 0, 0]) for image in streamed[1:4]] == [1, 2, 3]
    assert [int(image[0, 0, 0]) for image in take(streamed, np.array([4, 0]))] == [4, 0]


def test_uncropped_images_are_the_preprocessings_before_its_crop():
    image = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    stored = read_stored(part_of(image), 0, geometry=Uncropped(PREPROCESS))
    assert stored.shape == (64, 106, 3)
    np.testing.assert_array_equal(stored[:, 21:85], PREPROCESS.pixels(image))


@pytest.mark.parametrize(
    ("sides", "stored"),
    [((200, 100), (160, 80)), ((72, 90), (72, 90)), ((32, 40), (64, 80)), ((64, 64), (64, 64))],
)
def test_crops_that_are_resized_are_drawn_from_larger_images_none_of_them_enlarged(sides, stored):
    image = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    kept = read_stored(part_of(image), 0, geometry=Uncropped(PREPROCESS, larger=True))
    assert kept.shape == (*stored, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_stored_image_the_network_is_shown_what_it_will_see_later(channels):
    preprocess = Preprocess(resize=64, crop=(64, 64), mean=(0.0,) * channels, std=(1.0,) * channels)
    rows, columns = np.mgrid[0:200, 0:300]
    image = np.stack([rows / 2, columns / 2, (rows + columns) / 4], axis=-1).astype(np.uint8)
    expected = preprocess.pixels(image)
    for geometry in (preprocess, Uncropped(preprocess)):
        np.testing.assert_array_equal(shown(geometry.pixels(image), preprocess), expected)
    found = shown(Uncropped(preprocess, larger=True).pixels(image), preprocess)
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_what_the_preprocessing_refuses_is_named():
    strip = part_of(np.zeros((1, 20_000, 3), np.uint8))
    for geometry in (PREPROCESS, Uncropped(PREPROCESS)):
        with pytest.raises(DataError, match=r"0\.jpg: image of 20000x1 pixels"):
            read_stored(strip, 0, geometry=geometry)


# ---- a JPEG at a smaller scale ----


def jpeg(name: str, *, quality: int = 90) -> bytes:
    from skimage import data

    file = io.BytesIO()
    Image.fromarray(getattr(data, name)()).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "short_side", "expected"),
    [
        ("astronaut", 64, (128, 128)),  # of 512x512
        ("astronaut", 65, (256, 256)),
        ("coffee", 100, (200, 300)),  # of 600x400
        ("coffee", 101, (400, 600)),
        ("coffee", 500, (400, 600)),
    ],
)
def test_a_jpeg_is_decoded_small_while_twice_the_short_side_is_left(name, short_side, expected):
    found = decode_file(io.BytesIO(jpeg(name)), name="x", short_side=short_side)
    assert found.shape[:2] == expected


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_a_jpeg_decoded_small_and_resized_is_close_to_the_whole_one_resized(name):
    content, resize = jpeg(name), PREPROCESS.pixels
    whole = resize(decode_file(io.BytesIO(content), name="x")).astype(int)
    small = resize(decode_file(io.BytesIO(content), name="x", short_side=64)).astype(int)
    assert 0 < np.abs(small - whole).mean() < 1.5  # of 255; 0.3 to 1.3 were measured


def test_a_png_is_never_decoded_small():
    file = io.BytesIO()
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(file, "PNG")
    assert decode_file(file, name="x", short_side=10).shape == (400, 400, 3)


def test_a_small_jpeg_is_turned_upright_too():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((400, 800, 3), np.uint8)).save(file, "JPEG", exif=exif)
    assert decode_file(file, name="x", short_side=50).shape == (200, 100, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cat.jpg: is empty"), (b"text", "cat.jpg: is not an image"), (None, "cat.jpg: damaged")],
)
def test_a_damaged_file_in_memory_is_named(content, message):
    content = jpeg("coffee")[:4000] if content is None else content
    with pytest.raises(DataError, match=message):
        decode_file(io.BytesIO(content), name="cat.jpg")
