from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest

from convforge.errors import DataError
from convforge.images import decoding
from convforge.images.cache import Cache
from convforge.images.dataset import Images, Split
from convforge.images.decoding import Bad, cache_key, decode_images, decode_part, read_batches
from convforge.images.preprocess import Preprocess
from convforge.images.stored import Ragged, Streamed, Uncropped, take

PREPROCESS = Preprocess(resize=8, crop=(7, 6), mean=(0.0,) * 3, std=(1.0,) * 3)
GREY = Preprocess(resize=8, crop=(7, 6), mean=(0.0,), std=(1.0,))
STRIP = 1000  # an image of 20000x1 pixels, which preprocessing refuses


def picture(i: int) -> np.ndarray:
    if i == STRIP:
        return np.zeros((1, 20_000, 3), np.uint8)
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, (5 + i % 7, 11 - i % 5, 3), np.uint8)


def split_of(count: int, *, name: str = "train", bad: tuple[int, ...] = ()) -> Split:
    def read(i: int) -> np.ndarray:
        if i in bad:
            raise DataError(f"{name}/{i}.jpg: is empty")
        return picture(i)

    return Split(
        name=name,
        names=tuple(f"{name}/{i}.jpg" for i in range(count)),
        labels=np.arange(count) % 3,
        read=read,
        digests=tuple(hashlib.sha256(f"{i} {i in bad}".encode()).digest() for i in range(count)),
    )


def images_of(**splits: Split) -> Images:
    return Images(
        uri="photos",
        classes=("ant", "bee", "cat"),
        channels=3,
        splits=splits,
        fingerprint="0" * 64,
    )


@pytest.fixture(params=["memory", "cache", "stream"])
def place(request, tmp_path, monkeypatch):
    """Where pixels are kept: `cache` of `decode_part`, with the sizes that lead there."""
    if request.param == "memory":
        return None
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    limit = 10**9 if request.param == "cache" else 0
    return Cache(folder=tmp_path / "pixels", limit_bytes=limit)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 65])
