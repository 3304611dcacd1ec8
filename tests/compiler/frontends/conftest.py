from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.reference import evaluate_all
from convforge.compiler.ir.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.ir.graph import Graph


@pytest.fixture
def read() -> Callable[..., Graph]:
    """The graph of a module, whose meaning in float64 is what torch computes in float64.

    Held at the output and at the value of every layer that is one operation.
    """

    def check(
        module: torch.nn.Module, shape: tuple[int, int, int], *, error: float = 1e-12
    ) -> Graph:
        graph = from_torch(module, shape)
        verify(graph)
        image = np.random.default_rng(0).standard_normal((1, *shape))
        truths: dict[str, np.ndarray] = {}

        def keep(name: str) -> Callable[..., None]:
            return lambda _layer, _inputs, result: truths.update({name: result.numpy().copy()})

        hooks = [
            layer.register_forward_hook(keep(name))
            for name, layer in module.named_modules()
            if not list(layer.children()) and f"{name}:2" not in graph.shapes
        ]
        with torch.no_grad():
            truths[graph.output] = module.eval().double()(torch.from_numpy(image)).numpy()
        for hook in hooks:
            hook.remove()
        for name, found in evaluate_all(graph, image).items():
            if name in truths:
                truth = truths[name]
                assert found.shape == truth.shape, name
                tolerance = error * np.abs(truth[np.isfinite(truth)]).max()
                np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance, err_msg=name)
        return graph

    return check
