"""What each ONNX operator becomes in the graph.

`HANDLERS`, by the operator's name, is the list of what is supported. A handler reads the node's
attributes and inputs from a `Call`, refuses what it does not understand by raising `Unsupported`,
and gives the node's results in order, the further ones where it has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.frontends import onnx_arithmetic as arithmetic
from convforge.compiler.frontends import onnx_layers as layers
from convforge.compiler.frontends import onnx_layout as layout
from convforge.compiler.frontends import onnx_windows as windows
from convforge.compiler.frontends.onnx_arithmetic import steps
from convforge.compiler.frontends.onnx_resize import resize

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from convforge.compiler.frontends.onnx_call import Call, Value

    Handler: TypeAlias = Callable[[Call], Value | tuple[Value, ...]]

HANDLERS: dict[str, Handler] = {
    # windows
    "Conv": windows.conv,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "Pad": windows.pad,
    "Resize": resize,
    # layers
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "BatchNormalization": layers.batch_norm,
    "InstanceNormalization": layers.instance_norm,
    "GroupNormalization": layers.group_norm,
    "LayerNormalization": layers.layer_norm,
    "LRN": layers.lrn,
    "Softmax": layers.softmax,
    "ReduceMean": layers.mean,
    "ReduceSum": layers.sum_,
    "ReduceMax": layers.maximum,
    # arithmetic
    "Add": arithmetic.binary("add"),
    "Sub": arithmetic.binary("sub"),
    "Mul": arithmetic.binary("mul"),
    "Div": arithmetic.binary("div"),
    "Sum": arithmetic.sum_,
    "Max": arithmetic.extreme(largest=True),
    "Min": arithmetic.extreme(largest=False),
    "Pow": arithmetic.power,
    # activations
    "Clip": arithmetic.clip,
    "PRelu": arithmetic.prelu,
    "HardSigmoid": arithmetic.hard_sigmoid,
    "Gelu": arithmetic.gelu,
    "Selu": arithmetic.selu,
    "Swish": arithmetic.swish,
    "Relu": steps(lambda _call: ("relu",)),
    "LeakyRelu": steps(lambda call: ("leaky_relu", call.number("alpha", 0.01))),
    "Elu": steps(lambda call: ("elu", call.number("alpha", 1.0))),
    "Sigmoid": steps(lambda _call: ("sigmoid",)),
    "HardSwish": steps(lambda _call: ("hard_swish",)),
    "Tanh": steps(lambda _call: ("tanh",)),
    "Softplus": steps(lambda _call: ("softplus",)),
    "Mish": steps(lambda _call: ("mish",)),
    "Erf": steps(lambda _call: ("erf",)),
    "Exp": steps(lambda _call: ("exp",)),
    "Log": steps(lambda _call: ("log",)),
    "Sqrt": steps(lambda _call: ("sqrt",)),
    "Abs": steps(lambda _call: ("abs",)),
    "Neg": steps(lambda _call: ("affine", -1.0, 0.0)),
    "Reciprocal": steps(lambda _call: ("reciprocal",)),
    # layout
    "Identity": layout.identity,
    "Dropout": layout.dropout,
    "Cast": layout.cast,
    "Reshape": layout.reshape,
    "Flatten": layout.flatten,
    "Squeeze": layout.squeeze,
    "Unsqueeze": layout.unsqueeze,
    "Transpose": layout.transpose,
    "Concat": layout.concat,
    "Split": layout.split,
    "Slice": layout.slice_,
    "Gather": layout.gather,
    "DepthToSpace": layout.depth_to_space,
    "SpaceToDepth": layout.space_to_depth,
}
