from __future__ import annotations

import dataclasses
import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from convforge.images import duplicates
from convforge.images.dataset import Split
from convforge.images.decoding import Decoded
from convforge.images.duplicates import Duplicate, find_duplicates, look_at, nearest
from convforge.images.preprocess import Preprocess
from convforge.images.stored import Uncropped

CROP = (64, 64)
PREPROCESS = Preprocess(resize=72, crop=CROP, mean=(0.0,) * 3, std=(1.0,) * 3)


def scene(seed):
    """A smooth picture of random blobs, 96x120 pixels."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8))
    return small.resize((120, 96), Image.Resampling.BICUBIC)


def again(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def seen(crop):
    """A preprocessing that leaves images of this size as they are."""
    return dataclasses.replace(PREPROCESS, resize=crop, crop=crop)


def decoded(name, pictures, *, geometry=PREPROCESS):
    arrays = [np.asarray(picture) for picture in pictures]
    pixels = [geometry.pixels(image) for image in arrays]
    part = Split(
        name=name,
        names=tuple(f"{name}/{i}.png" for i in range(len(arrays))),
        labels=np.zeros(len(arrays)),
        read=arrays.__getitem__,
        digests=tuple(hashlib.sha256(image.tobytes()).digest() for image in arrays),
    )
    stored = np.stack(pixels) if isinstance(geometry, Preprocess) else pixels
    return Decoded(part=part, pixels=stored, bad=())


def found_in(train, test, **options):
    parts = {"train": decoded("train", train, **options), "test": decoded("test", test)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "FEW", 1000)
        found = find_duplicates(parts, preprocess=PREPROCESS)
    assert found.alike == ()
    return list(found.pairs)


def test_pictures_that_have_nothing_in_common_are_no_duplicates():
    assert found_in(map(scene, range(60)), map(scene, range(100, 160))) == []


def test_the_same_file_is_an_exact_duplicate():
    train = [scene(i) for i in range(9)]
    assert found_in(train, [scene(50), train[4]]) == [
        Duplicate("test", "test/1.png", "train/4.png", exact=True)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: again(picture, 30),
        lambda picture: picture.resize((60, 48)),
        lambda picture: ImageEnhance.Brightness(picture).enhance(0.8),
        lambda picture: ImageEnhance.Contrast(picture).enhance(0.7),
        lambda picture: picture.convert("L").convert("RGB"),
        lambda picture: picture.crop((1, 1, 119, 95)),
    ],
    ids=["compressed", "halved", "darker", "flatter", "grey", "cropped by a hundredth"],
)
def test_the_same_picture_in_another_file_is_a_near_duplicate(change):
    train = [scene(i) for i in range(40)]
    pairs = found_in(train, [change(train[i]) for i in range(40)])
    assert len(pairs) >= 39
    assert all(pair.train_name == f"train/{pair.name[5:]}" for pair in pairs)
    assert not any(pair.exact for pair in pairs)


def test_the_most_alike_is_named_and_exact_ones_come_first():
    original = scene(0)
    worse, better = again(original, 5), again(original, 90)
    pairs = found_in([worse, better, scene(1)], [original, scene(1)])
    assert pairs == [
        Duplicate("test", "test/1.png", "train/2.png", exact=True),
        Duplicate("test", "test/0.png", "train/1.png", exact=False),
    ]


@pytest.mark.parametrize("larger", [False, True])
def test_what_is_stored_uncropped_is_held_against_what_is_cropped(larger):
    train = [scene(i) for i in range(20)]
    pairs = found_in(train, [again(p, 80) for p in train], geometry=Uncropped(PREPROCESS, larger))
    assert [pair.train_name[6:] for pair in pairs] == [pair.name[5:] for pair in pairs]
    assert len(pairs) == 20


def test_candidates_by_the_hash_are_decided_by_the_thumbnail(monkeypatch):
    train = [scene(i) for i in range(20)]
    test = [again(picture, 30) for picture in train]
    monkeypatch.setattr(duplicates, "CORRELATION", 1.01)
    assert found_in(train, test) == []


def test_where_pictures_are_all_alike_only_exact_ones_are_named(monkeypatch):
    monkeypatch.setattr(duplicates, "SAMPLE", 10)
    monkeypatch.setattr(duplicates, "FEW", 4)
    train = [scene(i) for i in range(20)]
    test = (
        [again(train[i], 50) for i in range(15)] + train[15:17] + [scene(i) for i in range(40, 60)]
    )
    found = find_duplicates(
        {"train": decoded("train", train), "test": decoded("test", test)}, preprocess=PREPROCESS
    )
    assert found.alike == ("test",)
    assert [(pair.name, pair.exact) for pair in found.pairs] == [
        ("test/15.png", True),
        ("test/16.png", True),
    ]
    assert found.to_json()["pairs"][0]["train_name"] == "train/15.png"


def test_a_small_part_of_pictures_that_are_all_alike_names_none_either():
    def found(count):
        test = [*(again(one, 50) for one in train[:count]), *map(scene, range(40, 52))]
        parts = {"train": decoded("train", train), "test": decoded("test", test)}
        return find_duplicates(parts, preprocess=PREPROCESS)

    train = [scene(i) for i in range(9)]
    assert (found(8).alike, len(found(8).pairs)) == ((), 8)
    assert (found(9).alike, found(9).pairs) == (("test",), ())


def test_a_record_has_the_numbers_and_the_first_pairs(monkeypatch):
    monkeypatch.setattr(duplicates, "LISTED", 2)
    train = [scene(i) for i in range(6)]
    test = [*train[:3], again(train[3], 50)]
    found = find_duplicates(
        {"train": decoded("train", train), "test": decoded("test", test)}, preprocess=PREPROCESS
    )
    record = json.loads(json.dumps(found.to_json()))
    assert (record["exact"], record["near"], record["alike"]) == (3, 1, [])
    assert [pair["name"] for pair in record["pairs"]] == ["test/0.png", "test/1.png"]


def test_a_data_set_of_one_part_has_no_duplicates():
    found = find_duplicates({"train": decoded("train", [scene(0)])}, preprocess=PREPROCESS)
    assert (found.pairs, found.alike) == ((), ())


def nearest_one_by_one(look, others):
    """The slow twin."""
    for row in range(len(look.bits)):
        best, value = None, duplicates.CORRELATION
        for other in range(len(others.bits)):
            differing = int((look.bits[row] != others.bits[other]).sum())
            alike = float(look.thumbnails[row] @ others.thumbnails[other])
            if differing <= duplicates.HASH_BITS and alike >= value:
                best, value = (other, alike) if best is None or alike > value else (best, value)
        if best is not None:
            yield row, best


@pytest.mark.parametrize(("pairs", "dense"), [(7, True), (10_000, False), (10_000, True)])
def test_nearest_is_its_slow_twin(pairs, dense, monkeypatch):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (2 if dense else 30, 12, 12, 1))
    noisy = [
        np.clip(
            kinds[rng.integers(len(kinds), size=40)] + rng.integers(-20, 21, (40, 12, 12, 1)),
            0,
            255,
        )
        for _ in range(2)
    ]
    look, others = (look_at(batch.astype(np.uint8), preprocess=seen((12, 12))) for batch in noisy)
    monkeypatch.setattr(duplicates, "_PAIRS", pairs)
    found = list(nearest(look, others))
    assert found == list(nearest_one_by_one(look, others))
    assert found


def test_a_hash_compares_neighbouring_means():
    image = np.zeros((16, 18, 1), np.uint8)
    image[:, ::4] = image[:, 1::4] = 200  # columns of two pixels, light and dark in turn
    bits = look_at(image[None], preprocess=seen((16, 18))).bits.reshape(8, 8)
    assert (bits == np.array([1, -1] * 4)).all()


def test_plain_pictures_are_like_nothing():
    plain = look_at(np.full((3, 8, 8, 3), 77, np.uint8), preprocess=seen((8, 8)))
    assert list(nearest(plain, plain)) == []


def test_no_pictures_have_no_duplicates():
    empty = look_at(np.empty((0, 8, 8, 3), np.uint8), preprocess=seen((8, 8)))
    some = look_at(np.zeros((2, 8, 8, 3), np.uint8), preprocess=seen((8, 8)))
    assert list(nearest(empty, some)) == list(nearest(some, empty)) == []
