import re

import pytest

from convforge.serving.docs_page import docs_page


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_every_route_has_its_parameters_body_and_answers(client, document):
    page = client.get("/docs").text
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"<b>{method.upper()}</b> {path}</h2>" in page
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in page
    assert "integer in the query, minimum 1, maximum 1000000, default 5" in page
    assert "<code>multipart/form-data</code>" in page


def test_it_loads_nothing_and_runs_no_script(document):
    page = docs_page(document)
    assert "default-src 'none'" in page
    assert not re.findall(r"https?://|<script|<link|<img|src=", page)
    assert set(re.findall(r'href="([^"]*)"', page)) == {"openapi.json", "./"}


def test_words_are_text(document):
    operation = {"description": "<b>&", "responses": {"200": {"description": "<i>"}}}
    page = docs_page(document | {"paths": {"/<x>": {"get": operation}}})
    assert "<p>&lt;b&gt;&amp;</p>" in page
    assert "<b>GET</b> /&lt;x&gt;</h2>" in page
    assert "<i>" not in page
