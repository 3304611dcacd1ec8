"""Claim: networks of bytes, and of bfloat16, are faster than in any other engine, and as exact.

Networks of the catalogue with random weights, settled on random inputs, at their own resolution;
one image, one JSON line a network and number of threads: medians and minima in ms by turns in one
run. Networks of bytes are calibrated with the same random inputs: OpenVINO's by NNCF's
post-training quantization (`openvino int8`, and with bfloat16 for what it leaves: `openvino int8
bf16`; `openvino bf16` is the network as it is with that hint), ONNX Runtime's by its own. `ratio`
is the fastest other engine's minimum, of any precision, to that of convforge's int8, `ratio_bf16`
OpenVINO's minimum in bfloat16 to convforge's; `error` the root of the mean square of what the
outputs are off those of float32, of the outputs' own, over eight other inputs: it compares engines,
for networks that learned nothing magnify every rounding. `--photos FOLDER --classifier FILE`
measures what a trained classifier loses instead, in the `--precision` named.

    pip install "convforge[train,compile,bench]" nncf
    python benchmarks/precision.py --threads 1 2 >> benchmarks/results/precision.jsonl
    python benchmarks/precision.py table benchmarks/results/precision.jsonl
    python benchmarks/precision.py --classifier cats.safetensors --photos photos/ >> …
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.benchmark.engines import PEERS
from convforge.benchmark.measurement import PAUSE_S, machine
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.errors import ConvforgeError
from convforge.networks import catalog
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from convforge.compiler.backend.target import Precision
    from convforge.compiler.models import Model

    Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

NETWORKS = (
    *("mobilenet_v1", "mobilenet_v2", "efficientnet_lite0", "efficientnet_b0", "resnet18"),
    *("resnet50", "googlenet_bn", "vgg16", "alexnet_owt", "nin"),
)
CALIBRATION, OTHERS = 20, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="measure", choices=["measure", "table"])
    parser.add_argument("lines", nargs="?", type=Path, help="of results, for the table")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--engines", nargs="+", default=[*ENGINES])
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--precision", choices=["int8", "bf16"], default="int8")
    arguments = parser.parse_args()
    if arguments.what == "table":
        print(table([json.loads(line) for line in arguments.lines.read_text().splitlines()]))
        return
    common = {"machine": machine(), "convforge": __version__}
    common["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    if arguments.classifier is not None:
        found = accuracy(arguments.classifier, arguments.photos, arguments.precision)
        print(json.dumps({**common, **found}))
        return
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as name:
            for line in compare(network, Path(name), arguments):
                print(json.dumps({**common, **line}), flush=True)


def accuracy(classifier: Path, photos: Path, precision: Precision) -> dict[str, Any]:
    """What a classifier of a precision answers beside the one of float32."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rounded.so"
        start = time.perf_counter()
        artifact = build(classifier, file, precision=precision, calibrate=str(photos))
        seconds = time.perf_counter() - start
        card = Runtime(file).card
    record = {**(artifact.quantization or {}), "uri": photos.name}
    return {"network": card.network, "accuracy": record, "seconds": round(seconds, 1)}


