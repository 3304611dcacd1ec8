"""The card: JSON that reads back equal, and refusals of what is damaged or of another format."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.card import FORMAT, Card
from convforge.errors import ArtifactError, ClassifierError
from convforge.images.preprocess import Preprocess

CARD = Card(
    network="lenet5",
    arguments={"num_classes": 2, "in_channels": 1, "input_size": 32},
    classes=("고양이", 'a "quoted" name'),
    preprocess=Preprocess(resize=(32, 32), crop=(32, 32), mean=(12.5,), std=(63.75,)),
    metrics={"test": {"top1": 0.5, "interval": [0.1, 0.9], "top5": None}},
    recipe={"epochs": 3},
    data={"uri": "digits", "fingerprint": "00", "split": {"method": "seeded", "seed": 0}},
)


def read(text):
    return Card.loads(text, origin="a file", error=ClassifierError)


def test_a_card_reads_back_equal():
    assert read(CARD.dumps()) == CARD


def test_the_same_card_gives_the_same_text_whatever_the_order_of_its_fields():
    turned = dataclasses.replace(CARD, arguments=dict(reversed(CARD.arguments.items())))
    assert turned.dumps() == CARD.dumps()


def test_it_says_what_was_trained_for_how_long_and_whether_it_was_shortened():
    def trained(metrics):
        return dataclasses.replace(CARD, metrics=metrics).trained

    assert trained({}) == "the last layer"
    assert trained({"train": {}}) == "3 epochs"
    shortened = {"steps": 1200, "planned": 3000, "changes": [{"step": 9, "end": 1200}]}
    said = "3 epochs shortened by the time limit to 1,200 of 3,000 steps"
    assert trained({"train": {"shortened": shortened}}) == said


@given(
    classes=st.lists(st.text(), min_size=1, unique=True),
    mean=st.floats(0, 255),
    std=st.floats(1e-3, 1e3),
)
def test_any_class_names_and_numbers_read_back_equal(classes, mean, std):
    preprocess = dataclasses.replace(CARD.preprocess, mean=(mean,), std=(std,))
    card = dataclasses.replace(CARD, classes=tuple(classes), preprocess=preprocess)
    assert read(card.dumps()) == card


def test_a_value_that_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        dataclasses.replace(CARD, metrics={"loss": float("nan")}).dumps()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", CARD.dumps()[:-20]])
def test_text_that_is_not_a_card_is_refused_naming_the_file(text):
    with pytest.raises(ClassifierError, match="a file: its card is damaged"):
        read(text)


def test_another_format_is_refused_naming_both():
    fields = json.loads(CARD.dumps()) | {"format": FORMAT + 1}
    with pytest.raises(ClassifierError, match=f"format {FORMAT + 1}, this convforge .* {FORMAT};"):
        read(json.dumps(fields))


@pytest.mark.parametrize("name", ["network", "classes", "arguments", "preprocess", "metrics"])
def test_a_missing_field_is_refused_naming_it(name):
    fields = json.loads(CARD.dumps())
    del fields[name]
    with pytest.raises(ClassifierError, match=name):
        read(json.dumps(fields))


def test_preprocessing_out_of_range_is_refused_saying_why():
    fields = json.loads(CARD.dumps())
    fields["preprocess"]["std"] = [0]
    with pytest.raises(ClassifierError, match="std finite and above 0"):
        read(json.dumps(fields))


def test_the_error_is_of_the_class_that_was_asked_for():
    with pytest.raises(ArtifactError):
        Card.loads("", origin="net.so", error=ArtifactError)
