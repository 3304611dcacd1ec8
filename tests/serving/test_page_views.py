"""The page's views, of the file and of the server alike: what they say, and who can use them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from convforge.images.picture import decode
from convforge.runtime import Runtime

ROUNDED = 2e-2  # of a number in a map: what rounded weights may cost
OPACITY = """(() => {
    const map = document.getElementById("evidence");
    const { data } = map.getContext("2d").getImageData(0, 0, map.width, map.height);
    return [...data].filter((_, i) => i % 4 === 3);
})()"""
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def addresses(digits_page, artifact_file):
    """Where each kind of page is."""
    import threading

    import uvicorn

    from convforge.serving.api import create_app
    from convforge.serving.service import Service
    from convforge.serving.settings import Settings

    with Service(Runtime(artifact_file), name="digits", settings=Settings(workers=1)) as service:
        config = uvicorn.Config(create_app(service), port=0, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield {"file": digits_page.path.as_uri(), "server": f"http://127.0.0.1:{port}/"}
        server.should_exit = True
        thread.join()


@pytest.fixture(params=["file", "server"])
def page(request, chromium, addresses, scans):
    """Either page with a scan that it has classified; it must be quiet."""
    said = []
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(addresses[request.param])
    page.wait_for_selector("#results[aria-busy=false]")
    page.set_input_files("#file", scans[0])
    page.wait_for_selector("#spoken:not(:empty)", state="attached")
    yield page
    context.close()
    assert said == []


def pick(page, place):
    """Choose a layer; -1 is the input."""
    page.click(f"#strip button:nth-child({place + 2})")
    page.wait_for_selector("#maps[aria-busy=false] canvas")


def plain(text):
    """With the signs of a keyboard."""
    return text.replace("\N{MULTIPLICATION SIGN}", "x").replace("\N{MINUS SIGN}", "-")


def number(text):
    return float(plain(text))


def test_every_layers_maps_are_the_artifacts(page, artifact_file, scans):
    runtime = Runtime(artifact_file)
    x = runtime.input_of(decode(scans[0]))
    page.click("#tab-inside")
    for place, layer in enumerate(runtime.layers):
        pick(page, place)
        assert page.inner_text("#layer-name") == layer.name
        if len(layer.gives) < 4 or layer.gives[2:] == (1, 1):
            continue
        maps = runtime.feature_maps(x, place)[0]
        last = min(63, len(maps) - 1)
        page.click(f"#maps button:nth-child({last + 1})")
        page.fill("#row", "2")
        page.fill("#column", "3")
        said = page.inner_text("#place-words")
        value = re.match(rf"Map {last + 1} has (\S+) at row 2, column 3\.", said)
        assert abs(number(value[1]) - maps[last, 1, 2]) <= ROUNDED, layer.name
        assert page.eval_on_selector("#large", "map => [map.height, map.width]") == list(
            maps.shape[1:]
        )


def test_the_evidence_is_the_artifacts_grad_cam(page, artifact_file, scans):
    runtime = Runtime(artifact_file)
    image = decode(scans[0])
    best = int(runtime.probabilities([image])[0].argmax())
    heat = np.maximum(runtime.grad_cam(runtime.input_of(image), best), 0)
    page.click("#why")
    page.wait_for_selector("#evidence:not([hidden])")
    assert f"speaks for “{runtime.classes[best]}”, by Grad-CAM" in page.inner_text("#hint")
    shares = np.float64(page.evaluate(OPACITY)).reshape(heat.shape) / 210
    np.testing.assert_allclose(shares, (heat / heat.max()) ** 1.5, atol=0.03)


def test_a_layer_is_explained_with_its_numbers_filled_in(page):
    page.click("#tab-inside")
    pick(page, 0)
    facts = plain(page.inner_text("#layer-facts"))
    for words in (
        "side ⌊(32 + 2·0 - 5) / 1⌋ + 1 = 28",
        "6 x 1 x 5 x 5 + 6 = 156",
        "6 x 28 x 28 x 1 x 5 x 5 = 117,600",
        "5 x 5 pixels, from place to place 1 apart",
        "Only the last of these maps is ever stored",
    ):
        assert words in facts
    page.fill("#row", "3")
    page.fill("#column", "28")
    frame = page.eval_on_selector(
        "#field", "({style}) => [style.left, style.top, style.width, style.height]"
    )
    shares = [float(side.rstrip("%")) / 100 for side in frame]
    assert shares == pytest.approx([27 / 32, 2 / 32, 5 / 32, 5 / 32])


def test_the_keyboard_goes_through_layers_and_maps(page):
    page.click("#tab-inside")
    pick(page, -1)
    assert page.inner_text("#layer-name") == "input"
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#layer-name")
    assert first != "input"
    assert page.evaluate("document.activeElement.ariaChecked") == "true"
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # around
    assert page.inner_text("#layer-name") == "input"
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#maps button:nth-child(6)")
    page.focus("#maps [aria-checked=true]")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#place-words").startswith("Map 2 has ")


def cells(page, table):
    rows = page.eval_on_selector_all(
        f"#{table} tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [[number(text) if text else None for text in row] for row in rows]


@pytest.mark.parametrize("filter_", ["own", "sobel"])
def test_a_convolution_by_hand_adds_up(page, filter_):
    page.click("#tab-inside")
    page.wait_for_selector("#maps[aria-busy=false] canvas")
    assert "the middle of your picture" in page.inner_text("#hand-note")
    if filter_ == "sobel":
        page.select_option("#hand-filter", index=6)
        assert "not of this network" in page.inner_text("#hand-note")
    page.select_option("#hand-padding", "1")
    page.select_option("#hand-stride", "2")
    taps = np.float64(cells(page, "hand-weights"))
    piece = np.float64(cells(page, "hand-input"))
    side, out = len(taps), (len(piece) - len(taps)) // 2 + 1
    assert not piece[0].any()
    assert not piece[:, -1].any()
    size = f"⌊({len(piece) - 2} + 2·1 - {side}) / 2⌋ + 1 = {out}"
    assert size in plain(page.inner_text("#hand-size"))
    # The keyboard steps: one place more each time.
    page.focus("#hand-next")
    page.keyboard.press("Enter")
    assert sum(value is not None for row in cells(page, "hand-output") for value in row) == 2
    page.click("#hand-last")
    found = np.float64(cells(page, "hand-output"))
    expected = [
        [(taps * piece[2 * i : 2 * i + side, 2 * j : 2 * j + side]).sum() for j in range(out)]
        for i in range(out)
    ]
    # Numbers are shown to two places or three.
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.006 * np.abs(piece).sum() / 4 + 0.01)
    page.click("#hand-back")
    assert cells(page, "hand-output")[-1][-1] is None
    assert f"Place {out * out - 1} of {out * out}" in page.inner_text("#hand-sum")


@pytest.fixture(scope="module")
def axe():
    """axe-core, which looks for what keeps people from using a page."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    return (Path(package.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")


def barriers(page, rules):
    found = page.evaluate(f"axe.run({json.dumps({'resultTypes': ['violations'], **rules})})")
    assert found["passes"]
    return [
        f"{one['id']}: {one['help']}, {one['nodes'][0]['target']}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def test_no_view_has_a_serious_barrier_in_light_or_dark(page, axe):
    page.evaluate(axe)
    found = []
    for view in ("classify", "inside", "cost", "card"):
        page.click(f"#tab-{view}")
        if view == "classify":
            page.click("#why")
            page.wait_for_selector("#evidence:not([hidden])")
        if view == "inside":
            page.wait_for_selector("#maps[aria-busy=false] canvas")
        if view == "cost":
            page.click("#cost button")
            page.wait_for_selector("#cost th:has-text('Time')")
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found += barriers(page, {})
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found += barriers(page, {"runOnly": ["color-contrast"]})
    assert found == []


def test_a_phone_has_no_sideways_scroll(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for view in ("classify", "inside", "cost", "card"):
        page.click(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