def compare(network: str, folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    net = create(network, seed=0)
    inputs = generator.standard_normal((CALIBRATION, *net.input_shape), np.float32)
    model = read_model(settled(net, inputs), input_shape=(1, *net.input_shape))
    others = generator.standard_normal((OTHERS, *model.graph.input_shape), np.float32)
    assert model.expected is not None
    truth = [model.expected(x) for x in others]
    shape = model.graph.input_shape
    own: dict[str, Any] = {"int8": {"calibrate": inputs}, "bf16": {}}
    for name, more in own.items():
        build(model.module, folder / f"{name}.so", input_shape=shape, precision=name, **more)
    lines = []
    for threads in arguments.threads:
        runs: dict[str, Run] = {
            f"convforge {name}": Runtime(folder / f"{name}.so", threads=threads).run for name in own
        }
        skipped = {}
        for name in arguments.engines:
            try:
                runs[name] = ENGINES[name](model, folder, inputs, threads)
            except (ConvforgeError, ImportError) as error:
                skipped[name] = str(error)
        lines.append(
            {
                "network": network,
                "threads": threads,
                "rounds": arguments.rounds,
                "engines": timed(runs, others, truth, rounds=arguments.rounds),
                "skipped": skipped,
            }
        )
        lines[-1] |= ratios(lines[-1]["engines"])
    return lines


def create(network: str, *, seed: int) -> Any:
    import torch

    torch.manual_seed(seed)
    return catalog.create(network)


def settled(net: Any, inputs: NDArray[np.float32]) -> Any:
    """With statistics of its normalisations that are those of the inputs, as if it were trained.

    Untrained ones give values so small that engines lose them.
    """
    import torch

    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all that is seen
    with torch.no_grad():
        net.train()(torch.from_numpy(inputs))
    return net.eval()


def ratios(engines: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of other engines' minima to those of convforge's."""
    peers = {name: one["min_ms"] for name, one in engines.items() if "convforge" not in name}
    found = {}
    if peers:
        fastest = min(peers.values())
        found["ratio"] = round(fastest / engines["convforge int8"]["min_ms"], 3)
    if "openvino bf16" in peers:
        own = engines["convforge bf16"]["min_ms"]
        found["ratio_bf16"] = round(peers["openvino bf16"] / own, 3)
    return found


def timed(
    runs: dict[str, Run],
    others: NDArray[np.float32],
    truth: list[NDArray[np.float32]],
    *,
    rounds: int,
) -> dict[str, dict[str, float]]:
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE_S)
            run(others[0])
            start = time.perf_counter()
            run(others[0])
            spent[name].append(1e3 * (time.perf_counter() - start))
    found = {}
    for name, run in runs.items():
        off = [run(x) - y for x, y in zip(others, truth, strict=True)]
        error = np.sqrt(np.mean(np.square(off)) / np.mean(np.square(truth)))
        found[name] = {
            "median_ms": round(statistics.median(spent[name]), 4),
            "min_ms": round(min(spent[name]), 4),
            "error": float(f"{error:.3g}"),
        }
    return found


def convforge_float32(
    model: Model, folder: Path, _inputs: NDArray[np.float32], threads: int
) -> Run:
    path = folder / "float32.so"
    if not path.exists():
        build(model.module, path, input_shape=model.graph.input_shape)
    return Runtime(path, threads=threads).run


def openvino(*, quantized: bool, hint: str) -> Callable[..., Run]:
    def make(model: Model, folder: Path, inputs: NDArray[np.float32], threads: int) -> Run:
        import openvino as ov

        path = folder / f"openvino-{quantized}.xml"
        if not path.exists():
            source = ov.convert_model(model.module, example_input=_tensor(inputs[:1]))
            source.reshape([1, *inputs.shape[1:]])
            network = _by_nncf(source, inputs) if quantized else source
            ov.save_model(network, path)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = ov.Core().compile_model(str(path), "CPU", settings)
        return lambda x: compiled(x)[0]

    return make


def _by_nncf(source: Any, inputs: NDArray[np.float32]) -> Any:
    import nncf

    nncf.set_log_level(40)
    with contextlib.redirect_stdout(sys.stderr):  # its progress
        return nncf.quantize(
            source, nncf.Dataset([x[None] for x in inputs]), subset_size=len(inputs)
        )


def _tensor(x: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(x)


def onnxruntime_int8(model: Model, folder: Path, inputs: NDArray[np.float32], threads: int) -> Run:
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self.rows = iter([{name: x[None]} for x in inputs])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.rows, None)

    path = folder / "onnxruntime-int8.onnx"
    if not path.exists():
        PEERS["onnxruntime"](model, folder, threads=threads)  # writes model.onnx
        quant_pre_process(str(folder / "model.onnx"), str(folder / "prepared.onnx"))
        session = onnxruntime.InferenceSession(str(folder / "prepared.onnx"))
        quantize_static(
            str(folder / "prepared.onnx"),
            str(path),
            Reader(session.get_inputs()[0].name),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


ENGINES: dict[str, Callable[..., Run]] = {
    "convforge float32": convforge_float32,
    "openvino int8": openvino(quantized=True, hint="f32"),
    "openvino int8 bf16": openvino(quantized=True, hint="bf16"),
    "openvino bf16": openvino(quantized=False, hint="bf16"),
    "onnxruntime int8": onnxruntime_int8,
}


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: minima in ms, the ratios to other engines, errors of convforge and OpenVINO."""
    names = ["convforge int8", "convforge bf16", *ENGINES]
    rows = [f"| network | threads | {' | '.join(names)} | ratio | bf16 | int8 off | bf16 off |"]
    rows += ["|---|--:|" + "--:|" * (len(names) + 2) + "---|---|"]
    for line in lines:
        if "engines" not in line:
            continue
        found = line["engines"]
        cells = [f"{found[name]['min_ms']:.2f}" if name in found else "-" for name in names]
        cells += [f"{line[key]:.2f}" if key in line else "-" for key in ("ratio", "ratio_bf16")]
        for kind in ("int8", "bf16"):
            pair = [found.get(f"{engine} {kind}") for engine in ("convforge", "openvino")]
            cells.append(" / ".join(f"{100 * one['error']:.1f} %" for one in pair if one))
        rows.append(f"| {' | '.join([line['network'], str(line['threads']), *cells])} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
