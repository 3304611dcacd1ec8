"""Claim: within one budget and one time limit, mixes that compete beat scaling in width alone.

A network is scaled for `--max-ms` in `--max-train` seconds, twice by turns for every seed: with all
mixes, of whose time a third goes into the search, and with the mix `width` alone, which has all
the time for its training. Every run measures its candidates itself. Selection sees images to train
on only; both are measured on the part that is held out, and every artifact is timed once more, in a
process of its own. One JSON line a run.

    python benchmarks/scaling.py imagenette160 >> benchmarks/results/scaling.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from convforge.benchmark.measurement import machine
from convforge.scaling.scale import scale
from convforge.scaling.space import MIXES
from convforge.version import __version__

METHODS = {"all mixes": MIXES, "width alone": ("width",)}
_AGAIN = """
import sys
from convforge.runtime import Runtime
from convforge.scaling.latency import milliseconds
print(milliseconds(Runtime(sys.argv[1], threads=int(sys.argv[2]))))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="photos of ten classes, with train/ and val/ or test/")
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--max-ms", type=float, default=2.0)
    parser.add_argument("--max-train", type=float, default=900.0, help="seconds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    given = parser.parse_args()
    for seed in given.seeds:
        for method in given.methods:
            print(json.dumps(run(given, method, seed=seed)), flush=True)


def run(given: argparse.Namespace, method: str, *, seed: int) -> dict[str, Any]:
    """One line: what one method makes of the budget with one seed."""
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        found = scale(
            given.network,
            given.data,
            output=Path(name) / "scaled.safetensors",
            max_ms=given.max_ms,
            max_train=given.max_train,
            threads=given.threads,
            mixes=METHODS[method],
            seed=seed,
            measure_again=True,
        )
        seconds = time.perf_counter() - started
        again = subprocess.run(
            [sys.executable, "-c", _AGAIN, str(found.artifact), str(given.threads)],
            capture_output=True,
            text=True,
            check=True,
        )
    record = found.record
    part = "test" if "test" in record["metrics"] else "val"
    winner = next(row for row in record["candidates"] if row["state"] == "winner")
    kept = ("width", "depth", "input_size", "macs", "parameters")
    return {
        "benchmark": "scaling",
        "network": given.network,
        "method": method,
        "seed": seed,
        "max_ms": given.max_ms,
        "max_train_s": given.max_train,
        "seconds": round(seconds, 1),
        "ms": round(record["ms"], 4),
        "ms_again": round(float(again.stdout), 4),
        "megabytes": round(record["megabytes"], 3),
        "part": part,
        "top1": round(record["metrics"][part]["top1"], 4),
        "interval": [round(end, 4) for end in record["metrics"][part]["interval"]],
        "epochs": record["epochs"],
        "winner": {"mix": winner["name"], **{name: winner[name] for name in kept}},
        "candidates": record["candidates"],
        "plan": record["plan"],
        "machine": machine(),
        "threads": given.threads,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
