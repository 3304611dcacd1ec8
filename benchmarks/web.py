"""Claim: a compiled network beats every other engine in a web page, in one file that opens at once.

speed   networks with random weights at 224x224, one thread, in Chromium: ms of a run of
        convforge's module in float32 and in int8 (with relaxed SIMD, as pages load it, and
        without), and of onnxruntime-web's and TensorFlow.js's in float32, by turns: a round opens
        each in a page of its own, runs it WARM_UP times and then times RUNS; median and minimum of
        all rounds, beside them the largest difference to the native artifact of that precision, of
        the largest output. int8 is calibrated with CALIBRATION random inputs. One JSON line a
        network, with the ratios of each other engine's time to convforge's.
page    a classifier of photographs as one HTML file of each precision: bytes, and ms from opening
        the file, offline, to its answer about the picture in it, median and minimum of 3 ROUNDS,
        by turns.

    npm install onnxruntime-web @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm
    pip install "convforge[train,compile,bench,dev]"
    python benchmarks/web.py node_modules >> benchmarks/results/web.jsonl
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from PIL import Image
from playwright.sync_api import sync_playwright

import convforge as cf
from convforge.benchmark.engines import _onnx_file
from convforge.benchmark.measurement import machine
from convforge.card import Card
from convforge.classifier import Classifier
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.backend.target import HTML_RELAXED, WASM32, largest_byte, native
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.compiler.passes.order import WITHOUT_PAIRS, run_passes
from convforge.compiler.pipeline import compile_graph
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.quantization.search import calibrate_with
from convforge.runtime import Runtime
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.ir.graph import Graph, Node

NETWORKS = ("mobilenet_v2", "efficientnet_b0", "resnet18", "resnet50")
ROUNDS, WARM_UP, RUNS, CALIBRATION = 3, 40, 20, 8
RELAXED = replace(WASM32, levels=HTML_RELAXED.levels)
MODULES: dict[str, tuple[Target, Precision]] = {
    "convforge": (RELAXED, "float32"),
    "convforge, without relaxed SIMD": (WASM32, "float32"),
    "convforge int8": (RELAXED, "int8"),
    "convforge int8, without relaxed SIMD": (WASM32, "int8"),
}
PRECISIONS: tuple[Precision, ...] = ("int8", "float16", "float32")

PAGES = Path(__file__).parent / "pages"  # how a page runs each engine
PEERS = {"onnxruntime-web": "/model.onnx", "tfjs": "/model.json"}

TIME = """async ({ engine, file, warmUp, runs }) => {
    const { prepare } = await import(`/${engine}.js`);
    const x = new Float32Array(await (await fetch("/input.bin")).arrayBuffer());
    const run = await prepare(file, x);
    for (let i = 0; i < warmUp; i++) await run();
    const times = [];
    for (let i = 0; i < runs; i++) {
        const start = performance.now();
        await run();
        times.push(performance.now() - start);
    }
    return { times, output: Array.from(await run()) };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", type=Path, help="the node_modules folder of the other engines")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        common = {"browser": f"Chromium {browser.version}", "machine": machine()}
        common |= {"versions": versions(arguments.modules)}
        common |= {"convforge": __version__, "date": time.strftime("%Y-%m-%d", time.gmtime())}
        lines = [
            *(speed(browser, network, arguments.modules, folder) for network in arguments.networks),
            *pages(browser, folder),
        ]
        for line in lines:
            print(json.dumps({**common, **line}), flush=True)


def versions(modules: Path) -> dict[str, str]:
    packages = {"onnxruntime-web": "onnxruntime-web", "tfjs": "@tensorflow/tfjs-core"}
    return {
        engine: json.loads((modules / package / "package.json").read_text())["version"]
        for engine, package in packages.items()
    }


def speed(browser: Browser, network: str, modules: Path, folder: Path) -> dict[str, Any]:
    served = folder / network
    served.mkdir()
    expected = prepare(network, modules, served)
    files = {name: f"/{number}.wasm" for number, name in enumerate(MODULES)} | PEERS
    times: dict[str, list[float]] = {name: [] for name in files}
    errors = {}
    with serving(served) as address:
        for _ in range(ROUNDS):
            for name, file in files.items():
                page = browser.new_page()
                page.goto(f"{address}/index.html")
                asked = {"file": file, "warmUp": WARM_UP, "runs": RUNS}
                asked["engine"] = "convforge" if name in MODULES else name
                found = page.evaluate(TIME, asked)
                page.close()
                times[name] += found["times"]
                truth = expected[MODULES[name][1] if name in MODULES else "float32"]
                off = np.abs(np.float32(found["output"]) - truth).max()
                errors[name] = float(off / np.abs(truth).max())
    engines = {
        name: {
            "median_ms": round(statistics.median(spent), 2),
            "min_ms": round(min(spent), 2),
            "difference": errors[name],
        }
        for name, spent in times.items()
    }
    ratios = {
        name: {
            peer: {
                key: round(engines[peer][key] / engines[name][key], 2)
                for key in ("median_ms", "min_ms")
            }
            for peer in PEERS
        }
        for name in ("convforge", "convforge int8")
    }
    return {"what": "speed", "network": network, "engines": engines, "ratios": ratios}


def prepare(network: str, modules: Path, folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All that a page of the network asks for; what native artifacts compute, by precision."""
    model = read_model(network)
    shape = model.graph.input_shape
    inputs = np.random.default_rng(0).standard_normal((CALIBRATION, *shape[1:]), np.float32)
    options = calibrate_with(model.graph, inputs, top=largest_byte(WASM32)).options
    asked: dict[str, dict[str, Any]] = {
        "float32": {"expected": model.expected},
        "int8": {"options": options},
    }
    for number, (target, precision) in enumerate(MODULES.values()):
        compiled = compile_graph(model.graph, target=target, **asked[precision])
        save_artifact(compiled.library, folder / f"{number}.wasm")
    loader = Path(str(files("convforge.serving"))) / "page" / "classifier.js"
    for file in (loader, *PAGES.glob("*.js"), *engines_of(modules)):
        shutil.copy(file, folder)
    onnx.save(onnx.load(_onnx_file(model, folder)), folder / "model.onnx")  # weights in it
    write_tfjs(model.graph, folder)
    x = make_input(shape, None)
    (folder / "input.bin").write_bytes(x.tobytes())
    (folder / "index.html").write_text("<!doctype html><title>speed</title>")
    found = {}
    for precision, more in asked.items():
        path = folder / f"{precision}.so"
        save_artifact(compile_graph(model.graph, target=native(), **more).library, path)
        found[precision] = Runtime(path).run(x)[0]
    return found


def engines_of(modules: Path) -> list[Path]:
    """The files of the other engines."""
    tfjs = modules / "@tensorflow"
    return [
        *(modules / "onnxruntime-web" / "dist").glob("ort*wasm*"),
        *(tfjs / "tfjs-backend-wasm" / "dist").glob("*.wasm"),
        tfjs / "tfjs-backend-wasm" / "dist" / "tf-backend-wasm.min.js",
        tfjs / "tfjs-core" / "dist" / "tf-core.min.js",
    ]


def write_tfjs(graph: Graph, folder: Path) -> None:
    """The network as pages/tfjs.js reads it, in model.json and model.bin."""
    graph = run_passes(graph, WITHOUT_PAIRS)
    numbers = {graph.input: 0} | {node.name: i for i, node in enumerate(graph.nodes, 1)}
    arrays: list[np.ndarray[Any, Any]] = []
    nodes = []
    for node in graph.nodes:
        line, weights = for_tfjs(node, graph)
        line["inputs"] = [numbers[name] for name in node.inputs if name in numbers]
        line["constants"] = [*range(len(arrays), len(arrays) + len(weights))]
        arrays += weights
        nodes.append(line)
    starts = np.cumsum([0, *(array.size for array in arrays)]).tolist()
    table = [
        {"shape": array.shape, "start": start, "length": array.size}
        for array, start in zip(arrays, starts, strict=False)
    ]
    (folder / "model.json").write_text(json.dumps({"nodes": nodes, "weights": table}))
    flat = [np.ascontiguousarray(array, np.float32).tobytes() for array in arrays]
    (folder / "model.bin").write_bytes(b"".join(flat))


def for_tfjs(node: Node, graph: Graph) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    """A node in TensorFlow's terms, and its weights in TensorFlow's order."""
    weights = [graph.constants[name] for name in node.inputs if name in graph.constants]
    steps = [("relu6",) if step == ("clip", 0.0, 6.0) else step for step in node.epilogue]
    line: dict[str, Any] = {"op": node.op, "activation": steps[0][0] if steps else ""}
    assert len(steps) <= 1, f"{node.name}: {steps}"
    if node.op in ("conv2d", "conv2d_add", "max_pool"):
        top, left, bottom, right = node.attrs["padding"]  # type: ignore[misc]
        line |= {"op": node.op.removesuffix("_add"), "stride": node.attrs["stride"]}
        line["pad"] = [[0, 0], [top, bottom], [left, right], [0, 0]]
    if line["op"] == "conv2d":
        line["depthwise"] = node.attrs["groups"] != 1
        order = (2, 3, 0, 1) if line["depthwise"] else (2, 3, 1, 0)
        weights[0] = weights[0].transpose(order)
    elif node.op == "linear":
        weights[0] = weights[0].T
    elif node.op == "max_pool":
        line["kernel"] = node.attrs["kernel"]
    elif node.op == "avg_pool":
        assert node.attrs["kernel"] == graph.shapes[node.inputs[0]][2:], node.name
        line["op"] = "global_average"
    elif node.op == "reshape":
        line["shape"] = node.attrs["shape"]
    return line, weights


class serving:  # noqa: N801  (a context manager that reads as a verb)
    """A folder at an address of this machine."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Silent, and with the types that browsers insist on."""

    extensions_map = {  # noqa: RUF012  (as the class above has it)
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_: object) -> None:
        """Nothing."""


def pages(browser: Browser, folder: Path) -> Iterator[dict[str, Any]]:
    picture = folder / "picture.jpg"
    draw = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(draw).resize((640, 480), Image.Resampling.BICUBIC).save(picture)
    spent: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    inputs = np.random.default_rng(0).standard_normal((CALIBRATION, 3, 224, 224), np.float32)
    for precision in PRECISIONS:
        build(
            untrained(),
            folder / f"{precision}.html",
            target="html",
            precision=precision,
            calibrate=inputs if precision == "int8" else None,
            examples=[picture],
        )
    for _ in range(3 * ROUNDS):
        for precision, times in spent.items():
            times.append(first_answer(browser, folder / f"{precision}.html"))
    for precision, times in spent.items():
        yield {
            "what": "page",
            "network": "mobilenet_v2",
            "precision": precision,
            "file_bytes": (folder / f"{precision}.html").stat().st_size,
            "median_ms": round(statistics.median(times)),
            "min_ms": round(min(times)),
        }


def untrained() -> Classifier:
    """MobileNetV2 for ImageNet's thousand classes, as it is before training."""
    preprocess = Preprocess(resize=256, crop=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    classes = tuple(f"class {number}" for number in range(1000))
    card = Card(network="mobilenet_v2", arguments={}, classes=classes, preprocess=preprocess)
    return Classifier(cf.create("mobilenet_v2").eval(), card)


def first_answer(browser: Browser, file: Path) -> float:
    """Milliseconds from opening a page to its answer about the picture in it."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    start = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("#spoken:not(:empty)", state="attached")
    spent = (time.perf_counter() - start) * 1e3
    context.close()
    return spent


if __name__ == "__main__":
    main()
