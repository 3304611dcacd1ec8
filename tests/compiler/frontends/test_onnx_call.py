from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from convforge.compiler.frontends.onnx_call import Call, Fixed, Unsupported, Value, axes_of, axis_of


def refuse(*_):
    pytest.fail("nothing is emitted here")


def call(*operands, **attributes):
    names = [f"i{position}" for position in range(len(operands))]
    return Call(helper.make_node("Any", names, ["y"], **attributes), 17, operands, refuse)


X = Value("x", (1, 3))
C = Fixed(np.ones(3, np.float32), "c")
I = Fixed(np.array([1, 2]), "i")


def test_attributes_have_their_types_and_defaults():
    node = call(X, a=1.5, b=2, c=[3, 4], d="text")
    assert (node.number("a", 0), node.whole("b", 0)) == (1.5, 2)
    assert (node.wholes("c", None), node.word("d", "")) == ((3, 4), "text")
    assert (node.number("e", 0.5), node.whole("f", 7)) == (0.5, 7)
    assert (node.wholes("g", None), node.word("h", "other")) == (None, "other")


def test_an_attribute_that_was_not_looked_at_is_refused():
    node = call(a=1.5, new=[1, 2])
    node.number("a", 0)
    with pytest.raises(Unsupported, match=r"attribute new=\[1, 2\]; a node without it"):
        node.check_all_was_read()
    node.ignore("new", "none such")
    node.check_all_was_read()


def test_an_input_that_was_not_looked_at_is_refused():
    node = call(X, None, C)
    node.x()
    with pytest.raises(Unsupported, match=r"input 2, the constant 'c', float32 of shape \[3\]; a"):
        node.check_all_was_read()
    node.weight(2)
    node.check_all_was_read()


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda node: node.x(1), "input 1 is the constant 'c', float32 .*; a computed value"),
        (lambda node: node.x(3), "input 3 is left out; a computed value is supported"),
        (lambda node: node.fixed(0), r"input 0 is the computed value 'x' of shape \[1, 3\]; a con"),
        (lambda node: node.weight(2), r"the constant 'i', int64 of shape \[2\]; a float32 con"),
        (lambda node: node.weight(3), "input 3 is left out; a float32 constant"),
        (lambda node: node.integers(1), "the constant 'c', float32 .*; whole numbers"),
        (lambda node: node.scalar(1), "the constant 'c', float32 .*; one number"),
    ],
)
def test_an_input_of_another_kind_is_refused(read, words):
    with pytest.raises(Unsupported, match=words):
        read(call(X, C, I))


def test_inputs_that_are_left_out_are_none():
    node = call(X, None)
    for read in (node.operand, node.fixed, node.optional_weight, node.scalar, node.integers):
        assert read(1) is None
        assert read(5) is None
    assert call(X, I).integers(1) == (1, 2)


def test_a_node_without_a_name_has_that_of_its_result():
    assert call(X).name == "y"
    assert (
        Call(helper.make_node("Any", [], ["", "z"], name="named"), 17, (), refuse).name == "named"
    )
    assert Call(helper.make_node("Any", [], ["", "z"]), 17, (), refuse).name == "z"


def test_axes_are_counted_from_either_end():
    assert [axis_of(axis, 3) for axis in (0, 2, -1, -3)] == [0, 2, 2, 0]
    assert axes_of((-1, 0), 3) == (0, 2)
    for axis in (3, -4):
        with pytest.raises(Unsupported, match=f"axis {axis} of a tensor of rank 3"):
            axis_of(axis, 3)
    with pytest.raises(Unsupported, match="one of them twice"):
        axes_of((2, -1), 3)
