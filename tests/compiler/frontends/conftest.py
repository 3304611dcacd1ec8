from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.reference import evaluate, evaluate_all
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


@pytest.fixture
def onnx_model() -> Callable[..., onnx.ModelProto]:
    """An ONNX model from "x" of `shape` through nodes to the last one's first result.

    A node is (operator, inputs, attributes) and gives "y", those before it "y0", "y1", …; its
    results are named where `outputs` does. Keywords are constants.
    """

    def make(
        *nodes: tuple[str, str, dict[str, object]],
        shape: tuple[int | str | None, ...] = (1, 3, 6, 6),
        opset: int = 17,
        outputs: tuple[str, ...] = ("y",),
        **constants: object,
    ) -> onnx.ModelProto:
        last = len(nodes) - 1
        body = [
            onnx.helper.make_node(
                op,
                ["" if name == "-" else name for name in inputs.split()],
                outputs if number == last else [f"y{number}"],
                **attributes,
            )
            for number, (op, inputs, attributes) in enumerate(nodes)
        ]
        graph = onnx.helper.make_graph(
            body,
            "test",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_empty_tensor_value_info(outputs[0])],
            [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
        )
        graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        ids = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=ids, ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        model.graph.output[0].type.tensor_type.shape.SetInParent()  # where it cannot be inferred
        return model

    return make


@pytest.fixture
def as_onnxruntime() -> Callable[..., Graph]:
    """The graph of an ONNX model, whose meaning is what onnxruntime computes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings about models that tests are made of

    def check(model: onnx.ModelProto, *, error: float = 1e-6) -> Graph:
        graph = from_onnx(model)
        verify(graph)
        x = np.random.default_rng(0).standard_normal(graph.input_shape, np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        (truth,) = session.run([model.graph.output[0].name], {"x": x})
        found = evaluate(graph, x.astype(np.float64))
        assert found.shape == truth.shape
        tolerance = error * np.abs(truth[np.isfinite(truth)]).max()
        np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance)
        return graph

    return check
