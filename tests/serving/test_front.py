import json
import re

import pytest

from convforge.page_source import bundle
from convforge.serving.front import MODULES, front_page


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
    text = bundle(MODULES)
    assert "WebAssembly" not in text
    assert "fetch(" in text
