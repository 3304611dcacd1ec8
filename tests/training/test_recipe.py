"""Recipe: the shape of the learning rate, JSON, and a refusal for every field."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.errors import RecipeError
from convforge.networks.catalog import CATALOG
from convforge.training.recipe import RANGES, RECIPES, Recipe, default_recipe


def test_every_field_has_a_range_and_there_are_at_most_fifteen():
    assert list(RANGES) == [field.name for field in dataclasses.fields(Recipe)]
    assert len(RANGES) <= 15


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_every_range_are_accepted_and_have_the_type_of_the_default(name):
    for end in RANGES[name]:
        assert getattr(Recipe(**{name: end}), name) == end
        assert type(end) is type(getattr(Recipe(), name))


@pytest.mark.parametrize("name", [name for name in RANGES if name != "flip"])
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
        ("flip", 1, "true or false"),
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
            "flip": st.booleans(),
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


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_rate_is_a_triangle_with_its_peak_after_the_warmup(warmup, steps):
    recipe = Recipe(learning_rate=0.4, warmup=warmup)
    rates = np.array([recipe.rate(step, steps=steps) for step in range(steps)])
    times = (np.arange(steps) + 0.5) / steps
    expected = np.interp(times, [0, warmup, 1], [0, 0.4, 0])
    if warmup == 0:
        expected = 0.4 * (1 - times)
    if warmup == 1:
        expected = 0.4 * times
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert (rates > 0).all()


def test_recipes_are_for_networks_that_exist_and_others_have_that_of_photographs():
    assert set(RECIPES) <= set(CATALOG)
    assert default_recipe("lenet5") == RECIPES["lenet5"]
    assert default_recipe("a network of photographs").flip
    assert not any(recipe.flip for recipe in RECIPES.values())
