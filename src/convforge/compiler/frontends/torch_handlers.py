"""What each ATen operation becomes in the graph.

`HANDLERS`, by the name that `torch.export` gives an operation, is the list of what is supported.
A handler reads the node's arguments, refuses what it does not understand by raising `Unsupported`,
and calls `reader.emit` or `reader.alias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.frontends import (
    torch_arithmetic,
    torch_layers,
    torch_moves,
    torch_resizing,
)
from convforge.compiler.frontends.torch_arithmetic import binary, unary

if TYPE_CHECKING:
    from convforge.compiler.frontends.torch_call import Handler

HANDLERS: dict[str, Handler] = {
    "aten.conv2d.default": torch_layers.conv2d,
    "aten.conv2d.padding": torch_layers.conv2d,
    "aten.convolution.default": torch_layers.conv2d,
    "aten.linear.default": torch_layers.linear,
    "aten._native_batch_norm_legit_no_training.default": torch_layers.batch_norm,
    "aten.native_layer_norm.default": torch_layers.layer_norm,
    "aten.native_group_norm.default": torch_layers.group_norm,
    "aten.max_pool2d.default": torch_layers.max_pool,
    "aten.max_pool2d_with_indices.default": torch_layers.max_pool,
    "aten.avg_pool2d.default": torch_layers.avg_pool,
    "aten.adaptive_avg_pool2d.default": torch_layers.adaptive_pool("avg_pool"),
    "aten.adaptive_max_pool2d.default": torch_layers.adaptive_pool("max_pool"),
    "aten.mean.default": torch_layers.reduce("mean"),
    "aten.mean.dim": torch_layers.reduce("mean"),
    "aten.sum.dim_IntList": torch_layers.reduce("sum"),
    "aten.amax.default": torch_layers.reduce("amax"),
    "aten.constant_pad_nd.default": torch_layers.pad,
    "aten.upsample_nearest2d.vec": torch_resizing.nearest,
    "aten.upsample_nearest2d.default": torch_resizing.nearest,
    "aten.upsample_bilinear2d.vec": torch_resizing.bilinear,
    "aten.upsample_bilinear2d.default": torch_resizing.bilinear,
    "aten.index.Tensor": torch_resizing.index,
    "convforge.rbf.default": torch_layers.rbf,  # LeNet-5's output layer, networks/lenet.py
    "convforge.local_response_norm.default": torch_layers.local_response_norm,  # networks/blocks.py
    "<built-in function getitem>": torch_moves.result,
    "aten.view.default": torch_moves.reshape,
    "aten.squeeze.dims": torch_moves.reshape,
    "aten.unsqueeze.default": torch_moves.reshape,
    "aten.clone.default": torch_moves.same_value,
    "aten._to_copy.default": torch_moves.same_value,
    "aten._assert_tensor_metadata.default": torch_moves.no_value,
    "aten.permute.default": torch_moves.permute,
    "aten.slice.Tensor": torch_moves.slice_,
    "aten.select.int": torch_moves.select,
    "aten.split_with_sizes.default": torch_moves.split,
    "aten.cat.default": torch_moves.concat,
    "aten.expand.default": torch_moves.expand,
    "aten.add.Tensor": binary("add"),
    "aten.sub.Tensor": binary("sub"),
    "aten.mul.Tensor": binary("mul"),
    "aten.div.Tensor": binary("div"),
    "aten.pow.Tensor_Scalar": torch_arithmetic.power,
    "aten._softmax.default": torch_arithmetic.softmax,
    "aten._prelu_kernel.default": torch_arithmetic.prelu,
    "aten.neg.default": unary(("affine", -1.0, 0.0)),
    "aten.relu.default": unary(("relu",)),
    "aten.hardtanh.default": unary(lambda a: (("clip", float(a["min_val"]), float(a["max_val"])),)),
    "aten.clamp.default": unary(torch_arithmetic.clamp),
    "aten.leaky_relu.default": unary(lambda a: (("leaky_relu", float(a["negative_slope"])),)),
    "aten.sigmoid.default": unary(("sigmoid",)),
    "aten.tanh.default": unary(("tanh",)),
    "aten.silu.default": unary(("silu",)),
    "aten.hardsigmoid.default": unary(("hard_sigmoid",)),
    "aten.hardswish.default": unary(("hard_swish",)),
    "aten.gelu.default": unary(torch_arithmetic.gelu),
    "aten.elu.default": unary(torch_arithmetic.elu),
    "aten.celu.default": unary(torch_arithmetic.celu),
    "aten.softplus.default": unary(torch_arithmetic.softplus),
    "aten.mish.default": unary(("mish",)),
    "aten.exp.default": unary(("exp",)),
    "aten.log.default": unary(("log",)),
    "aten.sqrt.default": unary(("sqrt",)),
    "aten.rsqrt.default": unary(("sqrt",), ("reciprocal",)),
    "aten.reciprocal.default": unary(("reciprocal",)),
    "aten.abs.default": unary(("abs",)),
    "aten.erf.default": unary(("erf",)),
}
