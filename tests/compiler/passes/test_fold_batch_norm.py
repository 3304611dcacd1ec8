from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.fold_batch_norm import fold_batch_norm

NORM = {"eps": 1e-3}
PARAMETERS = ("gamma", "beta", "mean", "variance")


@pytest.fixture
def parameters(draw):
    return dict(zip(PARAMETERS, (draw(3), draw(3), draw(3), draw(3) ** 2), strict=True))


def test_batch_norm_becomes_a_scale_and_a_shift(golden_pass, make_graph, parameters):
    bn = Node("bn", "batch_norm", ("x", *PARAMETERS), NORM, (("relu",),))
    after = golden_pass(fold_batch_norm, make_graph(bn, **parameters))
    gamma, beta, mean, variance = (np.float64(parameters[name]) for name in PARAMETERS)
    scale = gamma / np.sqrt(variance + 1e-3)
    np.testing.assert_array_equal(after.constants["bn.scale"], np.float32(scale))
    np.testing.assert_array_equal(after.constants["bn.shift"], np.float32(beta - mean * scale))


def test_it_folds_on_vectors_and_where_statistics_are_shared(apply, make_graph, parameters):
    after = apply(
        fold_batch_norm,
        make_graph(
            Node("bn1", "batch_norm", ("x", *PARAMETERS), NORM),
            Node("pool", "reshape", ("bn1",), {"shape": (1, 3)}),
            Node("bn2", "batch_norm", ("pool", *PARAMETERS), {"eps": 0.5}),
            shape=(1, 3, 1, 1),
            **parameters,
        ),
    )
    assert [node.op for node in after.nodes] == ["scale_shift", "reshape", "scale_shift"]
    assert set(after.constants) == {"bn1.scale", "bn1.shift", "bn2.scale", "bn2.shift"}


def test_a_tiny_variance_does_not_overflow(apply, make_graph, parameters):
    parameters["variance"] = np.zeros(3)
    apply(
        fold_batch_norm,
        make_graph(Node("bn", "batch_norm", ("x", *PARAMETERS), {"eps": 1e-5}), **parameters),
    )


def test_a_constant_that_has_the_name_already_keeps_it(apply, make_graph, parameters, draw):
    constants = {**parameters, "bn.scale": draw(3), "bn.shift": draw(3)}
    after = apply(
        fold_batch_norm,
        make_graph(
            Node("bn", "batch_norm", ("x", *PARAMETERS), NORM),
            Node("y", "scale_shift", ("bn", "bn.scale", "bn.shift")),
            **constants,
        ),
    )
    assert after.nodes[0].inputs == ("x", "bn.scale'", "bn.shift'")
    np.testing.assert_array_equal(after.constants["bn.scale"], constants["bn.scale"])


def test_a_graph_without_batch_norm_stays_as_it_is(unchanged, make_graph, draw):
    node = Node("y", "scale_shift", ("x", "a", "b"))
    unchanged(fold_batch_norm, make_graph(node, a=draw(3), b=draw(3)))
