from __future__ import annotations

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.frontends.onnx_handlers import HANDLERS
from convforge.compiler.ir.printer import print_graph
from convforge.errors import UnsupportedError


def weight(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_the_graph_reads_like_the_model(onnx_model, golden, tmp_path):
    model = onnx_model(
        ("Conv", "x conv.weight conv.bias", {"pads": [1, 1, 1, 1], "name": "/conv/Conv"}),
        ("Clip", "y0 low high", {"name": "/relu6/Clip"}),
        ("GlobalAveragePool", "y1", {"name": "/pool/GlobalAveragePool"}),
        ("Flatten", "y2", {"name": "/Flatten"}),
        ("Gemm", "y3 fc.weight fc.bias", {"transB": 1, "name": "/fc/Gemm"}),
        **{"conv.weight": weight(4, 3, 3, 3), "conv.bias": weight(4)},
        **{"fc.weight": weight(5, 4), "fc.bias": weight(5)},
        low=np.float32(0),
        high=np.float32(6),
    )
    onnx.save(model, tmp_path / "net.onnx")
    graph = from_onnx(str(tmp_path / "net.onnx"))
    golden("onnx", print_graph(graph))
    assert set(graph.constants) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}


@pytest.mark.parametrize("batch", ["N", None, 0])
def test_a_batch_that_is_left_open_is_one(batch, onnx_model):
    model = onnx_model(("Relu", "x", {}), shape=(batch, 3, 6, 6))
    assert from_onnx(model).input_shape == (1, 3, 6, 6)
    assert from_onnx(model, input_shape=(4, 3, 6, 6)).input_shape == (4, 3, 6, 6)


def test_sizes_that_are_left_open_are_given(onnx_model):
    model = onnx_model(("Relu", "x", {}), shape=("N", 3, "H", "W"))
    assert from_onnx(model, input_shape=(1, 3, 7, 9)).input_shape == (1, 3, 7, 9)
    words = r"'x' has shape \[N, 3, H, W\]; only the batch may be left open: give input_shape"
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(model)
    for shape in ((1, 4, 7, 9), (1, 3, 7)):
        with pytest.raises(UnsupportedError, match=r"which input_shape=\(1, . 7|does not fit"):
            from_onnx(model, input_shape=shape)


@pytest.mark.parametrize("shape", [(), (1,) * 7, (1, 2**20, 2**20)])
def test_an_input_of_no_known_rank_or_size_is_refused(shape, onnx_model):
    with pytest.raises(UnsupportedError, match="1 to 6 sizes from 1 on and up to"):
        from_onnx(onnx_model(("Relu", "x", {}), shape=shape))


def test_a_value_that_would_fill_the_memory_is_refused(onnx_model):
    constants = {"s": np.array((1, 1, 2**15, 2**15), np.float32)}
    resize = ("Resize", "x - s", {"mode": "linear"})
    with pytest.raises(UnsupportedError, match=r"node 'y' \(Resize\): a result of shape"):
        from_onnx(onnx_model(resize, shape=(1, 3, 6, 6), **constants))


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "INT8", "UINT8", "BOOL", "STRING"])
def test_an_input_of_another_type_is_refused(kind, onnx_model):
    model = onnx_model(("Identity", "x", {}))
    model.graph.input[0].type.tensor_type.elem_type = getattr(onnx.TensorProto, kind)
    words = f"the input 'x' is a tensor of {kind.lower()}; a float32 tensor is supported"
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(model)


def test_several_inputs_and_outputs_are_refused(onnx_model):
    model = onnx_model(("Relu", "x", {}))
    model.graph.output.append(onnx.helper.make_tensor_value_info("x", 1, (1, 3, 6, 6)))
    with pytest.raises(UnsupportedError, match=r"1 inputs \('x'\) and 2 outputs; one of each"):
        from_onnx(model)
    model = onnx_model(("Relu", "x", {}))
    model.graph.input.append(onnx.helper.make_tensor_value_info("z", 1, (1,)))
    with pytest.raises(UnsupportedError, match=r"2 inputs \('x', 'z'\) and 1 outputs"):
        from_onnx(model)


def test_constants_that_are_inputs_too_are_constants(onnx_model):
    model = onnx_model(("Add", "x c", {}), c=weight(6))
    model.graph.input.append(onnx.helper.make_tensor_value_info("c", 1, (6,)))
    assert set(from_onnx(model).constants) == {"c"}


def test_an_operator_that_is_not_known_is_refused(onnx_model):
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(onnx_model(("Sin", "x", {"name": "wave"})))
    words = f"the operator Sin is not supported; supported are {', '.join(sorted(HANDLERS))}"
    assert str(caught.value) == f"node 'wave' (Sin): {words}"


def test_an_operator_of_another_domain_is_refused(onnx_model):
    model = onnx_model(("Gelu", "x", {}), opset=20)
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(UnsupportedError, match=r"the operator com.microsoft.Gelu is not supported"):
        from_onnx(model)


@pytest.mark.parametrize(
    ("operator", "outputs", "attributes"),
    [
        ("MaxPool", ("z", "y"), {"kernel_shape": [2, 2]}),
        ("Dropout", ("z", "y"), {}),
    ],
)
def test_a_further_result_is_refused_where_it_is_read(operator, outputs, attributes, onnx_model):
    model = onnx_model((operator, "x", attributes), outputs=outputs)
    assert from_onnx(model).output
    model.graph.output[0].name = "y"
    with pytest.raises(UnsupportedError, match="output 'y' is a further result of a node"):
        from_onnx(model)
    model.graph.node.append(onnx.helper.make_node("Relu", ["y"], ["r"]))
    model.graph.output[0].name = "r"
    with pytest.raises(UnsupportedError, match=r"\(Relu\): its input 'y' is a further result"):
        from_onnx(model)


def test_what_the_output_does_not_depend_on_is_left_out(onnx_model):
    model = onnx_model(("Add", "x c", {}), ("Relu", "x", {}), c=weight(6))
    graph = from_onnx(model)
    assert [node.name for node in graph.nodes] == ["y"]
    assert not graph.constants


def test_an_input_that_is_the_output_is_copied(onnx_model, as_onnxruntime):
    graph = as_onnxruntime(onnx_model(("Identity", "x", {})), error=0)
    assert [(node.op, node.epilogue) for node in graph.nodes] == [("elementwise", ())]


def test_a_constant_is_stored_once_however_often_it_is_read(onnx_model):
    nodes = (("Conv", "x w", {}), ("Conv", "y0 w", {}))
    graph = from_onnx(onnx_model(*nodes, w=weight(3, 3, 3, 3)))
    assert set(graph.constants) == {"w"}


def test_nodes_and_tensors_of_one_name_get_names_of_their_own(onnx_model, as_onnxruntime):
    nodes = (("PRelu", "x c", {"name": "c"}), ("Add", "y0 x", {"name": "x"}))
    graph = as_onnxruntime(onnx_model(*nodes, c=weight(6)))
    assert [node.name for node in graph.nodes] == ["c", "c:3", "c:4", "c:5", "x:2"]
    assert set(graph.constants) == {"c:2"}