@pytest.mark.parametrize("geometry", [PREPROCESS, GREY, Uncropped(PREPROCESS)])
def test_wherever_they_are_kept_image_i_is_image_i(count, geometry, place):
    decoded = decode_part(split_of(count), geometry, cache=place)
    assert len(decoded.pixels) == len(decoded.part) == count
    for i in range(count):
        np.testing.assert_array_equal(decoded.pixels[i], geometry.pixels(picture(i)))
    rows = np.array([0, count - 1, count // 2])
    for image, i in zip(take(decoded.pixels, rows), rows, strict=True):
        np.testing.assert_array_equal(image, geometry.pixels(picture(i)))


@pytest.mark.parametrize("geometry", [PREPROCESS, Uncropped(PREPROCESS)])
def test_bad_images_are_left_out_and_named_and_no_other_takes_their_place(geometry, place):
    for _ in range(2):  # the second time out of the cache, where there is one
        decoded = decode_part(split_of(40, bad=(0, 7, 39)), geometry, cache=place)
        assert decoded.bad == tuple(
            Bad(f"train/{i}.jpg", i % 3, f"train/{i}.jpg: is empty") for i in (0, 7, 39)
        )
        good = [i for i in range(40) if i not in {0, 7, 39}]
        assert decoded.part.names == tuple(f"train/{i}.jpg" for i in good)
        assert decoded.part.labels.tolist() == [i % 3 for i in good]
        for row, i in enumerate(good):
            np.testing.assert_array_equal(decoded.pixels[row], geometry.pixels(picture(i)))
            np.testing.assert_array_equal(decoded.part.load(row), picture(i))


def test_a_part_of_bad_images_alone_is_empty(place):
    decoded = decode_part(split_of(3, bad=(0, 1, 2)), PREPROCESS, cache=place)
    assert len(decoded.pixels) == len(decoded.part) == 0
    assert len(decoded.bad) == 3


def test_each_way_of_keeping_is_what_it_says(tmp_path, monkeypatch):
    part, cache = split_of(9), Cache(folder=tmp_path / "pixels")
    assert isinstance(decode_part(part, Uncropped(PREPROCESS), cache=cache).pixels, list)
    assert not (tmp_path / "pixels").exists()  # small: no file
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    assert isinstance(decode_part(part, Uncropped(PREPROCESS), cache=cache).pixels, Ragged)
    mapped = decode_part(part, PREPROCESS, cache=cache).pixels
    assert type(mapped) is np.ndarray
    assert not mapped.flags.writeable
    full = Cache(folder=tmp_path / "pixels", limit_bytes=100)
    assert isinstance(decode_part(split_of(10), PREPROCESS, cache=full).pixels, Streamed)


def test_an_estimate_that_was_too_low_ends_in_streaming(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    monkeypatch.setattr(decoding, "_ASPECT", 0.2)
    cache = Cache(folder=tmp_path / "pixels", limit_bytes=2000)
    decoded = decode_part(split_of(40), Uncropped(PREPROCESS), cache=cache)
    assert isinstance(decoded.pixels, Streamed)
    assert len(decoded.pixels) == 40
    assert list((tmp_path / "pixels").iterdir()) == []


def test_the_cache_is_read_instead_of_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    cache, part = Cache(folder=tmp_path), split_of(20)
    first = decode_part(part, PREPROCESS, cache=cache)
    calls = []
    unread = Split(
        name="train",
        names=part.names,
        labels=part.labels,
        read=calls.append,
        digests=part.digests,
    )
    second = decode_part(unread, PREPROCESS, cache=cache)
    assert calls == []
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_an_image_that_has_become_readable_is_decoded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "SMALL_BYTES", 0)
    cache = Cache(folder=tmp_path)
    damaged, mended = split_of(5, bad=(2,)), split_of(5)
    mended = Split(
        name="train",
        names=mended.names,
        labels=mended.labels,
        read=mended.read,
        digests=damaged.digests,
    )
    assert len(decode_part(damaged, PREPROCESS, cache=cache).bad) == 1
    decoded = decode_part(mended, PREPROCESS, cache=cache)
    assert (len(decoded.part), decoded.bad) == (5, ())


def test_the_key_is_the_contents_their_order_and_what_is_done_to_them():
    part = split_of(4)
    other_mean = Preprocess(resize=8, crop=(7, 6), mean=(9.0,) * 3, std=(2.0,) * 3)
    assert cache_key(part, PREPROCESS) == cache_key(part, other_mean)
    assert cache_key(part, PREPROCESS) == cache_key(split_of(4, name="test"), PREPROCESS)
    larger = Preprocess(resize=9, crop=(7, 6), mean=(0.0,) * 3, std=(1.0,) * 3)
    others = [
        cache_key(part, GREY),
        cache_key(part, larger),
        cache_key(part, Uncropped(PREPROCESS)),
        cache_key(split_of(5), PREPROCESS),
        cache_key(part.select([1, 0, 2, 3]), PREPROCESS),
        cache_key(split_of(4, bad=(1,)), PREPROCESS),
    ]
    assert len({cache_key(part, PREPROCESS), *others}) == 7
    bare = Split(name="train", names=part.names, labels=part.labels, read=part.read)
    assert cache_key(bare, PREPROCESS) is None


# ---- all parts ----


def test_parts_may_be_stored_differently():
    images = images_of(train=split_of(40), test=split_of(9, name="test"))
    decoded = decode_images(images, {"train": Uncropped(PREPROCESS), "test": PREPROCESS})
    assert decoded["train"].pixels[3].shape == PREPROCESS.resized(picture(3)).shape
    assert decoded["test"].pixels.shape == (9, 7, 6, 3)


def test_decoding_reports_its_progress_up_to_the_end():
    calls = []
    images = images_of(train=split_of(70), test=split_of(9, name="test"))
    decode_images(
        images,
        dict.fromkeys(images.splits, PREPROCESS),
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(n, 79, "decoding images") for n in (32, 64, 70, 79)]


@pytest.mark.parametrize(("bad", "max_bad", "fine"), [(1, 0.01, True), (2, 0.01, False)])
@pytest.mark.parametrize("part", ["train", "test"])
def test_up_to_a_share_of_each_part_may_be_bad(bad, max_bad, fine, part):
    splits = {"train": split_of(100), "test": split_of(100, name="test")}
    splits[part] = split_of(100, name=part, bad=tuple(range(bad)))
    images = images_of(**splits)
    every = dict.fromkeys(splits, PREPROCESS)
    if fine:
        assert len(decode_images(images, every, max_bad=max_bad)[part].bad) == bad
        return
    with pytest.raises(
        DataError, match=r"2 of 200 images cannot be used; .* of a part than max_bad 0\.01"
    ):
        decode_images(images, every, max_bad=max_bad)


@pytest.mark.parametrize("max_bad", [-1, 1.01, float("nan")])
def test_what_is_no_share_is_refused(max_bad):
    images = images_of(train=split_of(3))
    with pytest.raises(DataError, match=r"max_bad is .*; expected a share .* from 0 to 1"):
        decode_images(images, {"train": PREPROCESS}, max_bad=max_bad)


def test_of_a_part_that_was_drawn_luck_may_make_more_of_the_allowed_ones_bad():
    def bad_of(count, drawn, bad):
        part = split_of(count, bad=tuple(range(bad))).select(range(drawn))
        return decode_images(images_of(train=part), {"train": PREPROCESS})["train"].bad

    assert len(bad_of(200, 20, 1)) == 1
    assert len(bad_of(200, 20, 2)) == 2
    with pytest.raises(DataError, match="3 of 20 images"):
        bad_of(200, 20, 3)
    with pytest.raises(DataError, match="4 of 20 images"):  # of 5 that may be bad of the whole
        bad_of(500, 20, 4)


def test_a_part_with_nothing_left_is_refused_whatever_is_allowed():
    images = images_of(train=split_of(3), test=split_of(2, name="test", bad=(0, 1)))
    with pytest.raises(DataError, match="2 of 5 images cannot be used"):
        decode_images(images, dict.fromkeys(images.splits, PREPROCESS), max_bad=1.0)


def test_all_bad_images_of_all_parts_are_reported_at_once_ten_by_name():
    images = images_of(
        train=split_of(70, bad=tuple(range(0, 60, 6))), test=split_of(9, name="test", bad=(1, 8))
    )
    with pytest.raises(DataError) as caught:
        decode_images(images, dict.fromkeys(images.splits, PREPROCESS))
    first, *lines = str(caught.value).split("\n")
    assert first.startswith("12 of 79 images cannot be used; repair or remove them")
    assert lines == [f"  train/{i}.jpg: is empty" for i in range(0, 60, 6)] + ["  and 2 more"]


def test_an_image_that_preprocessing_refuses_is_bad_by_name():
    names = ("a/strip.png", "a/0.png")
    split = Split(
        name="train", names=names, labels=np.zeros(2), read=lambda i: picture(STRIP * (1 - i))
    )
    [bad] = decode_part(split, PREPROCESS).bad
    assert bad.reason.startswith("a/strip.png: image of 20000x1 pixels: with its short side")
    [(images, rows, [bad])] = read_batches(split, 5, preprocess=PREPROCESS)
    assert (len(images), rows, bad.name) == (1, [1], "a/strip.png")


def test_more_pixels_than_the_machine_has_memory_are_refused_before_decoding():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    big = Preprocess(resize=30_000, crop=(30_000, 30_000), mean=(0.0,), std=(1.0,))
    count = memory // 30_000**2 + 1
    looked_at = []
    split = Split(name="train", names=("a",) * count, labels=np.zeros(count), read=looked_at.append)
    with pytest.raises(DataError, match=r"the machine has .* a smaller input size, or a cache"):
        decode_part(split, big)
    assert not looked_at


# ---- batches ----


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_batches_give_every_image_in_order(count):
    batches = list(read_batches(split_of(count), 4, preprocess=PREPROCESS))
    sizes = [len(images) for images, _, _ in batches]
    assert sizes == [4] * (count // 4) + [count % 4] * (count % 4 > 0)
    assert [row for _, rows, _ in batches for row in rows] == list(range(count))
    for i, image in enumerate(image for images, _, _ in batches for image in images):
        np.testing.assert_array_equal(image, picture(i))


def test_batches_set_bad_images_apart():
    [first, second] = read_batches(split_of(8, bad=(1, 4, 5, 6, 7)), 4, preprocess=PREPROCESS)
    assert (first[1], [bad.name for bad in first[2]]) == ([0, 2, 3], ["train/1.jpg"])
    assert (second[0], second[1], len(second[2])) == ([], [], 4)
