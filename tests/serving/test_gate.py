import base64
import json
import logging

import pytest

from convforge.serving import gate

KEY = "secret-key"


@pytest.fixture(scope="module")
def locked(make_service, make_client):
    """A client of a server that asks for a key."""
    with make_service(api_key=KEY) as service:
        yield make_client(service)


def basic(password):
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer secret-kez"},
        {"Authorization": f"Digest {KEY}"},
        {"Authorization": "Basic !"},
        {"Authorization": basic("é")},
        {"X-API-Key": f"{KEY}x"},
        {"X-API-Key": "\xe9".encode("latin-1")},
    ],
)
def test_nothing_is_told_without_the_key(locked, png, headers):
    for path in ("/", "/card", "/docs", "/openapi.json", "/metrics", "/v2", "/healthz/"):
        answer = locked.get(path, headers=headers)
        assert answer.status_code == 401, path
        assert "digits" not in answer.text
    answer = locked.post("/predict", content=png(), headers=headers)
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["error"]
    assert 'Basic realm="convforge"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X-API-Key": KEY},
        {"Authorization": basic(KEY)},
    ],
)
def test_the_key_opens(locked, png, headers):
    assert locked.get("/", headers=headers).status_code == 200
    assert locked.post("/predict", content=png(), headers=headers).status_code == 200


def test_the_state_of_health_needs_no_key(locked):
    for path in gate.OPEN:
        assert locked.get(path).status_code == 200


def test_the_document_says_how_a_key_is_sent_where_one_is_asked_for(locked, client):
    document = locked.get("/openapi.json", headers={"X-API-Key": KEY}).json()
    schemes = document["components"]["securitySchemes"]
    assert [next(iter(one)) for one in document["security"]] == list(schemes)
    assert schemes["header"]["name"] == "X-API-Key"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path in gate.OPEN), path
    assert "security" not in client.get("/openapi.json").json()


def chunks(count):
    yield from [b"x" * 10_000] * count


def test_bodies_over_the_limit_are_refused_however_they_come(client):
    for body in (lambda: b"x" * 300_001, lambda: chunks(31)):
        for path in ("/predict", "/v2/models/digits/infer"):
            answer = client.post(path, content=body())
            assert answer.status_code == 413
            assert "over the limit of 300,000 bytes" in answer.json()["error"]
    large = {"file": ("a.png", b"x" * 300_000)}
    assert client.post("/predict", files=large).status_code == 413


def test_a_body_of_the_limit_is_read(client):
    assert client.post("/predict", content=b"x" * 300_000).status_code == 422


def test_all_bodies_together_have_a_limit(make_service, make_client, monkeypatch, png):
    monkeypatch.setattr(gate, "HELD", 0)
    with make_service() as service:
        client = make_client(service)
        answer = client.post("/predict", content=png())
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        # What was refused is held no longer.
        monkeypatch.setattr(gate, "HELD", 1)
        assert client.post("/predict", content=png()).status_code == 200


def test_a_defect_is_one_requests_and_is_logged(make_service, make_client, monkeypatch, caplog):
    with make_service() as service:
        client = make_client(service, raise_server_exceptions=False)
        monkeypatch.setattr(service, "predict", lambda *_, **__: 1 / 0)
        with caplog.at_level(logging.INFO, "convforge.serving"):
            answer = client.post("/predict", content=b"x")
        assert answer.status_code == 500
        assert answer.json() == {"error": "a defect in the server; its log has more"}
        assert "ZeroDivisionError" in caplog.text
        assert client.get("/healthz").status_code == 200


def test_every_request_is_one_record_with_what_it_was(client, png, caplog):
    with caplog.at_level(logging.INFO, "convforge.serving"):
        answer = client.post(
            "/predict?top=1&secret=7", content=png(), headers={"X-Request-ID": "abc-1"}
        )
    (record,) = (one for one in caplog.records if one.name == "convforge.serving")
    assert (record.id, record.method, record.path) == ("abc-1", "POST", "/predict")
    assert (record.status, record.bytes) == (200, len(png()))
    assert record.ms > 0
    assert answer.headers["X-Request-ID"] == "abc-1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "secret" not in json.dumps(vars(record), default=str)


@pytest.mark.parametrize("given", ["a b", "x" * 65, '"'])
def test_an_id_that_would_spoil_the_log_is_replaced(client, given):
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-ID"]) == 32
