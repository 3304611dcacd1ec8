import re
from collections import OrderedDict
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from torch import nn

from convforge.analysis.drawing import TALLEST, summary_svg
from convforge.analysis.summary import describe
from convforge.networks import catalog

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def draw(summary_of):
    return lambda name: ET.fromstring(summary_svg(summary_of(name)))


def fronts(root):
    """(kind, height) of the front face of every map."""
    rects = [group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g")]
    return [(rect.get("class").split("cf-")[-1], float(rect.get("height"))) for rect in rects]


def labels(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def test_lenet5s_maps_are_to_scale(draw):
    heights = [height for _, height in fronts(draw("lenet5"))][:5]
    assert heights == pytest.approx([TALLEST * side / 32 for side in (32, 28, 14, 10, 5)], abs=0.1)


def test_lenet5s_maps_are_drawn_one_by_one(draw):
    groups = list(draw("lenet5").iter(f"{SVG}g"))
    assert [len(group.findall(f"{SVG}rect")) for group in groups] == [1, 6, 6, 16, 16, 1, 1, 1]


def test_deep_networks_are_drawn_by_square_roots_and_say_so(draw):
    root = draw("vgg16")
    heights = [height for _, height in fronts(root)]
    assert heights[0] == pytest.approx(TALLEST)
    assert heights[-4] == pytest.approx(TALLEST * (7 / 224) ** 0.5, abs=0.1)
    assert any("heights and widths by square root" in text for text in labels(root))
    assert any("heights and widths to scale" in text for text in labels(draw("lenet5")))


def test_labels_name_what_made_a_map_and_its_shape(draw):
    texts = [text.replace("\N{MULTIPLICATION SIGN}", "x") for text in labels(draw("lenet5"))]
    assert {"5x5 conv", "c1", "6@28x28", "2x2 subsampling /2", "RBF", "1@32x32"} <= set(texts)


def test_the_legend_calls_an_rbf_layer_what_it_has_in_common_with_a_linear_one(draw):
    texts = labels(draw("lenet5"))
    assert {"convolution", "pooling", "full connection"} <= set(texts)
    assert "block or stage of blocks" not in texts


def test_a_window_is_drawn_to_scale_on_the_map_that_it_reads(draw):
    root = draw("lenet5")
    window = next(p for p in root.iter(f"{SVG}polygon") if p.get("class") == "cf-window")
    ys = [float(point.split(",")[1]) for point in window.get("points").split()]
    assert ys[0] - ys[3] == pytest.approx(TALLEST * 5 / 32, abs=0.2)


def test_lines_to_a_full_connection_begin_where_the_map_before_ends(draw):
    root = draw("lenet5")
    s4 = list(root.iter(f"{SVG}g"))[4]
    corners = [p for polygon in s4.iter(f"{SVG}polygon") for p in polygon.get("points").split()]
    right = max(float(corner.split(",")[0]) for corner in corners)
    lines = next(p for p in root.iter(f"{SVG}path") if p.get("class") == "cf-ray cf-all")
    assert [float(x) for x in re.findall(r"M([\d.]+)", lines.get("d"))] == [right, right]


@pytest.mark.parametrize("name", catalog.names())
def test_every_network_is_one_well_formed_drawing_with_nothing_outside_its_frame(draw, name):
    root = draw(name)
    left, top, width, height = map(float, root.get("viewBox").split())
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        assert left <= x <= x + w <= left + width
        assert top <= y <= y + h <= top + height
    for polygon in root.iter(f"{SVG}polygon"):
        for x, y in (map(float, point.split(",")) for point in polygon.get("points").split()):
            assert left <= x <= left + width
            assert top <= y <= top + height
    for text in root.iter(f"{SVG}text"):
        assert top <= float(text.get("y")) <= top + height
    assert width < 2500


@pytest.mark.parametrize("name", ["alexnet", "vgg19", "googlenet", "efficientnet_b7"])
def test_labels_of_neighbours_do_not_overlap(draw, name):
    spans = []
    for text in draw(name).iter(f"{SVG}text"):
        if text.get("class") == "cf-what":
            half = len(text.text) * 11 * 0.6 / 2
            spans.append((float(text.get("x")) - half, float(text.get("x")) + half))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_names_are_escaped():
    layers = OrderedDict({"<script>&\"'": nn.Conv2d(1, 2, 3), "b": nn.Conv2d(2, 2, 3)})
    net = nn.Sequential(layers)
    net.name = '"><script>alert(1)</script>'
    text = summary_svg(describe(net, input_shape=(1, 8, 8)))
    assert "<script>" not in text
    assert "<script>&\"'" in labels(ET.fromstring(text))


def test_nothing_is_loaded_from_elsewhere(summary_of):
    text = summary_svg(summary_of("resnet50"))
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|href|<image|<script", text)


def test_a_network_without_maps_is_drawn_too():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    root = ET.fromstring(summary_svg(describe(net, input_shape=(4, 1, 1))))
    assert [kind for kind, _ in fronts(root)] == ["input", "linear"]
