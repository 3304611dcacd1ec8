"""The command `benchmark`, and the tables that it shows."""

import platform
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from convforge.cli import console
from convforge.cli.options import JsonFlag, ShapeOption, sizes_from
from convforge.cli.tables import make_table, plain
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from convforge.benchmark.measurement import Benchmark

BENCHMARK_EXAMPLES = (
    "Examples:\n\n"
    "convforge benchmark mobilenet_v2 resnet50 --threads 2\n\n"
    "convforge benchmark cats.safetensors --layers\n\n"
    "convforge benchmark detector.onnx --shape 1,3,480,640 --engine onnxruntime --json"
)
USUAL = ("torch", "onnxruntime", "openvino")
ENGINES = (*USUAL, "torch-channels-last", "torch-compile", "ncnn")


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Artifacts, classifiers, .onnx files, and names of networks, which are timed "
            "untrained.",
            metavar="FILE|NETWORK...",
        ),
    ],
    *,
    threads: Annotated[int, typer.Option(help="How many compute one input, in every engine.")] = 1,
    rounds: Annotated[int, typer.Option(help="Timed runs of each engine.", min=1)] = 30,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Which others to time: {', '.join(ENGINES)}, or none; can be repeated. "
            f"By default {', '.join(USUAL)}."
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Time every layer too.")] = False,
    shape: ShapeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Time models, compiled and in other engines, on this machine.

    Engines take turns, so that whatever else the machine does meets all alike; how far each is off
    from the model in float64 stands beside its time. Engines that are not installed are named.
    """
    peers = USUAL if engine is None else tuple(name for name in engine if name != "none")
    input_shape = sizes_from(shape)
    found = []
    with console.progress_bar("importing") as progress:
        from convforge.benchmark.measurement import measure  # noqa: PLC0415  (slow)

        found = [
            measure(
                model,
                threads=threads,
                rounds=rounds,
                input_shape=input_shape,
                peers=peers,
                layers=layers,
                progress=progress or (lambda _done, _total, _what: None),
            )
            for model in models
        ]
    if as_json:
        console.show_json([_record(one) for one in found])
    else:
        for one in found:
            console.show(*_tables(one))


def _record(found: "Benchmark") -> dict[str, object]:
    return asdict(found) | {
        "convforge": __version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _tables(found: "Benchmark") -> "Iterator[RenderableType]":
    shape = "x".join(map(str, found.input_shape))
    yield plain(
        f"{found.model}: input {shape}, {found.macs:,} multiply-adds, {found.threads} "
        f"thread{'s' * (found.threads > 1)}, {found.rounds} runs each by turns",
        "bold",
    )
    headers = ("engine", "version", "median ms", "min ms", "GFLOP/s", "to convforge", "error")
    table = make_table("", *headers, left=headers[:2])
    ours = found.timings[0].min_ms
    for one in found.timings:
        table.add_row(
            one.engine,
            one.version,
            f"{one.median_ms:.3f}",
            f"{one.min_ms:.3f}",
            f"{2e-6 * found.macs / one.min_ms:.1f}",
            f"{one.min_ms / ours:.2f}",
            "" if one.error is None else f"{one.error:.1e}",
        )
    yield table
    for name, reason in found.skipped.items():
        yield plain(f"without {name}: {reason}")
    if found.layers:
        yield _layers(found)
    yield plain(
        f"on {found.machine}, load {found.load_average}; GFLOP/s and ratios of minima, two "
        "operations a multiply-add; error: largest difference to float64, of the largest output"
    )


def _layers(found: "Benchmark") -> "RenderableType":
    headers = ("layer", "kernel", "MACs", "median ms", "min ms", "GFLOP/s", "share")
    table = make_table("", *headers, left=headers[:2])
    total = sum(layer.min_ms for layer in found.layers)
    for layer in found.layers:
        table.add_row(
            plain(layer.name),
            layer.kernel,
            f"{layer.macs:,}",
            f"{layer.median_ms:.4f}",
            f"{layer.min_ms:.4f}",
            f"{layer.gflops:.1f}" if layer.macs else "",
            f"{layer.min_ms / total:.1%}" if total else "",
        )
    return table
