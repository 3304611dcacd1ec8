from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.emit import emit_sources, plan_arena
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.backend.selftest import SelfTest
from convforge.compiler.backend.target import AARCH64_LINUX, X86_64_LINUX, native
from convforge.compiler.ir import reference
from convforge.compiler.ir.graph import Node
from convforge.compiler.kernels.resize import scratch_bytes
from convforge.compiler.passes.assign_layouts import assign_layouts
from convforge.compiler.passes.order import run_passes
from convforge.compiler.pipeline import compile_graph

# The card is one string literal; C11 promises 4095 bytes, all compilers take more.
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-overlength-strings")

COMPILERS = [
    pytest.param(
        "gcc", id="gcc", marks=pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
    ),
    pytest.param(
        f"{sys.executable} -m ziglang cc",
        id="zig",
        marks=pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang"),
    ),
]

NASTY = (
    "quotes \" and '",
    "back\\slash \\n \\",
    "comment */ int x; /* // *//",
    "trigraph ??/ ??=",
    "lines\nand\r\ttabs\0",
    "über 고양이 🐈 \u202e",
    "",
    "%s %n",
)

SELFTEST = SelfTest(np.float32([1, -0.5, np.nan, np.inf, 0]), 1, 1e-4)

IN_ANOTHER_PROCESS = """
import hashlib, pickle, sys
from convforge.compiler.backend.emit import emit_sources, plan_arena
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.backend.selftest import SelfTest
from convforge.compiler.backend.target import X86_64_LINUX
from convforge.compiler.passes.assign_layouts import assign_layouts
from convforge.compiler.passes.order import run_passes
graph, card, expected = pickle.load(sys.stdin.buffer)
program = build_program(*assign_layouts(run_passes(graph)))
schedule = build_schedule(program)
plan = plan_arena(program, schedule, card)
selftest = SelfTest(expected, 1, 1e-4)
sources = emit_sources(
    program, schedule, plan, card=card, selftest=selftest, target=X86_64_LINUX
)
for name, content in sources.items():
    print(name, hashlib.sha256(content).hexdigest())
"""


def emit(graph, card, target=X86_64_LINUX):
    program = build_program(*assign_layouts(run_passes(graph)))
    schedule = build_schedule(program)
    plan = plan_arena(program, schedule, card)
    return emit_sources(program, schedule, plan, card=card, selftest=SELFTEST, target=target)


@pytest.fixture
def card(make_card):
    return make_card(tuple("abcde"), shape=(3, 12, 12))


def test_the_same_network_gives_the_same_bytes(zoo, card):
    assert emit(zoo, card) == emit(zoo, card)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_another_process_with_another_hash_seed_gives_the_same_bytes(zoo, card, seed):
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps((zoo, card, SELFTEST.expected)),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )
    expected = [
        f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in emit(zoo, card).items()
    ]
    assert done.stdout.decode().splitlines() == expected


def test_the_weights_are_little_endian_float32(zoo, card):
    program = build_program(*assign_layouts(run_passes(zoo)))
    found = np.frombuffer(emit(zoo, card)["weights.bin"], "<f4")
    np.testing.assert_array_equal(found, program.weights)


