"""Every route asked what its schema allows and what it does not, by schemathesis."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    CHECKS,
    load_all_checks,
)

from convforge.serving.api import create_app

load_all_checks()
# A picture of random bytes is none, and a form need not be one that its schema shows.
LEFT_OUT = {"positive_data_acceptance", "negative_data_rejection", "use_after_free"}


@pytest.fixture(scope="module")
def api(service):
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(service))


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_schema_says_and_none_is_a_defect(case):
    checks = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]
    case.call_and_validate(checks=checks)
