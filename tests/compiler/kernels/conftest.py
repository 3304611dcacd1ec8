from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

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