def test_the_text_of_a_small_network(make_graph, make_card, golden):
    graph = make_graph(
        Node("features.pool", "max_pool", ("x",), {
            "kernel": (2, 2), "stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0),
        }, (("relu",), ("affine", 2.0, 0.5))),
        Node("head.flatten", "reshape", ("features.pool",), {"shape": (1, 4)}),
        Node("head.linear", "linear", ("head.flatten", "w", "b")),
        shape=(1, 1, 4, 4),
        w=np.arange(8).reshape(2, 4),
        b=np.ones(2),
    )  # fmt: skip
    sources = emit(graph, make_card(("cat", "dog"), shape=(1, 4, 4)))
    golden("model.c", sources["model.c"].decode())
    golden("layers_0.c", sources["layers_0.c"].decode())


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_source_compiles_without_a_warning_at_every_level(zoo, card, compiler, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    assert compile_graph(zoo, card=card, target=native(), flags=STRICT).library[:4] == b"\x7fELF"


@pytest.mark.parametrize("compiler", COMPILERS)
def test_layer_names_of_any_characters_do_no_harm(
    make_graph, make_card, baseline, compiler, monkeypatch
):
    monkeypatch.setenv("CC", compiler)
    nodes = [Node("flat", "reshape", ("x",), {"shape": (1, 2)})]
    for name in NASTY:
        nodes.append(Node(name, "add", (nodes[-1].name, "flat")))
    graph = make_graph(*nodes, shape=(1, 1, 2, 1))
    compile_graph(graph, card=make_card(shape=(1, 2, 1)), target=baseline, flags=STRICT)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_class_names_of_any_characters_come_back(
    make_graph, make_card, open_compiled, compiler, monkeypatch
):
    monkeypatch.setenv("CC", compiler)
    flat = Node("flat", "reshape", ("x",), {"shape": (1, len(NASTY))})
    graph = make_graph(flat, shape=(1, 1, len(NASTY), 1))
    card = replace(make_card(NASTY, shape=(1, len(NASTY), 1)), data={"uri": 'a "b" \\ */ ??/'})
    runtime = open_compiled(graph, card, flags=STRICT)
    assert runtime.classes == NASTY
    assert runtime.card == card


def test_a_card_of_many_classes_comes_back(make_graph, make_card, open_compiled):
    classes = tuple(f"class {i}, 분류 {i}" for i in range(1000))
    flat = Node("flat", "reshape", ("x",), {"shape": (1, 1000)})
    graph = make_graph(flat, shape=(1, 1, 1000, 1))
    assert open_compiled(graph, make_card(classes, shape=(1, 1000, 1))).classes == classes


def test_the_arena_holds_the_preprocessings_scratch_only_before_the_layers(zoo, card):
    program = build_program(*assign_layouts(run_passes(zoo)))
    plan = plan_arena(program, build_schedule(program), card)
    scratch = next(name for name in plan.offsets if "scratch" in name)
    assert plan.arena_bytes >= scratch_bytes(card.preprocess)
    assert plan.offsets[scratch] != plan.offsets["x"]
    # Some layer's buffer lies where the scratch was.
    end = plan.offsets[scratch] + scratch_bytes(card.preprocess)
    others = [start for name, start in plan.offsets.items() if name not in {scratch, "x"}]
    assert any(plan.offsets[scratch] <= start < end for start in others)


def test_only_x86_has_levels_to_choose_from(zoo, card):
    assert "avx" not in emit(zoo, card, AARCH64_LINUX)["artifact.c"].decode()
    text = emit(zoo, card)["artifact.c"].decode()
    for level in ("avx512", "avx2"):
        assert text.count(f'!defined(CF_ONE_LEVEL)\n    {{"{level}"') == 1


def test_layers_that_differ_in_their_weights_alone_share_a_function(
    make_graph, open_compiled, draw, baseline
):
    """Over many files: every width first, then all of them again."""
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    nodes, constants, last = [], {}, "x"
    for i, width in enumerate([*range(1, 21)] * 2):
        constants |= {f"in{i}": draw(width, 12, 1, 1) / 4, f"out{i}": draw(12, width, 1, 1) / 4}
        nodes.append(Node(f"narrow{i}", "conv2d", (last, f"in{i}"), attrs))
        nodes.append(Node(f"wide{i}", "conv2d", (f"narrow{i}", f"out{i}"), attrs, (("tanh",),)))
        last = nodes[-1].name
    graph = make_graph(*nodes, shape=(1, 12, 1, 1), **constants)
    sources = compile_graph(graph, target=baseline).sources
    texts = [text.decode() for name, text in sources.items() if name.startswith("layers_")]
    assert len(texts) == 3
    assert sum(text.count("static void layer_") for text in texts) == 40
    assert sum(text.count("void CF_STEP(0") for text in texts) == 2 * 80
    x = draw(1, 12, 1, 1)
    expected = reference.evaluate(graph, x.astype(np.float64))
    np.testing.assert_allclose(open_compiled(graph).run(x), expected, atol=1e-5)


def test_every_source_says_whose_it_is(zoo, card):
    for name, content in emit(zoo, card).items():
        if name.endswith((".c", ".h")):
            assert b"belongs to whoever generated it" in content
