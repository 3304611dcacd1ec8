"""How near every layer comes to what the machine can do, and what it still leaves.

For each network, one thread, float32, random weights, one JSON line: every layer's milliseconds
(minimum of ROUNDS), its multiply-adds, the bytes that it has to move at least (weights, inputs and
result once each), and the larger of two limits:

arithmetic   two operations a multiply-add at the machine's peak: multiply-adds of vectors that stay
             in registers, measured here in the same run
bandwidth    its bytes at the speed at which one core reads as many bytes as the network's weights
             take, 64 MB at most, again and again

`share` is the limit of its time; Winograd's layers may be above 1, for they need fewer products.
`left_ms` is the rest. `table` makes Markdown of the lines, equal layers together.

    python benchmarks/roofline.py >> benchmarks/results/roofline.jsonl
    python benchmarks/roofline.py table benchmarks/results/roofline.jsonl
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.benchmark.measurement import machine
from convforge.compiler.backend.compilers import find_compiler
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.backend.target import native
from convforge.compiler.models import read_model
from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from convforge.compiler.backend.program import Call

NETWORKS = ("mobilenet_v1", "mobilenet_v2", "efficientnet_b0", "resnet18", "resnet50", "vgg16")
ROUNDS = 40
LARGEST = 64e6  # bytes that are read to measure the bandwidth
SUMS = 24  # that do not wait for each other

LIMITS = """
typedef float vector __attribute__((vector_size(64)));
/* Rounds of SUMS multiply-adds of vectors of 16. */
float work(long rounds, const float *x)
{
    vector sum[SUMS], a = *(const vector *)x, b = *(const vector *)(x + 16);
    for (int i = 0; i < SUMS; i++)
        sum[i] = a;
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 32
        for (int i = 0; i < SUMS; i++)
            sum[i] += a * b;
    vector all = {0};
    for (int i = 0; i < SUMS; i++)
        all += sum[i];
    return all[0] + all[15];
}
float read_all(long floats, const float *x)
{
    vector sum[8] = {{0}};
    for (long i = 0; i + 128 <= floats; i += 128)
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++)
            sum[k] += *(const vector *)(x + i + 16 * k);
    for (int k = 1; k < 8; k++)
        sum[0] += sum[k];
    return sum[0][0] + sum[0][7];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="measure", choices=["measure", "table"])
    parser.add_argument("lines", nargs="?", type=Path)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    arguments = parser.parse_args()
    if arguments.what == "table":
        for line in arguments.lines.read_text().splitlines():
            print(table(json.loads(line)))
        return
    with tempfile.TemporaryDirectory() as name:
        limits = Limits(Path(name))
        for network in arguments.networks:
            print(json.dumps(measure(network, limits, Path(name))), flush=True)


class Limits:
    """What one core can do at most."""

    def __init__(self, folder: Path) -> None:
        (folder / "limits.c").write_text(LIMITS)
        flags = ("-O3", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=fast")
        words = [*find_compiler(), *flags, f"-DSUMS={SUMS}", "-shared", "-fPIC", "limits.c"]
        subprocess.run([*words, "-o", "limits.so"], cwd=folder, check=True)
        self._library = ctypes.CDLL(str(folder / "limits.so"))
        for function in self._library.work, self._library.read_all:
            function.argtypes, function.restype = [ctypes.c_long, ctypes.c_void_p], ctypes.c_float

    def operations(self) -> float:
        """A second."""
        x = aligned(32)
        rounds = 1_000_000
        return 2 * 16 * SUMS * rounds / best(lambda: self._library.work(rounds, x.ctypes.data))

    def bandwidth(self, size: float) -> float:
        """Bytes a second of reading so many."""
        x = aligned(int(min(size, LARGEST)) // 4)
        times = max(1, int(1e8 / x.nbytes))

        def run() -> None:
            for _ in range(times):
                self._library.read_all(x.size, x.ctypes.data)

        return times * x.nbytes / best(run)


def aligned(floats: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    memory = np.ones(floats + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + floats]


def best(run: Any) -> float:
    """Seconds of the fastest of some runs."""
    spent = []
    for _ in range(12):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return min(spent)


def measure(network: str, limits: Limits, folder: Path) -> dict[str, Any]:
    model = read_model(network)
    compiled = compile_graph(model.graph, target=native(), expected=model.expected)
    save_artifact(compiled.library, folder / f"{network}.so")
    runtime = Runtime(folder / f"{network}.so", threads=1)
    x = make_input(runtime.input_shape, None)
    spent = np.min([runtime.profile(x) for _ in range(ROUNDS)], axis=0)
    operations, bandwidth = limits.operations(), limits.bandwidth(compiled.weight_bytes)
    layers = []
    for call, ms in zip(compiled.program.calls, spent.tolist(), strict=True):
        moved = bytes_of(call)
        limit = 1e3 * max(2 * call.macs / operations, moved / bandwidth)
        layers.append(
            {
                "name": call.layer.node.name,
                "kernel": call.kernel.name,
                "shape": f"{'x'.join(map(str, call.layer.inputs[0][1:]))} to "
                f"{'x'.join(map(str, call.layer.output[1:]))}",
                "macs": call.macs,
                "bytes": moved,
                "ms": ms,
                "limit_ms": limit,
                "by": "arithmetic"
                if 2 * call.macs / operations > moved / bandwidth
                else "bandwidth",
            }
        )
    return {
        "network": network,
        "level": runtime.level,
        "gflops_peak": round(operations / 1e9, 1),
        "gigabytes_per_second": round(bandwidth / 1e9, 1),
        "weight_bytes": compiled.weight_bytes,
        "layers": layers,
        "machine": machine(),
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def bytes_of(call: Call) -> int:
    layer = call.layer
    weights = sum(constant.nbytes for constant in layer.constants)
    return weights + 4 * (math.prod(layer.output) + sum(map(math.prod, layer.inputs)))


def table(line: dict[str, Any]) -> str:
    """Markdown: equal layers in a row, those that leave most first, and what is left in all."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for layer in line["layers"]:
        groups.setdefault((layer["kernel"], layer["shape"], layer["by"]), []).append(layer)
    total, limit = (sum(layer[key] for layer in line["layers"]) for key in ("ms", "limit_ms"))
    rows = []
    for (kernel, shape, by), layers in groups.items():
        ms, bound = (sum(layer[key] for layer in layers) for key in ("ms", "limit_ms"))
        cells = [str(len(layers)), kernel, shape, f"{ms:.3f}", f"{bound:.3f}", by]
        cells += [f"{bound / ms:.0%}", f"{ms - bound:.3f}"]
        rows.append((ms - bound, f"| {' | '.join(cells)} |"))
    rows.sort(reverse=True)
    head = (
        f"### {line['network']}\n\n{total:.2f} ms in all, the limits of its layers together "
        f"{limit:.2f} ms ({limit / total:.0%}); peak {line['gflops_peak']:.0f} GFLOP/s, "
        f"{line['gigabytes_per_second']:.0f} GB/s.\n\n"
        "| layers | kernel | shape | ms | limit, ms | by | share | left, ms |\n"
        "|---:|---|---|---:|---:|---|---:|---:|\n"
    )
    return head + "\n".join(text for _, text in rows[:12]) + "\n"


if __name__ == "__main__":
    main()
