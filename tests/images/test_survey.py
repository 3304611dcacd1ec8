from __future__ import annotations

import hashlib
import json

import numpy as np

from convforge.images import survey as module
from convforge.images.dataset import Split
from convforge.images.decoding import Bad, Decoded
from convforge.images.preprocess import Preprocess
from convforge.images.survey import sentences, survey

PREPROCESS = Preprocess(resize=9, crop=(9, 9), mean=(0.0,) * 3, std=(1.0,) * 3)


def decoded(part, seeds, *, bad=0):
    pixels = np.stack([np.random.default_rng(s).integers(0, 256, (9, 9, 3)) for s in seeds])
    names = tuple(f"{part}/{seed}.png" for seed in seeds)
    split = Split(
        name=part,
        names=names,
        labels=np.zeros(len(seeds)),
        read=pixels.__getitem__,
        digests=tuple(hashlib.sha256(image.tobytes()).digest() for image in pixels),
    )
    found = tuple(Bad(f"{part}/bad{i}.png", 0, f"{part}/bad{i}.png: is empty") for i in range(bad))
    return Decoded(part=split, pixels=pixels.astype(np.uint8), bad=found)


def test_a_survey_counts_and_lists(monkeypatch):
    monkeypatch.setattr(module, "LISTED", 3)
    parts = {"train": decoded("train", range(5), bad=2), "test": decoded("test", [4, 9], bad=2)}
    record = json.loads(json.dumps(survey(parts, preprocess=PREPROCESS)))
    assert record["count"] == {"train": 5, "test": 2}
    assert record["bad"] == {"train": 2, "test": 2}
    assert [bad["name"] for bad in record["listed"]] == [
        "train/bad0.png",
        "train/bad1.png",
        "test/bad0.png",
    ]
    assert record["listed"][0]["reason"] == "train/bad0.png: is empty"
    assert record["duplicates"]["exact"] == 1
    names = [bad["name"] for bad in record["listed"]]
    assert list(sentences(record)) == [
        "4 images cannot be used (2 of train, 2 of test): " + ", ".join(names),
        "1 held-out image is in train too, the same file: test/4.png is train/4.png",
    ]


def test_nothing_is_said_where_nothing_is_wrong():
    parts = {"train": decoded("train", range(5)), "test": decoded("test", [8, 9])}
    assert list(sentences(survey(parts, preprocess=PREPROCESS))) == []


def record_of(side, **duplicates):
    nothing = {"exact": 0, "near": 0, "alike": [], "pairs": []}
    return {
        "crop": [side, side],
        "count": {},
        "bad": {},
        "listed": [],
        "duplicates": {**nothing, **duplicates},
    }


def test_near_duplicates_are_named():
    pair = {"part": "val", "name": "val/1.png", "train_name": "train/2.png", "exact": False}
    [said] = sentences(record_of(64, near=2, pairs=[pair]))
    assert said == (
        "2 held-out images are in train too, nearly the same picture: val/1.png is train/2.png"
    )
    assert next(iter(sentences(record_of(64, near=2)))).endswith("picture: not listed")


def test_small_pictures_that_are_alike_are_no_news():
    assert list(sentences(record_of(32, alike=["val"], near=2))) == []
    [said] = sentences(record_of(64, alike=["val"]))
    assert said.startswith("many images of val look like one of train: the split leaks, or")
