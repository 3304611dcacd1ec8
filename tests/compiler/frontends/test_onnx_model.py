from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.frontends.onnx_model import NEWEST_OPSET, tensor_array
from convforge.errors import InputError, UnsupportedError


@pytest.fixture
def model(onnx_model):
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    return onnx_model(("Conv", "x w", {"pads": [1, 1, 1, 1]}), ("Relu", "y0", {}), w=weight)


@pytest.fixture
def beside(model, tmp_path):
    """The path of the model with its weight in a file beside it, and what to call the file."""

    def save(location="weights.bin", **fields):
        path = tmp_path / "net.onnx"
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        stored = onnx.load(path, load_external_data=False)
        entries = {entry.key: entry for entry in stored.graph.initializer[0].external_data}
        for key, value in {"location": location, **fields}.items():
            entries[key].value = str(value)
        path.write_bytes(stored.SerializeToString())
        return path

    return save


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"not a model", b"\x7fELF" + bytes(100), b"\x08\x08", bytes(range(256))],
)
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"net.onnx: is no ONNX model; expected a file that"):
        from_onnx(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"net.onnx: cannot be read \(No such file"):
        from_onnx(tmp_path / "net.onnx")


def test_a_file_that_breaks_a_rule_is_refused(model, tmp_path):
    model.graph.node[1].input[0] = "nowhere"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"net.onnx: breaks a rule of ONNX: .*") as caught:
        from_onnx(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_or_changed_is_refused_or_read(model, tmp_path):
    whole = model.SerializeToString()
    path, generator = tmp_path / "net.onnx", np.random.default_rng(0)
    for end in generator.integers(0, len(whole), 60):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            from_onnx(path)
    for _ in range(300):
        changed = bytearray(whole)
        for place in generator.integers(0, len(whole), 2):
            changed[place] = generator.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(InputError):
            from_onnx(path)


@pytest.mark.parametrize("opset", [0, 1, 9, 10, NEWEST_OPSET + 1, 999])
def test_another_opset_is_refused(opset, model):
    model.opset_import[0].version = opset
    words = f"opset {opset}; 11 to {NEWEST_OPSET} are supported: export it again"
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(model)


def test_the_standard_operators_have_two_names(model, as_onnxruntime):
    model.opset_import[0].domain = "ai.onnx"
    assert [node.op for node in as_onnxruntime(model).nodes] == ["conv2d", "elementwise"]


def test_functions_of_the_model_itself_are_inlined(model, as_onnxruntime):
    body = [onnx.helper.make_node("Relu", ["a"], ["b"]), onnx.helper.make_node("Neg", ["b"], ["c"])]
    ids = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
    function = onnx.helper.make_function("own", "NegativeRelu", ["a"], ["c"], body, ids[:1])
    model.functions.append(function)
    model.opset_import.append(ids[1])
    model.graph.node[1].op_type, model.graph.node[1].domain = "NegativeRelu", "own"
    graph = as_onnxruntime(model)
    assert [node.op for node in graph.nodes] == ["conv2d", "elementwise"]


def test_weights_beside_the_model_are_read(beside, model):
    expected = from_onnx(model)
    found = from_onnx(beside())
    np.testing.assert_array_equal(found.constants["w"], expected.constants["w"])


def test_weights_in_a_folder_below_are_read(beside, model, tmp_path):
    path = beside("below/weights.bin")
    (tmp_path / "below").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "below" / "weights.bin")
    assert from_onnx(path).constants["w"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize("location", ["../weights.bin", "below/../../weights.bin", "/etc/hostname"])
def test_weights_outside_the_folder_are_refused(location, beside, tmp_path):
    (tmp_path.parent / "weights.bin").write_bytes(bytes(4 * 4 * 27))
    with pytest.raises(InputError, match=r"tensor 'w': its data lies in .*, outside the model's f"):
        from_onnx(beside(location))


def test_a_link_that_leads_outside_is_refused(beside, tmp_path):
    (tmp_path.parent / "weights.bin").write_bytes(bytes(4 * 4 * 27))
    path = beside("link.bin")
    (tmp_path / "link.bin").symlink_to(tmp_path.parent / "weights.bin")
    with pytest.raises(InputError, match="outside the model's folder"):
        from_onnx(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"location": "other.bin"}, "should lie in 'other.bin' beside the model, where no file is"),
        ({"location": "."}, "should lie in '.' beside the model"),
        ({"offset": 8}, r"expected 432 bytes at 8 in 'weights.bin', which has 432"),
        ({"offset": -8}, "expected 432 bytes at -8"),
        ({"length": 16}, "the model says 16; copy the whole file"),
        ({"length": 2**40}, f"the model says {2**40}"),
    ],
)
def test_weights_that_are_not_all_there_are_refused(fields, words, beside):
    with pytest.raises(InputError, match=words):
        from_onnx(beside(**fields))


def test_a_model_in_memory_has_its_weights_in_it(beside):
    stored = onnx.load(beside(), load_external_data=False)
    with pytest.raises(InputError, match=r"tensor 'w'|breaks a rule of ONNX"):
        from_onnx(stored)


def test_a_tensor_with_less_data_than_its_shape_is_refused(model, tmp_path):
    for dims in ([4, 3, 3, 4], [2**31, 2**31], [2**62, 4], [-4, -27]):
        model.graph.initializer[0].dims[:] = dims
        with pytest.raises(InputError):
            tensor_array(model.graph.initializer[0], tmp_path)
        with pytest.raises(InputError):
            from_onnx(model)
