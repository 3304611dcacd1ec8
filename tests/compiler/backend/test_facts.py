"""What an artifact says of its layers, and the maps that it gives of them, against numpy."""

import json
from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.facts import FILTERS, layer_facts
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.target import native
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.passes.assign_layouts import assign_layouts
from convforge.compiler.passes.order import run_passes
from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime


@pytest.fixture(scope="module")
def stem(small):
    """Facts of the first layer of the small network, which is a convolution with its ReLU."""
    return json.loads(layer_facts(build_program(*assign_layouts(run_passes(small))))[0])


def test_a_convolution_says_how_it_slides(stem):
    (does,) = stem["does"]
    assert (does["op"], does["then"], does["groups"]) == ("conv2d", ["relu"], 1)
    assert (does["kernel"], does["stride"], does["padding"]) == ([3, 3], [1, 1], [1, 1, 1, 1])
    assert (does["takes"], does["gives"]) == ([3, 12, 12], [20, 12, 12])
    assert (stem["gives"], stem["parameters"], stem["reads"]) == ([1, 20, 12, 12], 540, [[-1]])
    assert stem["field"] == {"first": [-1, -1], "size": [3, 3], "jump": [1, 1], "gated": False}


def test_the_first_filters_are_told_to_five_digits(stem, small):
    filters = stem["filters"]
    assert filters["shape"] == [FILTERS, 3, 3, 3]
    found = np.float32(filters["weights"]).reshape(filters["shape"])
    np.testing.assert_allclose(found, small.constants["stem"][:FILTERS], rtol=1e-4)
    assert filters["biases"] == [0.0] * FILTERS


def test_numbers_that_are_none_do_not_break_the_json(small):
    constants = {**small.constants, "stem": np.full_like(small.constants["stem"], np.nan)}
    program = build_program(*assign_layouts(run_passes(replace(small, constants=constants))))
    for text in layer_facts(program):
        assert "NaN" not in text
        json.loads(text)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_map_of_every_operation_is_numpys(zoo, threads, tmp_path):
    compiled = compile_graph(zoo, target=native(), threads=threads)
    save_artifact(compiled.library, tmp_path / "net.so")
    graph = run_passes(zoo)
    x = np.random.default_rng(1).standard_normal(zoo.input_shape, np.float32)
    runtime = Runtime(tmp_path / "net.so")
    expected = evaluate(zoo, x)
    for layer in runtime.layers:
        found = runtime.feature_maps(x, layer.name)
        value = layer.name.partition(", ")[0]  # of a copy what is copied
        wanted = evaluate(replace(graph, output=value), x)
        assert found.shape == layer.gives == wanted.shape
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * scale, err_msg=layer.name)
        # What was computed in part leaves nothing behind that disturbs the whole.
        np.testing.assert_allclose(runtime.run(x), expected, rtol=1e-3, atol=1e-3)


def test_maps_of_several_images_lie_one_behind_the_other(zoo, tmp_path):
    nodes = zoo.nodes[:7]
    graph = replace(zoo, input_shape=(3, *zoo.input_shape[1:]), nodes=nodes, output="pair")
    compiled = compile_graph(graph, target=native())
    save_artifact(compiled.library, tmp_path / "net.so")
    runtime = Runtime(tmp_path / "net.so")
    x = np.random.default_rng(1).standard_normal(graph.input_shape, np.float32)
    optimized = run_passes(graph)
    names = {node.name for node in optimized.nodes}
    layers = [layer for layer in runtime.layers if layer.name in names]
    assert len(layers) > 3
    for layer in layers:
        wanted = evaluate(replace(optimized, output=layer.name), x)
        found = runtime.feature_maps(x, layer.name)
        assert found.shape == wanted.shape
        atol = 1e-4 * np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=atol, err_msg=layer.name)
