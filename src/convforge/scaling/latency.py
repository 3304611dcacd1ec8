"""What a network takes on this machine: compiled untrained, and timed.

Times do not depend on the weights. Of the instruction-set levels the machine's best alone is
compiled, for that is the one that is timed; the bytes of the other levels' code are taken to be as
many, and a web page's follow from how it is packed. What was measured is kept under the user's
cache folder, by machine, network, arguments, threads, form and versions, so that another search
measures nothing twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convforge.benchmark.measurement import machine
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.backend.target import native
from convforge.compiler.models import read_model
from convforge.compiler.pipeline import compile_graph
from convforge.errors import ArtifactError, OutputError
from convforge.files import cache_folder, write_file
from convforge.networks.catalog import create
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.backend.target import Form

ROUNDS = 3  # the least of their medians counts, so that a busy moment does not
RUNS = 15  # a round, at least
ROUND_S = 0.1  # that a round takes, at least
WARM_UP = 3
PAGE_BYTES = 100_000  # of a page without its network, which is in it as base64


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one network takes: milliseconds an image, bytes of its artifact, and its arithmetic.

    Compiling it, at one instruction-set level, and timing it took `seconds`.
    """

    ms: float
    file_bytes: int
    macs: int
    parameters: int
    seconds: float = 0.0


class Stopwatch:
    """Costs of networks of one name, computed by `threads`; bytes are those of a form.

    With `again`, nothing that was measured before counts.
    """

    def __init__(
        self, network: str, *, threads: int = 1, form: Form = "library", again: bool = False
    ) -> None:
        self.network, self.threads, self.form, self.again = network, threads, form, again
        self._levels = native().levels

    def measure(self, arguments: Mapping[str, Any]) -> Cost:
        """Of the network with these arguments; raises as `networks.create` and `compile` do."""
        path = self._path(arguments)
        known = None if self.again else _read(path)
        if known is not None:
            return known
        cost = self._compiled(arguments)
        with contextlib.suppress(OSError, OutputError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps(dataclasses.asdict(cost)).encode())
        return cost

    def _compiled(self, arguments: Mapping[str, Any]) -> Cost:
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = create(self.network, **arguments).eval()
        model = read_model(net, input_shape=(1, *net.input_shape))
        for index, level in enumerate(self._levels):
            target = dataclasses.replace(native(), levels=(level,))
            compiled = compile_graph(
                model.graph, target=target, expected=model.expected, threads=self.threads
            )
            assert compiled.built is not None, "a machine's own target is a library"
            with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
                file = Path(folder) / f"candidate{target.suffix}"
                save_artifact(compiled.built.path, file)
                try:
                    runtime = Runtime(file, threads=self.threads)
                except ArtifactError:
                    if level is self._levels[-1]:
                        raise
                    continue  # a level that this machine lacks
                self._levels = self._levels[index:]
                weights = compiled.weight_bytes
                code = file.stat().st_size - weights
                return Cost(
                    ms=milliseconds(runtime),
                    file_bytes=_file_bytes(weights, code, form=self.form),
                    macs=sum(layer.macs for layer in runtime.layers),
                    parameters=sum(p.numel() for p in net.parameters()),
                    seconds=round(time.perf_counter() - started, 3),
                )
        raise AssertionError("the last level is every machine's")

    def _path(self, arguments: Mapping[str, Any]) -> Path:
        measured = {
            "network": self.network,
            "arguments": dict(arguments),
            "threads": self.threads,
            "form": self.form,
            "machine": machine(),
            "convforge": __version__,
            "torch": torch.__version__,
        }
        digest = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()
        return cache_folder() / "latencies" / f"{digest}.json"


def milliseconds(runtime: Runtime) -> float:
    """The least of ROUNDS medians of an artifact's time for one input, its self-test's."""
    x = make_input(runtime.input_shape, None)
    for _ in range(WARM_UP):
        runtime.run(x)
    medians = []
    for _ in range(ROUNDS):
        times: list[float] = []
        while len(times) < RUNS or sum(times) < ROUND_S:
            started = time.perf_counter()
            runtime.run(x)
            times.append(time.perf_counter() - started)
        medians.append(statistics.median(times))
    return 1e3 * min(medians)


def _file_bytes(weights: int, code: int, *, form: Form) -> int:
    """Of an artifact of a form, whose code for one level takes so many."""
    if form == "page":
        return 4 * (weights + code) // 3 + PAGE_BYTES
    return weights + len(native().levels) * code


def _read(path: Path) -> Cost | None:
    try:
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
