"""How a served artifact stands beside FastAPI with torch and with onnxruntime: a question.

MobileNetV2 at 224x224 with random weights behind HTTP, a JPEG of 640x480 in a form to five named
probabilities, the same picture and weights in each of them. Servers take turns, each in a process
of its own and alone; from round to round the order is reversed. Each computes WORKERS pictures at a
time, with one thread each. Whoever asks waits for the answer before asking again; `levels` says how
many ask at a time, over connections that stay open. One JSON line a server:

start_s         from starting the process to its first answer: median and minimum of the rounds
rss_bytes       resident set after the load, peak_bytes the largest until then: medians
by_level        requests a second (median of the rounds), milliseconds at the median and at the 99th
                percentile of all answers of a level, refusals (503)
difference      largest to the first server's probabilities for the picture

With --soak MINUTES the artifact alone is asked twice as often as it can answer, by the clock and
without waiting, and one line says what became of every request, and of the memory: its largest in
the first and in the last tenth of the time. "reopened" connections are those that the server had
closed, idle, when they were wanted again. Exits with 1 where a request was neither answered nor
refused, or where the server broke.

The script asks from the same machine, and takes its share of the processors: under a millisecond a
request, the same for all. Files are in the page cache. torch and onnxruntime are as their
documentation says to use them: `benchmarks/servers/`.

    pip install "convforge[all,bench]"
    python benchmarks/serving.py >> benchmarks/results/serving.jsonl
    python benchmarks/serving.py --soak 60 >> benchmarks/results/serving.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from http_load import Connection, Tally, ask_once, load, percentiles, request_of

from convforge.version import __version__

SERVERS = Path(__file__).resolve().parent / "servers"
SERVE = "from convforge.cli.main import main; main()"
SYSTEMS = {
    "convforge": ("convforge", "fastapi", "uvicorn"),
    "torch": ("torch", "torchvision", "fastapi", "uvicorn"),
    "onnxruntime": ("onnxruntime", "fastapi", "uvicorn"),
}
FILES = {"convforge": "model.so", "torch": "model.pth", "onnxruntime": "model.onnx"}
PATIENCE_S = 120  # for a server to start
CONNECTIONS = 256  # of a soak, at most


def main() -> None:
    words = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, "--prepare", name], check=True)
        request = request_of((folder / "picture.jpg").read_bytes())
        if words.soak:
            found = asyncio.run(soak(folder, request, words))
            print(json.dumps(found | about(words, "convforge")), flush=True)
            sys.exit(0 if found["well"] else 1)
        rounds: dict[str, list[Turn]] = {system: [] for system in words.systems}
        for number in range(words.rounds):
            order = words.systems if number % 2 == 0 else words.systems[::-1]
            for system in order:
                rounds[system].append(asyncio.run(take_turn(system, folder, request, words)))
                print(f"round {number + 1}: {system}", file=sys.stderr)
        for system, turns in rounds.items():
            first = rounds[words.systems[0]][0].answer
            print(json.dumps(record(turns, first) | about(words, system)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--levels", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--seconds", type=float, default=10.0, help="of every level")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--queue", type=int, default=16, help="of the server that is soaked")
    return parser.parse_args()


# ---------------------------------------------------------------- servers


@dataclass
class Server:
    """A server that answers, how long that took, and what it answered first."""

    process: subprocess.Popen[bytes]
    port: int
    start_s: float
    answer: dict[str, Any]

    def memory(self, name: str) -> int:
        """Bytes of VmRSS, resident now, or VmHWM, at most."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name}:"))
        return 1024 * int(line.split()[1])


def command(system: str, folder: Path, port: int, words: argparse.Namespace) -> list[str]:
    file = str(folder / FILES[system])
    if system != "convforge":
        script = SERVERS / f"with_{system}.py"
        return [sys.executable, str(script), file, str(port), str(words.workers)]
    queue = words.queue if words.soak else 64
    options = ["--port", str(port), "--workers", str(words.workers), "--queue", str(queue)]
    return [sys.executable, "-c", SERVE, "serve", file, *options]


