from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from convforge.compiler.ir import reference
from convforge.compiler.ir.reference_bf16 import WEIGHTED, rounded
from convforge.compiler.kernels.family import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convforge.compiler.kernels.family import Layer


@pytest.fixture
def check_layers(run_layers, expected, draw) -> Callable[..., None]:
    """Every layer, as C, gives what it means in float64 for random images, to 1e-5."""

    def check(
        layers: Sequence[Layer],
        *,
        kernels: Sequence[object] | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        inputs = [[draw(*shape) for shape in layer.inputs] for layer in layers]
        results = run_layers(layers, inputs, kernels=kernels, flags=flags)
        for layer, xs, result in zip(layers, inputs, results, strict=True):
            truth = expected(layer, xs)
            error = np.abs(result - truth).max()
            assert error <= 1e-5 * max(1.0, np.abs(truth).max()), layer

    return check


@pytest.fixture
def check_bf16(run_layers, draw) -> Callable[..., None]:
    """Every layer, as C, gives what it means where inputs, weights and results are bfloat16.

    Results may be one rounding apart, 2⁻⁸ of themselves, and those of float32 as sums are.
    """

    def check(layers: Sequence[Layer], **options: object) -> None:
        inputs = [
            [
                rounded(draw(*shape)) if kind is Layout.BF16 else draw(*shape)
                for shape, kind in zip(layer.inputs, layer.takes, strict=True)
            ]
            for layer in layers
        ]
        results = run_layers(layers, inputs, **options)
        for layer, xs, result in zip(layers, inputs, results, strict=True):
            weights = [array.astype(np.float64) for array in layer.constants]
            if layer.node.op in WEIGHTED:
                weights[0] = rounded(weights[0])
            truth = reference.compute(layer.node, [x.astype(np.float64) for x in xs] + weights)
            step = 2.0**-8 if layer.gives is Layout.BF16 else 0.0
            near = 1e-5 * max(1.0, np.abs(truth).max())
            assert (np.abs(result - truth) <= step * np.abs(truth) + near).all(), layer.node

    return check
