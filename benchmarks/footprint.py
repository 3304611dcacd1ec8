"""Claim: an artifact needs a fraction of torch's disk, memory and start, less than onnxruntime too.

MobileNetV2 at 224x224 with random weights, one thread, run once in a fresh process by each engine;
one JSON line an engine:

disk_bytes   what has to be installed for it besides Python and numpy, and the model's own file:
             the folders of the packages named in `counted`, not what these depend on in turn
start_s      from starting the process to its first prediction: median and minimum of n; engines
             take turns, all files are in the page cache
processor_s  what all processors spent on it until its end, the same when others use the machine
peak_bytes   largest resident set of the process until then, median of n: code, memory, and those
             pages of weights that were read

Everybody gets a tensor that is ready, but for examples/predict.c, which reads an image of 640x480,
resizes and normalises it. `floor` is Python with numpy and no engine. OpenVINO computes in float32.
torch is there twice: as torchvision's network, and as a TorchScript file, which is deprecated and
the leanest that it has.

    pip install "convforge[bench]"
    python benchmarks/footprint.py >> benchmarks/results/footprint.jsonl
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from convforge.benchmark.measurement import machine
from convforge.version import __version__

ROUNDS = int(os.environ.get("ROUNDS", "10"))
ROOT = Path(__file__).resolve().parents[1]

INPUT = "import numpy as np\nx = np.full((1, 3, 224, 224), 0.5, np.float32)\n"
# Each is given the model's file and prints one line when the first prediction is there.
PROGRAMS = {
    "floor": INPUT + "print(x.sum())",
    "convforge": INPUT + "import convforge as cf\nprint(cf.load(FILE).run(x).sum())",
    "torch": INPUT
    + "import torch, torchvision\nnet = torchvision.models.mobilenet_v2()\n"
    + "net.load_state_dict(torch.load(FILE))\ntorch.set_num_threads(1)\n"
    + "with torch.inference_mode():\n    print(net.eval()(torch.from_numpy(x)).sum())",
    "torch, jit": INPUT
    + "import torch\ntorch.set_num_threads(1)\nnet = torch.jit.load(FILE)\n"
    + "with torch.inference_mode():\n    print(net(torch.from_numpy(x)).sum())",
    "onnxruntime": INPUT
    + "import onnxruntime as ort\noptions = ort.SessionOptions()\n"
    + "options.intra_op_num_threads = 1\nsession = ort.InferenceSession(FILE, options)\n"
    + "print(session.run(None, {session.get_inputs()[0].name: x})[0].sum())",
    "openvino": INPUT
    + "import openvino as ov\n"
    + "settings = {'INFERENCE_NUM_THREADS': 1, 'INFERENCE_PRECISION_HINT': 'f32'}\n"
    + "print(ov.Core().compile_model(FILE, 'CPU', settings)(x)[0].sum())",
}
PACKAGES = {
    "floor": (),
    "convforge": ("convforge",),
    "convforge, C": (),
    "torch": ("torch", "torchvision"),
    "torch, jit": ("torch",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}
# In a process of its own and small, for a process inherits its parent's largest resident set.
LAUNCHER = """
import json, os, sys, time
files = os.pipe()
start = time.perf_counter()
actions = [(os.POSIX_SPAWN_DUP2, files[1], 1)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
os.close(files[1])
got = os.read(files[0], 1)
seconds = time.perf_counter() - start
while got and os.read(files[0], 4096):
    pass
_, status, usage = os.wait4(pid, 0)
print(json.dumps([status, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        commands, files = prepare(Path(name))
        spent: dict[str, list[tuple[float, float, int]]] = {engine: [] for engine in commands}
        for _ in range(ROUNDS + 1):  # the first fills the page cache
            for engine, command in commands.items():
                spent[engine].append(launch(command))
        for engine in commands:
            print(json.dumps(record(engine, files.get(engine), spent[engine][1:])), flush=True)


def prepare(folder: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """The command of every engine that is installed, and its model's file."""
    subprocess.run([sys.executable, __file__, "--prepare", str(folder)], check=True)
    files = {
        "convforge": folder / "model.so",
        "convforge, C": folder / "model.so",
        "torch": folder / "model.pth",
        "torch, jit": folder / "model.pt",
        "onnxruntime": folder / "model.onnx",
        "openvino": folder / "model.onnx",
    }
    programs = {
        engine: [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            program.replace("FILE", repr(str(files.get(engine)))),
        ]
        for engine, program in PROGRAMS.items()
        if all(importlib.util.find_spec(package) for package in PACKAGES[engine])
    }
    return programs | {"convforge, C": [str(folder / "predict"), str(folder / "image.ppm")]}, files


def write_models(folder: Path) -> None:
    """The same weights in every engine's format, the C example, and an image."""
    import torch
    import torchvision

    from convforge.card import Card
    from convforge.classifier import Classifier
    from convforge.compiler.compilation import compile as compile_model
    from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
    from convforge.networks.catalog import create

    torch.manual_seed(0)
    net = create("mobilenet_v2").eval()
    preprocess = Preprocess(resize=256, crop=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    classes = tuple(map(str, range(1000)))
    card = Card(network=net.name, arguments=net.arguments, classes=classes, preprocess=preprocess)
    compile_model(Classifier(net, card), folder / "model.so")
    peer = torchvision.models.mobilenet_v2().eval()
    torch.save(peer.state_dict(), folder / "model.pth")
    example = torch.zeros(1, 3, 224, 224)
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.trace(peer, example), folder / "model.pt")
        torch.onnx.export(peer, (example,), str(folder / "model.onnx"), verbose=False)
    pixels = bytes(i * 37 % 256 for i in range(3 * 640 * 480))
    (folder / "image.ppm").write_bytes(b"P6 640 480 255\n" + pixels)
    source = ROOT / "examples" / "predict.c"
    command = ["cc", "-std=c11", "-O2", str(source), str(folder / "model.so")]
    subprocess.run([*command, "-o", str(folder / "predict")], check=True)


def launch(command: list[str]) -> tuple[float, float, int]:
    """Seconds to the first line, those of all processors, the largest resident set in bytes."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command],
        stdout=subprocess.PIPE,
        check=True,
    )
    status, seconds, processor_seconds, peak = json.loads(done.stdout)
    assert status == 0, command
    return seconds, processor_seconds, peak


def record(engine: str, file: Path | None, spent: list[tuple[float, float, int]]) -> dict[str, Any]:
    seconds, processor_seconds, peaks = zip(*spent, strict=True)
    # An ONNX file keeps its weights in another beside it.
    parts = [] if file is None else [file, *file.parent.glob(f"{file.name}.data")]
    model = sum(part.stat().st_size for part in parts)
    counted = {package: folder_bytes(package) for package in PACKAGES[engine]}
    versions = {
        p: __version__ if p == "convforge" else importlib.metadata.version(p)
        for p in PACKAGES[engine]
    }
    return {
        "benchmark": "footprint",
        "engine": engine,
        "versions": versions,
        "counted": counted,
        "model_bytes": model,
        "disk_bytes": model + sum(counted.values()),
        "start_s": round(statistics.median(seconds), 4),
        "start_min_s": round(min(seconds), 4),
        "processor_s": round(statistics.median(processor_seconds), 4),
        "processor_min_s": round(min(processor_seconds), 4),
        "peak_bytes": int(statistics.median(peaks)),
        "n": len(spent),
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": sys.version.partition(" ")[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def folder_bytes(package: str) -> int:
    """What a package takes up on disk, without Python's compiled copies of its sources."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return sum(
        path.lstat().st_size
        for folder in spec.submodule_search_locations
        for path in Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        write_models(Path(sys.argv[2]))
    else:
        main()
