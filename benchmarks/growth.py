"""Claim: a compiled network stays ahead however large its images, its layers and its batches are.

mobilenet_v2 with random weights, float32, by the side of its images, its width and its batch, one
at a time and the rest as in the paper: a JSON line each, as cpu.py's, every engine by turns in one
run. `table` and `figure` make Markdown and a picture of the lines, minima per image.

    pip install "convforge[train,compile,bench]"
    python benchmarks/growth.py --threads 1 2 > benchmarks/results/growth.jsonl
    python benchmarks/growth.py table benchmarks/results/growth.jsonl
    python benchmarks/growth.py figure benchmarks/results/growth.jsonl docs/growth
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpu import one_image

import convforge as cf
from convforge.benchmark.measurement import machine
from convforge.studies.figure import figure_png
from convforge.studies.study import Panel, Series
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "mobilenet_v2"
SIDES = (96, 128, 160, 192, 224, 288, 352, 448)
WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.4, 2.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
ENGINES = ("openvino", "onnxruntime", "ncnn", "torch-channels-last")
VARIES = {"resolution": "side of the image, pixels", "width": "width", "batch": "images at once"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="run", choices=["run", "table", "figure"])
    parser.add_argument("lines", nargs="?", type=Path, help="of results")
    parser.add_argument("output", nargs="?", type=Path, help="of the figure, but for -1.png")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--engines", nargs="+", default=ENGINES)
    parser.set_defaults(level=None)
    arguments = parser.parse_args()
    if arguments.what == "run":
        for line in measured(arguments):
            print(json.dumps(line), flush=True)
        return
    lines = [json.loads(line) for line in arguments.lines.read_text().splitlines()]
    if arguments.what == "table":
        print(table(lines))
        return
    for threads in sorted({line["threads"] for line in lines}):
        found = [line for line in lines if line["threads"] == threads]
        file = arguments.output.with_name(f"{arguments.output.name}-{threads}.png")
        file.write_bytes(figure_png([panel(found, what) for what in VARIES]))


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    common = {"benchmark": "growth", "network": NETWORK, "machine": machine()}
    common |= {"convforge": __version__, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    for threads in arguments.threads:
        for varies, value, network, shape in variants():
            line = one_image(network, threads, arguments, input_shape=shape)
            yield {**line, **common, "varies": varies, "value": value}


def variants() -> Iterator[tuple[str, float, Any, tuple[int, int, int, int]]]:
    """What varies, its value, the network and the shape of its input."""
    for side in SIDES:
        yield "resolution", side, cf.create(NETWORK, input_size=side), (1, 3, side, side)
    for width in WIDTHS:
        yield "width", width, cf.create(NETWORK, width=width), (1, 3, 224, 224)
    for batch in BATCHES:
        yield "batch", batch, cf.create(NETWORK), (batch, 3, 224, 224)


def per_image(line: dict[str, Any]) -> dict[str, float]:
    """Milliseconds an image, minima, of every engine."""
    return {one["engine"]: one["min_ms"] / line["shape"][0] for one in line["engines"]}


def panel(lines: list[dict[str, Any]], varies: str) -> Panel:
    found = [line for line in lines if line["varies"] == varies]
    series = [
        Series(
            label=engine,
            x=tuple(line["value"] for line in found if engine in per_image(line)),
            y=tuple(per_image(line)[engine] for line in found if engine in per_image(line)),
            colour=colour,
        )
        for colour, engine in enumerate(("convforge", *ENGINES))
    ]
    return Panel(
        title=f"{NETWORK}, threads: {found[0]['threads']}",
        x=VARIES[varies],
        y="ms an image",
        series=tuple(series),
        log="xy",
    )


def table(lines: list[dict[str, Any]]) -> str:
    """A row a variant and number of threads; the fastest other engine to convforge, of minima."""
    rows = [["varies", "value", "threads", "convforge", *ENGINES, "fastest other / convforge"]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    for line in lines:
        found = per_image(line)
        cells = [f"{found[name]:.2f}" if name in found else "" for name in ("convforge", *ENGINES)]
        ratios = f"**{line['ratio']:.2f}** ({line['ratio_of_medians']:.2f})"
        rows.append([line["varies"], f"{line['value']:g}", str(line["threads"]), *cells, ratios])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
