"""Claim: compiled networks are faster than every other engine on a CPU, each with its best setting.

Networks of the catalogue with random weights at their own resolution, float32, one JSON line a
network and setting: medians and minima in ms of every engine, by turns in one run, each with its
largest difference to the model in float64; `ratio`, the fastest other engine's minimum to
convforge's, and `ratio_of_medians`. OpenVINO, ONNX Runtime, ncnn and torch (eager, channels-last,
compiled) are there where they are installed; an engine that is not, or that cannot take a network,
is named with its reason.

latency     one image, with as many threads as --threads says (the default)
busy        the same while another process spins on a core, medians count
throughput  images a second of batches of 32 on all cores: convforge computes as many images at a
            time as there are cores, every other engine what is faster for it, the batch at once
            with all cores or one image at a time

--level avx2 limits convforge, and OpenVINO and torch by their own settings; ONNX Runtime and ncnn
know none and use what the CPU has.

    pip install "convforge[train,compile,bench]"
    python benchmarks/cpu.py --threads 1 2 >> benchmarks/results/cpu.jsonl
    python benchmarks/cpu.py table benchmarks/results/cpu.jsonl
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import convforge as cf
from convforge.benchmark.engines import PEERS
from convforge.benchmark.measurement import PAUSE_S, machine, measure
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.errors import PackageError, UnsupportedError
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NETWORKS = (
    *("lenet5_relu", "alexnet_owt", "vgg16", "nin", "googlenet_bn", "resnet18", "resnet50"),
    *("mobilenet_v1", "mobilenet_v2", "efficientnet_lite0", "efficientnet_b0"),
)
SLOW = 30.0  # ms: networks that take longer are run fewer times
BATCH = 32


def main() -> None:
    arguments = parse()
    if arguments.what == "table":
        print(table([json.loads(line) for line in arguments.lines.read_text().splitlines()]))
        return
    if arguments.level:
        limit(arguments.level)
    for line in WHAT[arguments.what](arguments):
        common = {"what": arguments.what, "level": arguments.level, "machine": machine()}
        common |= {"convforge": __version__, "date": time.strftime("%Y-%m-%d", time.gmtime())}
        print(json.dumps({**common, **line}), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="latency", choices=[*WHAT, "table"])
    parser.add_argument("lines", nargs="?", type=Path, help="of results, for the table")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--engines", nargs="+", default=[*PEERS])
    parser.add_argument("--level", choices=["avx2"])
    return parser.parse_args()


def limit(level: str) -> None:
    """Before any of them is imported."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = level.upper()
    os.environ["ATEN_CPU_CAPABILITY"] = level


def latency(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for network in arguments.networks:
        for threads in arguments.threads:
            yield one_image(network, threads, arguments)


def one_image(
    network: Any, threads: int, arguments: argparse.Namespace, **more: Any
) -> dict[str, Any]:
    rounds = arguments.rounds
    first = measure(network, threads=threads, rounds=1, peers=(), **more)
    if first.timings[0].min_ms > SLOW:
        rounds = max(1, rounds // 4)
    found = measure(
        network,
        threads=threads,
        rounds=rounds,
        peers=arguments.engines,
        level=arguments.level,
        **more,
    )
    ours, *others = found.timings
    line: dict[str, Any] = {"network": found.model, "threads": threads, "rounds": rounds}
    line |= {"shape": found.input_shape, "macs": found.macs, "load": found.load_average}
    line["engines"] = [asdict(timing) for timing in found.timings]
    line["skipped"] = found.skipped
    if others:
        line["ratio"] = round(min(one.min_ms for one in others) / ours.min_ms, 3)
        medians = min(one.median_ms for one in others) / ours.median_ms
        line["ratio_of_medians"] = round(medians, 3)
    return line


def busy(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    with spinning():
        yield from latency(arguments)


@contextmanager
def spinning() -> Iterator[None]:
    """Another process that keeps a core busy."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    process.start()
    time.sleep(1)
    yield
    process.kill()
    process.join()


def spin() -> None:
    while True:
        pass


def throughput(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as name:
            yield {"network": network, **images_a_second(network, Path(name), arguments)}


def images_a_second(network: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    net = cf.create(network)
    build(net, folder / "net.so", input_shape=(1, *net.input_shape))
    runtime = Runtime(folder / "net.so", workers=cores, level=arguments.level)
    x = make_input((BATCH, *runtime.input_shape[1:]), None)
    runs: dict[str, Callable[[], object]] = {"convforge": lambda: runtime.logits(x)}
    skipped = {}
    for engine in arguments.engines:
        for size in (1, BATCH):
            model = read_model(net, input_shape=(size, *x.shape[1:]))
            (folder / str(size)).mkdir(exist_ok=True)
            try:
                run = PEERS[engine](model, folder / str(size), threads=cores).run
            except (PackageError, UnsupportedError) as error:
                skipped[f"{engine}, batches of {size}"] = str(error)
                continue
            parts = np.split(x, BATCH // size)
            runs[f"{engine}, batches of {size}"] = lambda run=run, parts=parts: [*map(run, parts)]
    spent = by_turns(runs, rounds=max(3, arguments.rounds // 10))
    speeds = {name: round(BATCH / min(times), 1) for name, times in spent.items()}
    medians = {name: round(BATCH / statistics.median(times), 1) for name, times in spent.items()}
    others = [speed for name, speed in speeds.items() if name != "convforge"]
    line: dict[str, Any] = {"threads": cores, "images_per_second": speeds, "medians": medians}
    if others:
        line["ratio"] = round(speeds["convforge"] / max(others), 3)
    return line | {"skipped": skipped}


def by_turns(runs: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of every run but the first of each."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            if turn:
                spent[name].append(time.perf_counter() - start)
    return spent


WHAT = {"latency": latency, "busy": busy, "throughput": throughput}


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: a row a network and setting, minima in ms, the fastest other one to convforge."""
    names = ["convforge", *PEERS]
    rows = [["network", "threads", *names, "fastest / convforge"]]
    rows.append(["---", *["---:"] * (len(names) + 2)])
    for line in lines:
        if "engines" not in line:
            continue
        found = {one["engine"]: one["min_ms"] for one in line["engines"]}
        cells = [f"{found[name]:.2f}" if name in found else "" for name in names]
        rows.append([line["network"], str(line["threads"]), *cells, f"**{line['ratio']:.2f}**"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