@contextlib.asynccontextmanager
async def running(system: str, folder: Path, request: bytes, words: argparse.Namespace) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (folder / f"{system}.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command(system, folder, port, words), stderr=log)
        try:
            answer = await first_answer(port, request, process)
            server = Server(process, port, time.perf_counter() - started, answer)
            if system != "convforge":
                await ask_once(port, b"GET /limit HTTP/1.1\r\nHost: x\r\n\r\n")
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


async def first_answer(port: int, request: bytes, process: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            status, body = await ask_once(port, request)
            assert status == 200, body
            return json.loads(body)
        await asyncio.sleep(0.005)
    sys.exit("a server did not start")


# ---------------------------------------------------------------- by turns


@dataclass
class Turn:
    """One server, started, loaded and ended."""

    start_s: float
    rss_bytes: int
    peak_bytes: int
    answer: dict[int, float]
    rates: dict[int, float]
    tallies: dict[int, Tally]


async def take_turn(system: str, folder: Path, request: bytes, words: argparse.Namespace) -> Turn:
    rates, tallies = {}, {}
    async with running(system, folder, request, words) as server:
        await load(server.port, request, clients=words.workers, seconds=words.seconds / 5)
        for level in words.levels:
            tally, took = await load(server.port, request, clients=level, seconds=words.seconds)
            assert not tally.other, tally.other[:3]
            rates[level], tallies[level] = len(tally.answered_ms) / took, tally
        sizes = server.memory("VmRSS"), server.memory("VmHWM")
    found = server.answer.get("images", [server.answer])[0]["predictions"]
    answer = {one["index"]: one["probability"] for one in found}
    return Turn(server.start_s, *sizes, answer, rates, tallies)


def record(turns: list[Turn], expected: dict[int, float]) -> dict[str, Any]:
    answer = turns[0].answer
    levels = {
        level: {
            "requests_per_s": round(statistics.median(turn.rates[level] for turn in turns), 1),
            **percentiles([ms for turn in turns for ms in turn.tallies[level].answered_ms]),
            "refused": sum(turn.tallies[level].refused for turn in turns),
        }
        for level in turns[0].rates
    }
    return {
        "start_s": round(statistics.median(turn.start_s for turn in turns), 3),
        "start_min_s": round(min(turn.start_s for turn in turns), 3),
        "rss_bytes": int(statistics.median(turn.rss_bytes for turn in turns)),
        "peak_bytes": int(statistics.median(turn.peak_bytes for turn in turns)),
        "by_level": levels,
        "difference": max(abs(answer.get(key, 0.0) - expected[key]) for key in expected),
    }


def about(words: argparse.Namespace, system: str) -> dict[str, Any]:
    from convforge.benchmark.measurement import machine

    names = SYSTEMS[system]
    return {
        "benchmark": "serving, soak" if words.soak else "serving",
        "system": system,
        "versions": {
            name: __version__ if name == "convforge" else importlib.metadata.version(name)
            for name in names
        },
        "workers": words.workers,
        "seconds": 60 * words.soak if words.soak else words.seconds,
        "rounds": 1 if words.soak else words.rounds,
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": sys.version.partition(" ")[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


# ---------------------------------------------------------------- at twice the capacity


async def soak(folder: Path, request: bytes, words: argparse.Namespace) -> dict[str, Any]:
    async with running("convforge", folder, request, words) as server:
        clients = 2 * words.workers
        tally, took = await load(server.port, request, clients=clients, seconds=5)
        capacity = len(tally.answered_ms) / took
        tally, memory, reopened = await overload(
            server, request, rate=2 * capacity, seconds=60 * words.soak
        )
        alive = server.process.poll() is None
    tenth = max(1, len(memory) // 10)
    code = server.process.returncode
    return {
        "capacity_per_s": round(capacity, 1),
        "asked": len(tally.answered_ms) + tally.refused + len(tally.other),
        "answered": len(tally.answered_ms),
        "refused": tally.refused,
        "other": tally.other[:10],
        "reopened": reopened,
        **percentiles(tally.answered_ms),
        "rss_first_bytes": max(memory[:tenth]),
        "rss_last_bytes": max(memory[-tenth:]),
        "exit_code": code,
        "well": alive and code == 0 and not tally.other,
    }


async def overload(
    server: Server, request: bytes, *, rate: float, seconds: float
) -> tuple[Tally, list[int], int]:
    """Requests by the clock; what became of all, the resident set once a second, reopened ones."""
    tally, memory = Tally(), []
    connections = [Connection(server.port) for _ in range(CONNECTIONS)]
    idle = [*connections]
    asking: set[asyncio.Task[None]] = set()

    async def ask(connection: Connection) -> None:
        begin = time.perf_counter()
        try:
            status, _ = await connection.ask(request)
            tally.add(status, time.perf_counter() - begin)
        except OSError as error:
            connection.close()
            tally.other.append(repr(error))
        idle.append(connection)

    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        if idle:
            task = asyncio.create_task(ask(idle.pop()))
            asking.add(task)
            task.add_done_callback(asking.discard)
        else:
            tally.other.append("no connection was free")
        if server.process.poll() is None and time.perf_counter() - started > len(memory):
            memory.append(server.memory("VmRSS"))
    await asyncio.gather(*asking)
    for connection in connections:
        connection.close()
    return tally, memory, sum(connection.reopened for connection in connections)


# ---------------------------------------------------------------- models


def prepare(folder: Path) -> None:
    """The same weights in every server's format, and a picture."""
    import numpy as np
    import torch
    import torchvision
    from PIL import Image

    from convforge.card import Card
    from convforge.classifier import Classifier
    from convforge.compiler.compilation import compile as compile_model
    from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
    from convforge.networks.catalog import create

    torch.manual_seed(0)
    peer = torchvision.models.mobilenet_v2().eval()
    # So that classes differ: outputs of layers are normalised as for noise, and the last are wide.
    for layer in peer.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        peer.train()(torch.randn(8, 3, 224, 224))
    torch.nn.init.normal_(peer.eval().classifier[1].weight, std=0.1)
    torch.save(peer.state_dict(), folder / FILES["torch"])
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        example = (torch.zeros(1, 3, 224, 224),)
        torch.onnx.export(peer, example, str(folder / FILES["onnxruntime"]), verbose=False)
    net = create("mobilenet_v2", weights=folder / FILES["torch"]).eval()
    preprocess = Preprocess(resize=256, crop=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    classes = tuple(map(str, range(1000)))
    card = Card(network=net.name, arguments=net.arguments, classes=classes, preprocess=preprocess)
    compile_model(Classifier(net, card), folder / FILES["convforge"])
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
    picture.save(folder / "picture.jpg", quality=90)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(Path(sys.argv[2]))
    else:
        main()
