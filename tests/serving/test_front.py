import json
import re
import shutil

import pytest
from PIL import Image

from convforge.page_source import bundle
from convforge.serving.front import ENTRY, front_page


@pytest.fixture(scope="module")
def page(service):
    return front_page(service)


def test_the_page_knows_the_card_and_the_layers(page, service):
    (text,) = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', page)
    facts = json.loads(text)
    assert facts["card"]["classes"] == list("0123456789")
    assert facts["inputShape"] == [1, 1, 32, 32]
    assert len(facts["layers"]) == len(service.runtime.layers)
    assert "Your pictures are sent to the server" in page
    assert "stay on this device" not in page


def test_the_page_asks_its_own_server_and_nobody_else(page):
    assert "connect-src 'self'" in page
    assert "unsafe" not in page.partition("<title>")[0]
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)


def test_the_page_has_no_classifier_of_its_own():
    text = bundle(ENTRY)
    assert "WebAssembly" not in text
    assert "fetch(" in text


@pytest.fixture
def open_page(chromium):
    """Open an address in a tab of its own; in the end nothing was said on its console."""
    said, contexts = [], []

    def open_address(address, **options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#results[aria-busy=false]")
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert said == []


def answer(page):
    """Probabilities by the class's name, once there are some."""
    page.wait_for_selector("#spoken:not(:empty)", state="attached")
    rows = page.query_selector_all("#bars li")
    return {
        row.query_selector(".label").inner_text(): float(
            row.query_selector("data").get_attribute("value")
        )
        for row in rows
    }


def close_to(found, service, path):
    expected = {one.label: one.probability for one in service.runtime.predict(path, top=10)}
    return len(found) == 5 and all(abs(p - expected[name]) < 1e-6 for name, p in found.items())


def test_a_picture_is_sent_and_its_answer_shown(open_page, start, service, scans, tmp_path):
    _, address = start()
    page = open_page(address)
    page.set_input_files("#file", scans[0])
    assert close_to(answer(page), service, scans[0])
    assert "to the server and back, for 8" in page.inner_text("#timing")
    # A file whose name does not say that the server reads it is sent as pixels.
    shutil.copy(scans[1], tmp_path / "scan.of-some-kind")
    page.evaluate("document.getElementById('spoken').textContent = ''")
    page.set_input_files("#file", tmp_path / "scan.of-some-kind")
    assert close_to(answer(page), service, scans[1])
    page.click("#tab-cost")
    assert "layers, " in page.inner_text("#cost [role=status]")
    page.click("#cost button")
    page.wait_for_selector("#cost th:has-text('Time')")
    assert "billion operations a second" in page.inner_text("#cost [role=status]")
    page.click("#tab-card")
    assert "lenet5_relu" in page.inner_text("#card")


def test_evidence_and_camera_ask_the_server(open_page, start, scans):
    _, address = start()
    page = open_page(address)
    page.set_input_files("#file", scans[1])
    answer(page)
    page.click("#cover")
    page.wait_for_selector("#evidence:not([hidden])")
    page.click("#film")
    page.wait_for_selector("#timing:has-text('640')")
    page.evaluate("document.getElementById('spoken').textContent = ''")
    page.click("#take")
    assert sum(answer(page).values()) <= 1 + 1e-6
    assert page.is_visible("#picture")


def test_what_the_server_refuses_is_shown_and_the_page_goes_on(
    open_page, start, service, scans, tmp_path
):
    process, address = start("--max-bytes", "10000")
    page = open_page(address)
    large = tmp_path / "large.bmp"
    Image.new("RGB", (100, 100)).save(large)
    page.set_input_files("#file", large)
    page.wait_for_selector("#trouble:not([hidden])")
    assert "over the limit of 10,000 bytes" in page.inner_text("#trouble")
    page.set_input_files("#file", scans[0])
    assert close_to(answer(page), service, scans[0])
    process.terminate()
    process.wait()
    page.set_input_files("#file", scans[1])
    page.wait_for_selector("#trouble:not([hidden])")
    assert "does not answer" in page.inner_text("#trouble")


def test_a_page_under_a_key_asks_with_it(open_page, start, service, scans, tmp_path):
    (tmp_path / "key").write_text("secret")
    _, address = start("--api-key-file", str(tmp_path / "key"))
    page = open_page(address, http_credentials={"username": "me", "password": "secret"})
    page.set_input_files("#file", scans[0])
    assert close_to(answer(page), service, scans[0])
