"""Recipe: its fields, JSON, the learning rate, and a refusal for every field."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.errors import RecipeError
from convforge.images.augment import Augment
from convforge.training.recipe import CHOICES, RANGES, Recipe


def test_every_field_has_a_range_and_there_are_at_most_fifteen():
    names = {field.name for field in dataclasses.fields(Recipe)}
    assert {*RANGES, *CHOICES, "augment"} == names
    assert len(names) <= 15


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_every_range_are_accepted_and_have_the_type_of_the_default(name):
    for end in RANGES[name]:
        assert getattr(Recipe(**{name: end}), name) == end
        assert type(end) is type(getattr(Recipe(), name))


@pytest.mark.parametrize("name", RANGES)
def test_a_value_outside_its_range_is_refused_naming_field_value_and_range(name):
    smallest, largest = RANGES[name]
    step = 1 if isinstance(largest, int) else 1e-9
    for value in (smallest - step, largest + step, math.nan, math.inf, -math.inf):
        with pytest.raises(RecipeError, match=f"recipe: {name} is ") as caught:
            Recipe(**{name: value})
        assert f"is {value!r}; expected" in str(caught.value)
        assert f"from {smallest} to {largest}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 2.0, "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", "3", "a whole number"),
        ("learning_rate", "0.1", "a number"),
        ("learning_rate", None, "a number"),
        ("momentum", False, "a number"),
        ("optimizer", "sdg", "one of sgd, momentum, rmsprop, adamw, muon"),
        ("schedule", 1, "one of linear, cosine, onecycle, step, exponential"),
        ("batch_norm", None, "one of learn, frozen"),
        ("augment", 3, "a record"),
    ],
)
def test_a_value_of_another_type_is_refused_saying_which_was_expected(name, value, expected):
    with pytest.raises(RecipeError, match=f"{name} is {value!r}; expected {expected}"):
        Recipe(**{name: value})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 100_000),
            "learning_rate": st.floats(1e-8, 100),
            "label_smoothing": st.floats(0, 0.9),
            "optimizer": st.sampled_from(CHOICES["optimizer"]),
            "augment": st.builds(Augment, flip=st.booleans(), mixup=st.floats(0, 10)),
            "seed": st.integers(0, 2**63 - 1),
        },
    )
)
def test_any_recipe_comes_back_from_json_equal(fields):
    recipe = Recipe(**fields)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_an_unknown_field_is_refused_naming_those_that_exist():
    with pytest.raises(RecipeError, match=r"no field 'lr'; the fields are epochs, .*seed"):
        Recipe.from_json({"epochs": 3, "lr": 0.1})


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().epochs = 3


def test_the_rate_is_the_schedules_share_of_the_peak_in_the_middle_of_a_step():
    recipe = Recipe(learning_rate=0.4, schedule="cosine", warmup=0.0)
    for step in range(10):
        expected = 0.4 * (1 + math.cos(math.pi * (step + 0.5) / 10)) / 2
        assert recipe.rate((step + 0.5) / 10) == pytest.approx(expected, rel=1e-12)
