"""Every route asked what its schema allows and what it does not, by schemathesis."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from starlette.testclient import TestClient

from convforge.serving.api import create_app

load_all_checks()
# A picture of random bytes is none, and numbers need not be what the schema takes for an example.
LEFT_OUT = {"positive_data_acceptance", "negative_data_rejection"}


@pytest.fixture(scope="module")
def operations(service):
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(service))
    return [found.ok() for found in schema.get_all_operations()]


def test_the_schema_has_every_route(operations):
    assert {one.label for one in operations} == {
        "POST /predict",
        "GET /card",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /layers",
        "GET /layers/times",
        "POST /layers/{layer}/maps",
        "POST /evidence",
        "GET /v2",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /v2/models/{name}",
        "GET /v2/models/{name}/ready",
        "POST /v2/models/{name}/infer",
    }


def references(document):
    """Every `$ref` of a document."""
    if isinstance(document, list):
        return [found for one in document for found in references(one)]
    if not isinstance(document, dict):
        return []
    named = [document["$ref"]] if "$ref" in document else []
    return named + [found for one in document.values() for found in references(one)]


def test_every_reference_leads_somewhere(service):
    document = TestClient(create_app(service)).get("/openapi.json").json()
    found = references(document)
    assert "#/components/schemas/Tensor" in found
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@pytest.mark.parametrize("examples", [10, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_the_schema_says_and_none_is_a_defect(operations, mode, examples):
    checks = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]
    assert len(checks) > 5
    for operation in operations:
        takes = any(word in operation.label for word in ("POST", "{"))
        if mode is GenerationMode.NEGATIVE and not takes:
            continue  # it takes nothing that could be wrong

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            case.call_and_validate(checks=checks)

        ask()
