from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from convforge.errors import DataError, InputError
from convforge.quantization import examples
from convforge.quantization.examples import network_inputs, open_examples


@pytest.fixture
def folder(tmp_path):
    """A folder with so many grey pictures of each digit, in these parts."""

    def make(count, *parts):
        generator = np.random.default_rng(0)
        for part in parts:
            for label in ("3", "7"):
                place = tmp_path / part / label
                place.mkdir(parents=True)
                for i in range(count):
                    pixels = generator.integers(0, 256, (8, 8), np.uint8)
                    Image.fromarray(pixels).save(place / f"{i}.png")
        return str(tmp_path)

    return make


@pytest.fixture
def card(trained):
    return trained.card


def test_the_digits_are_split_as_they_were_in_training(card):
    found = open_examples("digits", card)
    assert (found.calibration.name, found.held_out.name) == ("train", "test")
    assert len(found.calibration) == 128
    assert len(found.held_out) == 450
    assert len(set(found.calibration.labels.tolist())) == 10


def test_a_folder_with_parts_is_calibrated_with_train(folder, card):
    found = open_examples(folder(3, "train", "val"), card)
    assert (found.calibration.name, len(found.calibration)) == ("train", 6)
    assert (found.held_out.name, len(found.held_out)) == ("val", 6)


def test_of_one_part_every_second_image_is_held_out(folder, card):
    found = open_examples(folder(5, "."), card)
    ours, theirs = set(found.calibration.names), set(found.held_out.names)
    assert (len(ours), len(theirs)) == (5, 5)
    assert not ours & theirs


def test_inputs_are_what_the_network_gets(card):
    inputs = list(network_inputs(open_examples("digits", card).calibration, card))
    assert len(inputs) == 128
    assert inputs[0].shape == (1, *card.preprocess.input_shape)
    assert inputs[0].dtype == np.float32


def test_too_few_images_are_refused(folder, card, monkeypatch):
    place = folder(1, ".")
    assert len(open_examples(place, card).held_out) == 1
    monkeypatch.setattr(examples, "FEWEST", 3)
    with pytest.raises(InputError, match=r"has 2 images .* give some hundreds"):
        open_examples(place, card)
    with pytest.raises(DataError, match="no such data set"):
        open_examples("nowhere", card)
