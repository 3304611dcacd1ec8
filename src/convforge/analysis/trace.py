"""Run a network once and write down every operator: the ground of `summary`.

Hooks say which layer is running, a dispatch mode sees each operator that torch runs inside it: what
a `forward` adds, concatenates or multiplies by hand is seen like any layer. The run is on torch's
meta device, which computes shapes only: no memory, no arithmetic, and the network is left as it
was. Every tensor is kept until the trace is dropped, so that its identity stands for its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convforge.errors import NetworkError

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True, kw_only=True)
class Call:
    """One operator as it ran.

    `operator` is its ATen name without overload or trailing underscore; `arguments` are the
    positional ones with None for what holds tensors: those are `inputs`, keyword ones last.
    """

    operator: str
    arguments: tuple[Any, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    pointwise: bool

    def argument(self, index: int, default: Any = None) -> Any:
        """The positional argument at `index`, or `default` where the call left it out."""
        return self.arguments[index] if index < len(self.arguments) else default


@dataclass(kw_only=True)
class Step:
    """One row of a summary to be: a call of a layer without children, or one operator between them.

    `path` is the module's, `layer` None where the operator stands in the forward of a module with
    children. `inputs` and `outputs` are shapes of the layer's own arguments and result.
    """

    path: str
    layer: nn.Module | None
    calls: list[Call] = field(default_factory=list)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    @property
    def name(self) -> str:
        """The layer's path, or path:operator."""
        if self.layer is not None:
            return self.path
        return f"{self.path}:{self.calls[0].operator}".lstrip(":")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What ran for one input: steps in order, and the names of the parameters' tensors.

    `parameters` maps the identity of a storage to (name, number of values). `state` keeps those
    tensors, and the buffers', alive.
    """

    steps: tuple[Step, ...]
    input: Tensor
    outputs: tuple[Tensor, ...]
    parameters: Mapping[int, tuple[str, int]]
    state: tuple[Tensor, ...]


def storage_id(tensor: Tensor) -> int:
    """Identity of the memory behind a tensor: a view has that of what it views."""
    return id(tensor.untyped_storage())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a nest of tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)


def trace(net: nn.Module, input_shape: tuple[int, ...]) -> Trace:
    """Trace `net` in evaluation mode on one input of `input_shape` (C, H, W).

    Raises NetworkError where the network cannot take that input.
    """
    state = {name: _on_meta(value) for name, value in _state(net).items()}
    names = [name for name, _ in net.named_parameters()]
    x = torch.zeros(1, *input_shape, device="meta")
    recorder = Recorder()
    try:
        with evaluating(net), recorder.following(net), torch.no_grad():
            result = torch.func.functional_call(net, state, (x,))
    except (RuntimeError, ValueError, IndexError) as error:
        shape = "x".join(map(str, input_shape))
        raise NetworkError(
            f"{label(net)}: it cannot take an input of {shape} (channels, height, width): "
            f"{str(error).splitlines()[0]}; give an input_shape that it takes"
        ) from None
    outputs = tuple(tensors_in(result))
    if not outputs:
        raise NetworkError(
            f"{label(net)}: its forward gives {type(result).__name__}, expected a tensor; "
            f"wrap it in a module that returns one"
        )
    return Trace(
        steps=tuple(recorder.steps),
        input=x,
        outputs=outputs,
        parameters={storage_id(state[name]): (name, state[name].numel()) for name in names},
        state=tuple(state.values()),
    )


def label(net: nn.Module) -> str:
    """A network's catalogue name, or its class where it has none."""
    return str(getattr(net, "name", None) or type(net).__name__)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every module's own mode afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Collects a `Step` a layer and, inside it, a `Call` an operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._open: list[tuple[str, Step | None]] = [("", None)]  # path, the leaf's step

    def run(self, step: Step, func: OpOverload[..., Any], args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        """Run one operator of `step`; a clock overrides this."""
        return func(*args, **kwargs)

    def keep(self, value: Any) -> tuple[Tensor, ...]:
        """The tensors in `value`, which the trace then keeps alive; a clock keeps none."""
        return tuple(tensors_in(value))

    @contextmanager
    def following(self, net: nn.Module) -> Iterator[None]:
        """Record what runs inside, until the block ends; the hooks are taken off again."""
        handles: list[RemovableHandle] = []
        for path, module in net.named_modules():
            if module is not net:
                handles += [
                    module.register_forward_pre_hook(self._enter(path), with_kwargs=True),
                    module.register_forward_hook(self._leave),
                ]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self,
        func: OpOverload[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator and write it down in the step that it belongs to."""
        path, leaf = self._open[-1]
        inputs = self.keep((args, kwargs))
        step = leaf or Step(path=path, layer=None, inputs=inputs)
        result = self.run(step, func, args, kwargs or {})
        outputs = self.keep(result)
        step.calls.append(
            Call(
                operator=func.overloadpacket.__name__.rstrip("_"),
                arguments=tuple(None if _holds_tensor(a) else a for a in args),
                inputs=inputs,
                outputs=outputs,
                pointwise=torch.Tag.pointwise in func.tags,
            )
        )
        if leaf is None and _holds_tensor((args, kwargs)):
            step.outputs = outputs[:1]
            self.steps.append(step)
        return result

    def _enter(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            step = None
            if next(module.children(), None) is None:
                step = Step(path=path, layer=module, inputs=self.keep((args, kwargs)))
                self.steps.append(step)
            self._open.append((path, step))

        return enter

    def _leave(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:  # noqa: ARG002
        _, step = self._open.pop()
        if step is not None:
            step.outputs = self.keep(result)


def _holds_tensor(value: Any) -> bool:
    return next(tensors_in(value), None) is not None


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def _on_meta(value: Tensor) -> Tensor:
    return torch.empty_like(value, device="meta", requires_grad=False)
