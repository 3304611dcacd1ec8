"""The engines that a model is timed in; each becomes a function from array to array.

All compute in float32 with the same number of threads. Each raises PackageError where it is not
installed, UnsupportedError where it cannot take the model.
"""

from __future__ import annotations

import copy
import importlib
import subprocess
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.errors import PackageError, UnsupportedError
from convforge.onnx_export import to_onnx
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.compiler.models import Model

    Array: TypeAlias = NDArray[np.float32]
    Run: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Engine:
    """An engine with a model in it, ready to run."""

    name: str
    version: str
    run: Run


def convforge(artifact: Path, *, threads: int, level: str | None = None) -> tuple[Engine, Runtime]:
    """The artifact, and its runtime."""
    runtime = Runtime(artifact, threads=threads, level=level)
    return Engine("convforge", f"{__version__}, {runtime.level}", runtime.run), runtime


def torch_eager(model: Model, _folder: Path, *, threads: int) -> Engine:
    """Torch as it is, in inference mode. Sets torch's number of threads."""
    torch, module = _torch_module(model, threads=threads)
    return _torch_engine("torch", torch, module, memory_format=torch.contiguous_format)


def torch_channels_last(model: Model, _folder: Path, *, threads: int) -> Engine:
    """Torch with weights and images in the order that its kernels on CPUs like better."""
    torch, module = _torch_module(model, threads=threads)
    form = torch.channels_last
    moved = copy.deepcopy(module).to(memory_format=form)
    return _torch_engine("torch-channels-last", torch, moved, memory_format=form)


def torch_compile(model: Model, _folder: Path, *, threads: int) -> Engine:
    """Torch's own compiler; its first run takes long."""
    torch, module = _torch_module(model, threads=threads)
    torch.compiler.reset()  # else it gives up after several networks, and runs them as they are
    compiled = torch.compile(copy.deepcopy(module))
    return _torch_engine("torch-compile", torch, compiled, memory_format=torch.contiguous_format)


def _torch_module(model: Model, *, threads: int) -> tuple[Any, Any]:
    torch = _import("torch", extra="train")
    if model.module is None:
        raise UnsupportedError("the model is no torch module")
    torch.set_num_threads(threads)
    return torch, model.module.eval()


def _torch_engine(name: str, torch: Any, module: Any, *, memory_format: Any) -> Engine:
    def run(x: Array) -> Array:
        with torch.inference_mode():
            image = torch.from_numpy(x).contiguous(memory_format=memory_format)
            return module(image).numpy()  # type: ignore[no-any-return]

    return Engine(name, torch.__version__, run)


def onnxruntime(model: Model, folder: Path, *, threads: int) -> Engine:
    """ONNX Runtime on the CPU with all of its graph optimisations."""
    engine = _import("onnxruntime", extra="bench")
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    path = _onnx_file(model, folder)
    session = engine.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    return Engine(
        "onnxruntime", engine.__version__, lambda x: session.run(None, {source.name: x})[0]
    )


def openvino(model: Model, folder: Path, *, threads: int) -> Engine:
    """OpenVINO on the CPU, told to compute in float32 and to hurry with one input."""
    engine = _import("openvino", extra="bench")
    network = engine.convert_model(str(_onnx_file(model, folder)))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = engine.Core().compile_model(network, "CPU", settings)
    version = engine.__version__.partition("-")[0]
    return Engine("openvino", version, lambda x: compiled(x)[0])


def ncnn(model: Model, folder: Path, *, threads: int) -> Engine:
    """ncnn, converted by pnnx, with float32 everywhere; it takes one image at a time."""
    engine = _import("ncnn", extra="bench")
    pnnx = _import("pnnx", extra="bench")
    torch, module = _torch_module(model, threads=threads)
    if model.graph.input_shape[0] != 1:
        raise UnsupportedError("it takes one image at a time")
    example = torch.zeros(model.graph.input_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, example).save(folder / "ncnn.pt")
    sizes = f"inputshape=[{','.join(map(str, example.shape))}]f32"
    subprocess.run(  # noqa: S603  (pnnx, no shell)
        [pnnx.EXEC_PATH, folder / "ncnn.pt", sizes, "fp16=0"], capture_output=True, check=True
    )
    net = engine.Net()
    net.opt.num_threads = threads
    for option in (
        "use_fp16_packed",
        "use_fp16_storage",
        "use_fp16_arithmetic",
        "use_bf16_storage",
    ):
        setattr(net.opt, option, False)
    if net.load_param(str(folder / "ncnn.ncnn.param")) or net.load_model(
        str(folder / "ncnn.ncnn.bin")
    ):
        raise UnsupportedError("pnnx could not convert it")

    def run(x: Array) -> Array:
        extractor = net.create_extractor()
        extractor.input("in0", engine.Mat(x[0]))
        _, result = extractor.extract("out0")
        return np.array(result)[None]

    return Engine("ncnn", engine.__version__, run)


# Those that are timed where nobody names any come first.
PEERS = {
    "torch": torch_eager,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "torch-channels-last": torch_channels_last,
    "torch-compile": torch_compile,
    "ncnn": ncnn,
}
USUAL = tuple(PEERS)[:3]


def _import(name: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise PackageError(f'not installed: pip install "convforge[{extra}]" brings it') from None


def _onnx_file(model: Model, folder: Path) -> Path:
    """The model's own file, or the one that torch exports it to, once for all engines."""
    if model.file is not None:
        return model.file
    path = folder / "model.onnx"
    if model.module is None or path.exists():
        return path
    onnx = _import("onnx", extra="bench")
    onnx.save(to_onnx(model.module, model.graph.input_shape), str(path))
    return path
