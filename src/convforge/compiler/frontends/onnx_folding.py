"""What depends on constants only is computed here, by ONNX's own meaning of it in numpy.

That is how exporters write shapes: Shape, Gather, Concat, Reshape. `FOLDED` lists what may be
computed; what grows its input is asked first how large the result would be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from convforge.compiler.frontends.onnx_call import Fixed, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import NodeProto

LARGEST_TENSOR = 2**29  # elements: 2 GiB of float32

_FOLDED = (
    "Abs Add And Cast Ceil Clip Concat Constant ConstantOfShape Div Equal Exp Expand Flatten Floor "
    "Gather Greater GreaterOrEqual Identity Less LessOrEqual Log Max Min Mod Mul Neg Not Or Pow "
    "Range Reciprocal ReduceMax ReduceMin ReduceProd ReduceSum Reshape Shape Size Slice Split Sqrt "
    "Squeeze Sub Sum Tile Transpose Unsqueeze Where"
)
FOLDED = frozenset(_FOLDED.split())


def fold(node: NodeProto, inputs: Sequence[Fixed | None], *, opset: int) -> list[Fixed]:
    """The results of a node of `FOLDED` whose inputs are constants, each named as in the model.

    Raises Unsupported where a result would be too large, or where the node does not fit its inputs.
    """
    arrays = {
        name: fixed.array
        for name, fixed in zip(node.input, inputs, strict=True)
        if fixed is not None
    }
    size = _SIZES[node.op_type](*(a.array for a in inputs if a)) if node.op_type in _SIZES else 0
    if size > LARGEST_TENSOR:
        raise Unsupported(f"a constant of {size} elements; up to {LARGEST_TENSOR} are supported")
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(node, opsets={"": opset}).run(None, arrays)
    except Exception as error:  # whatever numpy raises where shapes or types do not fit
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Unsupported(f"constants that do not fit it: {reason[0]}") from error
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        raise Unsupported("a constant that is no tensor; tensors are supported")
    return [
        Fixed(np.asarray(result), name) for result, name in zip(results, node.output, strict=True)
    ]


def shape_of(node: NodeProto, shape: tuple[int, ...]) -> Fixed:
    """The result of a Shape or Size node, which reads no more than a shape."""
    if node.op_type == "Size":
        return Fixed(np.asarray(math.prod(shape), np.int64), node.output[0])
    ends = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    part = shape[slice(ends.get("start", 0), ends.get("end"))]
    return Fixed(np.asarray(part, np.int64), node.output[0])


def _spread(array: NDArray[Any], shape: NDArray[Any]) -> int:
    # Each size is the larger one or has a 1 against it.
    return math.prod(map(int, shape.reshape(-1))) * max(1, array.size)


def _range(start: NDArray[Any], limit: NDArray[Any], delta: NDArray[Any]) -> int:
    ends = [float(number.reshape(-1)[0]) for number in (start, limit, delta)]
    return 0 if ends[2] == 0 else int(abs((ends[1] - ends[0]) / ends[2]))


# op: at least as many elements as its result has
_SIZES: dict[str, Callable[..., int]] = {
    "ConstantOfShape": lambda shape: math.prod(map(int, shape.reshape(-1))),
    "Expand": _spread,
    "Range": _range,
    "Tile": lambda array, times: array.size * math.prod(map(int, times.reshape(-1))),
}
