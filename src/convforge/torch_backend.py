"""A backend of `torch.compile`: an eval-mode convnet runs as an artifact in its process.

    model = torch.compile(model.eval(), backend="convforge")
    with torch.no_grad():
        model(images)

torch finds it by the entry point "convforge"; what it traced is compiled when it is first called
with an input of a shape. The weights are the artifact's own: where they change later, the next call
raises InputError instead of computing with the old ones (a change that is made through `.data`
leaves no trace and cannot be seen). What the compiler does not understand is refused, nothing falls
back to torch: UnsupportedError, inside torch's BackendCompilerFailed. There are no gradients;
asking for one raises InputError.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convforge.compiler.compilation import compile as compile_model
from convforge.errors import InputError, UnsupportedError
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import fx

MOST_THREADS = 64  # that an artifact computes with, however many torch does


def compile_traced(
    module: fx.GraphModule, example_inputs: Sequence[Any]
) -> Callable[..., tuple[Tensor]]:
    """What `torch.compile` calls: the traced module as a function of its inputs.

    Among the inputs are the model's parameters and buffers; they become constants. Raises
    UnsupportedError where there is more than one other input, where that is no float32 tensor of a
    fixed shape on the CPU, and as `compile` does.
    """
    place = _image_place(example_inputs)
    image = example_inputs[place]
    constants = [value for i, value in enumerate(example_inputs) if i != place]
    traced = _Traced(module, constants, place=place)
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        path = Path(folder) / "traced.so"
        shape = tuple(image.shape)
        threads = min(torch.get_num_threads(), MOST_THREADS)
        compile_model(traced, path, input_shape=shape, threads=threads)
        runtime = Runtime(path)  # holds the library open: its file may go
    versions = [_version(value) for value in constants]

    def run(*inputs: Any) -> tuple[Tensor]:
        held = [value for i, value in enumerate(inputs) if i != place]
        if [_version(value) for value in held] != versions:
            raise InputError(
                "the model's weights have changed since torch.compile; call torch.compiler.reset() "
                "so that it is compiled again, or train the model without torch.compile"
            )
        return (_Forward.apply(runtime, inputs[place], *held),)

    return run


class _Traced(nn.Module):
    """The traced module with everything but the image held."""

    def __init__(self, module: fx.GraphModule, constants: Sequence[Tensor], *, place: int) -> None:
        super().__init__()
        self.module = module
        self.place = place
        names = [node.name for node in module.graph.nodes if node.op == "placeholder"]
        self.names = names[:place] + names[place + 1 :]
        for name, value in zip(self.names, constants, strict=True):
            self.register_buffer(name, value.detach())
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        inputs = [getattr(self, name) for name in self.names]
        inputs.insert(self.place, image)
        results = self.module(*inputs)
        if len(results) != 1:
            raise UnsupportedError(f"it gives {len(results)} tensors; one is supported")
        return results[0]  # type: ignore[no-any-return]


class _Forward(torch.autograd.Function):
    """The artifact's forward pass; its backward pass says that there is none."""

    @staticmethod
    def forward(_ctx: Any, runtime: Runtime, image: Tensor, *_held: Tensor) -> Tensor:
        return torch.from_numpy(runtime.run(image.detach().contiguous().numpy()))

    @staticmethod
    def backward(_ctx: Any, *_gradients: Tensor) -> None:
        raise InputError(
            "an artifact has no gradients; train the model without torch.compile, or with another "
            "backend"
        )


def _image_place(inputs: Sequence[Any]) -> int:
    """Which input is the image: the one that is neither parameter nor buffer."""
    varying = [i for i, value in enumerate(inputs) if not isinstance(value, Tensor)]
    if varying:
        raise UnsupportedError(
            "the input's size varies from call to call; one size is supported: "
            "torch.compile(…, dynamic=False) compiles each by itself"
        )
    # torch marks buffers so; parameters have a type of their own.
    places = [
        i
        for i, value in enumerate(inputs)
        if not (isinstance(value, nn.Parameter) or hasattr(value, "_dynamo_static_input_type"))
    ]
    if len(places) != 1:
        raise UnsupportedError(f"the traced model takes {len(places)} inputs; one is supported")
    image = inputs[places[0]]
    if image.dtype != torch.float32 or image.device.type != "cpu":
        raise UnsupportedError(
            f"an input of {image.dtype} on {image.device}; torch.float32 on the CPU is supported"
        )
    return places[0]


def _version(value: Tensor) -> tuple[int, int]:
    """Differs where a tensor is another one, or was written to."""
    return value.data_ptr(), 0 if value.is_inference() else value._version  # noqa: SLF001
