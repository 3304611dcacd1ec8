"""From a torch module to a graph: `torch.export`, then one handler an ATen operation.

Operations that a handler understands are kept whole (`aten.silu`, not its parts), all others are
decomposed to core ATen first. What depends on constants only is computed here, by torch, and
becomes a constant. Anything else stops with UnsupportedError: the layer, what was found, what is
supported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.compiler.frontends.torch_call import Unsupported
from convforge.compiler.frontends.torch_handlers import HANDLERS
from convforge.compiler.ir.graph import Array, Graph, Node
from convforge.compiler.ir.shapes import LARGEST_RANK
from convforge.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import fx, nn

    from convforge.compiler.ir.ops import Attr, Shape, Step


def from_torch(module: nn.Module, input_shape: tuple[int, int, int], *, images: int = 1) -> Graph:
    """Graph of a module in eval mode for float32 images [C, H, W], so many at a time.

    The module is left as it was; constants share the memory of its weights. Raises
    UnsupportedError naming the layer that is not understood.
    """
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise UnsupportedError(
                f"parameter {name!r} is {parameter.dtype}; torch.float32 is supported: call "
                "`.float()` on the module"
            )
    training = {name: child.training for name, child in module.named_modules()}
    module.eval()
    try:
        # With dynamic shapes left out every size in the graph is a number.
        exported = torch.export.export(module, (torch.zeros(images, *input_shape),))
        kept = torch.export.default_decompositions()
        for target in [target for target in kept if str(target) in HANDLERS]:
            del kept[target]
        exported = exported.run_decompositions(kept)
    except Exception as error:  # torch.export raises whatever the module or its tracer raises
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedError(
            f"{type(module).__name__}: torch.export could not trace it with an input of "
            f"{input_shape}: {reason[0]}; supported is a module that takes one image and does the "
            "same whatever its values"
        ) from error
    finally:
        for name, child in module.named_modules():
            child.training = training[name]
    return Reader((images, *input_shape)).read(exported)


@dataclass
class Reader:
    """Walks an exported program once.

    `values` maps its nodes to names of graph values, `parts` those that give several, `tensors`
    those that are constant.
    """

    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    values: dict[fx.Node, str] = field(default_factory=dict)
    parts: dict[fx.Node, tuple[str, ...]] = field(default_factory=dict)
    tensors: dict[fx.Node, Any] = field(default_factory=dict)
    hints: dict[fx.Node, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def read(self, exported: torch.export.ExportedProgram) -> Graph:
        """Graph of the exported program."""
        signature = exported.graph_signature
        _check_signature(signature)
        state = {**exported.constants, **exported.state_dict}
        held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        held |= signature.inputs_to_lifted_tensor_constants
        source, output = "", ""
        for node in exported.graph.nodes:
            if node.op == "placeholder" and node.name in held:
                self.tensors[node] = state[held[node.name]].detach()
                self.hints[node] = held[node.name]
            elif node.op == "placeholder":
                self.values[node] = source = self.unique("input")
            elif node.op == "call_function":
                self.call(node)
            elif node.op == "output":
                output = self.output(node.args[0][0])
        return Graph(source, self.input_shape, tuple(self.nodes), self.constants, output)

    def call(self, node: fx.Node) -> None:
        """Compute a node now where all of it is constant, otherwise hand it to its handler."""
        where, target = self.path(node), str(node.target)
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if not random and all(source in self.tensors for source in node.all_input_nodes):
            args, kwargs = torch.fx.map_arg(
                (node.args, node.kwargs), lambda source: self.tensors[source]
            )
            self.tensors[node] = node.target(*args, **kwargs)  # type: ignore[operator]
            return
        handler = HANDLERS.get(target)
        if handler is None:
            raise UnsupportedError(
                f"layer {where!r}: the operation {target} is not supported; supported are "
                f"{', '.join(sorted(HANDLERS))}"
            )
        try:
            handler(self, node)
        except Unsupported as error:
            raise UnsupportedError(f"layer {where!r} ({target}): {error}") from None

    def output(self, node: Any) -> str:
        """Name of the graph value that the model gives."""
        if node not in self.values:
            raise UnsupportedError(
                f"the model's output {node!r} does not depend on the image; logits are supported"
            )
        return self.values[node]

    # -- what handlers use -------------------------------------------------------------------

    def emit(
        self,
        node: fx.Node,
        op: str,
        inputs: list[str],
        *,
        attrs: Mapping[str, Attr] | None = None,
        epilogue: tuple[Step, ...] = (),
    ) -> None:
        """Add a graph node that gives the value of `node`."""
        name = self.unique(self.path(node))
        self.nodes.append(Node(name, op, tuple(inputs), attrs or {}, epilogue))
        self.values[node] = name

    def reshape(self, node: fx.Node, source: str, before: Shape, after: Shape) -> str:
        """Reshape a value where its shape differs; `node` gives the result, whose name it is."""
        if before == after:
            return source
        if not 1 <= len(after) <= LARGEST_RANK:
            raise Unsupported(
                f"a reshape from {before} to {after}; 1 to {LARGEST_RANK} axes are supported"
            )
        self.emit(node, "reshape", [source], attrs={"shape": after})
        return self.values[node]

    def value(self, node: Any) -> str:
        """Name of the value that a computed node gives."""
        if node not in self.values:
            raise Unsupported(f"its input {node!r} is not computed from the image as one tensor")
        return self.values[node]

    def weight(self, node: Any, *, shape: Shape | None = None) -> str:
        """Store the constant that a node gives, in another shape where one is given."""
        if node not in self.tensors:
            raise Unsupported(f"its parameter {node!r} is computed; a constant is supported")
        tensor = self.tensors[node] if shape is None else self.tensors[node].reshape(shape)
        return self.constant(tensor, self.hints.get(node, node.name))

    def constant(self, tensor: torch.Tensor | NDArray[Any], hint: str) -> str:
        """Store a constant, float32; gives its name."""
        if isinstance(tensor, torch.Tensor):
            if not tensor.is_floating_point():
                raise Unsupported(f"a constant of type {tensor.dtype}; float32 is supported")
            tensor = tensor.float().numpy()
        name = self.unique(hint)
        with np.errstate(over="ignore"):  # beyond float32 is infinite here as in torch
            self.constants[name] = np.ascontiguousarray(tensor, dtype=np.float32)
        return name

    def alias(self, node: fx.Node, source: Any) -> None:
        """Let a node stand for the value of another: dropout in eval mode, a clone."""
        self.values[node] = self.value(source)

    def path(self, node: fx.Node) -> str:
        """Where in the module a node comes from: "features.c1", or the node's own name."""
        stack = node.meta.get("nn_module_stack") or {}
        path = next(reversed(stack.values()))[0] if stack else ""
        return path.removeprefix("L['self'].").removeprefix("L['self']") or node.name

    def unique(self, hint: str) -> str:
        """A name that no value has yet: the hint, or the hint with a number."""
        name, number = hint, 1
        while name in self.taken:
            number += 1
            name = f"{hint}:{number}"
        self.taken.add(name)
        return name


def _check_signature(signature: torch.export.ExportGraphSignature) -> None:
    inputs, outputs = len(signature.user_inputs), len(signature.user_outputs)
    if (inputs, outputs) != (1, 1):
        raise UnsupportedError(
            f"the model has {inputs} inputs and {outputs} outputs; one image in, one tensor of "
            "logits out is supported"
        )
    changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if changed:
        raise UnsupportedError(
            f"the model changes {changed[0]!r} while it runs; one that changes nothing is supported"
        )
