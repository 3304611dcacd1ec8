from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.ops import EPILOGUES
from convforge.compiler.kernels.epilogue import (
    epilogue_expression,
    epilogue_functions,
    epilogue_name,
)

STEPS = {
    "affine": ("affine", 1.5, -0.25),
    "relu": ("relu",),
    "clip": ("clip", -0.5, 1.25),
    "leaky_relu": ("leaky_relu", 0.1),
    "sigmoid": ("sigmoid",),
    "tanh": ("tanh",),
    "silu": ("silu",),
    "hard_sigmoid": ("hard_sigmoid",),
    "hard_swish": ("hard_swish",),
    "gelu": ("gelu",),
    "gelu_tanh": ("gelu_tanh",),
    "elu": ("elu", 0.7),
    "softplus": ("softplus",),
    "mish": ("mish",),
    "exp": ("exp",),
    "log": ("log",),
    "sqrt": ("sqrt",),
    "abs": ("abs",),
    "erf": ("erf",),
    "reciprocal": ("reciprocal",),
}
STEEP = {"gelu", "gelu_tanh"}  # far out a rounded argument moves the result by several roundings
EDGES = (-1e38, -1e4, -88.0, -20.0, -3.0, -1e-3, -1e-30, 0.0, 1e-30, 1e-3, 1.25, 3.0, 20.0, 88.0)


@pytest.fixture
def run_steps(run_layers, make_layer):
    """What C and the reference give for values after each of several epilogues."""

    def run(epilogues, values):
        x = np.asarray(values, np.float32).reshape(1, -1)
        layers = [make_layer("elementwise", [x.shape], epilogue=steps) for steps in epilogues]
        return run_layers(layers, [[x]] * len(layers))

    return run


def test_every_step_is_tested():
    assert set(STEPS) == set(EPILOGUES)


def test_every_step_is_its_function(check_layers, make_layer):
    positive = {"log", "sqrt"}
    epilogues = [(("abs",), step) if name in positive else (step,) for name, step in STEPS.items()]
    check_layers([make_layer("elementwise", [(1, 500)], epilogue=steps) for steps in epilogues])


def test_every_step_is_right_far_out_and_close_to_zero(run_steps, expected, make_layer):
    x = np.array([*EDGES, 1e4, 1e38], np.float32).reshape(1, -1)
    for step, found in zip(STEPS, run_steps([(s,) for s in STEPS.values()], x), strict=True):
        layer = make_layer("elementwise", [x.shape], epilogue=(STEPS[step],))
        # 1e-37: where float32 has lost the digits of a sigmoid near zero
        rtol = 1e-6 if step in STEEP else 3e-7
        np.testing.assert_allclose(found, expected(layer, [x]), rtol=rtol, atol=1e-37, err_msg=step)


def test_a_nan_comes_through_every_step(run_steps):
    results = run_steps([(step,) for step in STEPS.values()], [np.nan])
    assert [name for name, y in zip(STEPS, results, strict=True) if not np.isnan(y)] == []


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("affine", -np.inf, np.inf),
        ("relu", 0.0, np.inf),
        ("clip", -0.5, 1.25),
        ("leaky_relu", -np.inf, np.inf),
        ("sigmoid", 0.0, 1.0),
        ("tanh", -1.0, 1.0),
        ("silu", np.nan, np.inf),  # -inf times 0, as in torch
        ("hard_sigmoid", 0.0, 1.0),
        ("hard_swish", np.nan, np.inf),
        ("gelu", 0.0, np.inf),
        ("gelu_tanh", np.nan, np.inf),
        ("elu", -0.7, np.inf),
        ("softplus", 0.0, np.inf),
        ("mish", np.nan, np.inf),
        ("exp", 0.0, np.inf),
        ("log", np.nan, np.inf),
        ("sqrt", np.nan, np.inf),
        ("abs", np.inf, np.inf),
        ("erf", -1.0, 1.0),
        ("reciprocal", -0.0, 0.0),
    ],
)
def test_infinity_goes_to_the_limit(run_steps, name, low, high):
    (found,) = run_steps([(STEPS[name],)], [-np.inf, np.inf])
    np.testing.assert_array_equal(found, np.float32([[low, high]]))


def test_a_clip_with_one_open_end(run_steps):
    x = [-2.0, 0.5, 2.0]
    above, below = run_steps([(("clip", 0.0, np.inf),), (("clip", -np.inf, 1.0),)], x)
    np.testing.assert_array_equal(above, [[0.0, 0.5, 2.0]])
    np.testing.assert_array_equal(below, [[-2.0, 0.5, 1.0]])


def test_steps_nest_in_their_order():
    steps = (("relu",), ("affine", 2.0, -1.0))
    nested = "cf_affine(cf_relu(x), 0x1.0000000000000p+1f, -0x1.0000000000000p+0f)"
    assert nested in epilogue_functions([steps])
    assert epilogue_expression(steps, "v") == f"{epilogue_name(steps)}(v)"
    assert epilogue_expression((), "v") == "v"


def test_epilogues_that_differ_in_a_number_have_names_of_their_own():
    names = {epilogue_name((("clip", 0.0, high),)) for high in (1.0, 6.0)}
    assert len(names) == 2


def test_only_the_functions_that_are_called_are_defined():
    def defined(*names):
        text = epilogue_functions([(STEPS[name],) for name in names])
        return {name for name in STEPS if f"cf_{name}(float x" in text}

    assert defined() == set()
    assert defined("relu", "tanh") == {"relu", "tanh"}
    assert defined("silu") == {"silu", "sigmoid"}
    assert defined("hard_swish") == {"hard_swish", "hard_sigmoid", "clip"}
