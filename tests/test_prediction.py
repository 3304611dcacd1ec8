"""softmax against torch's in float64; the order, the ties and the refusals of top_predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from convforge.errors import InputError
from convforge.prediction import Prediction, softmax, top_predictions


@pytest.mark.parametrize("shape", [(1,), (10,), (7, 10), (2, 3, 1000)])
def test_softmax_is_torch_softmax_in_float64_rounded_once(shape):
    logits = np.random.default_rng(0).normal(scale=8, size=shape).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits).double(), -1).numpy().astype(np.float32)
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float32
    np.testing.assert_array_max_ulp(probabilities, expected, maxulp=1)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)


def test_softmax_does_not_overflow_at_the_ends_of_float32():
    end = np.finfo(np.float32).max
    np.testing.assert_array_equal(softmax(np.array([end, -end, 0], np.float32)), [1, 0, 0])
    np.testing.assert_array_equal(softmax(np.array([-end, -end], np.float32)), [0.5, 0.5])


def test_softmax_leaves_its_input_as_it_was():
    logits = np.array([1, 2, 3], np.float32)
    softmax(logits)
    np.testing.assert_array_equal(logits, [1, 2, 3])


def test_softmax_of_a_row_with_nan_is_nan_in_that_row_only():
    rows = softmax(np.array([[np.nan, 0], [0, 0]], np.float32))
    assert np.isnan(rows[0]).all()
    np.testing.assert_array_equal(rows[1], [0.5, 0.5])


def test_top_predictions_are_sorted_and_named():
    found = top_predictions(np.array([0.2, 0.5, 0.3], np.float32), ("a", "b", "c"), top=2)
    assert found == [Prediction("b", 1, 0.5), Prediction("c", 2, float(np.float32(0.3)))]


def test_of_equal_probabilities_the_lower_index_is_first():
    found = top_predictions(np.full(40, 1 / 40, np.float32), [str(i) for i in range(40)], top=40)
    assert [p.index for p in found] == list(range(40))


def test_top_above_the_number_of_classes_gives_them_all():
    found = top_predictions(np.array([1.0], np.float32), ("only",), top=5)
    assert found == [Prediction("only", 0, 1.0)]


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(top):
    with pytest.raises(InputError, match=f"top is {top}; ask for at least 1"):
        top_predictions(np.array([1.0], np.float32), ("only",), top=top)


@pytest.mark.parametrize("shape", [(3,), (2, 2), ()])
def test_probabilities_that_do_not_match_the_classes_are_refused(shape):
    with pytest.raises(InputError, match="each of 2 classes"):
        top_predictions(np.zeros(shape, np.float32), ("a", "b"))


def test_a_prediction_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Prediction("a", 0, 1.0).label = "b"
