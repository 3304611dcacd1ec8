"""The command `serve` up to where it listens; tests/serving/test_server.py asks running servers."""

import json
import logging
import sys

import pytest

from convforge.cli.serve import log_as_json
from convforge.serving import server, service


@pytest.fixture
def logging_restored():
    """The log's handlers are those of before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def served(monkeypatch, logging_restored):
    """Applications that the command would have answered with."""
    found = []

    def answer(app, listener, *, settings):
        assert settings is app._service.settings
        found.append(app)
        listener.close()

    monkeypatch.setattr(server, "serve", answer)
    return found


def test_it_serves_an_artifact_with_the_settings_that_are_given(cli, served, artifact_file):
    options = ("--port", 0, "--workers", 3, "--queue", 7, "--max-bytes", 9, "--timeout", 2.5)
    result = cli("serve", artifact_file, "--name", "mine", *options)
    assert (result.code, result.out) == (0, "")
    (gate,) = served
    found = gate._service.settings
    assert (found.workers, found.queue, found.max_bytes, found.timeout_s) == (3, 7, 9, 2.5)
    assert (gate._service.name, found.api_key) == ("mine", None)
    first, last = map(json.loads, result.err.splitlines())
    assert (first["event"], first["model"], first["level"]) == ("serving", "mine", "info")
    assert first["address"].startswith("http://127.0.0.1:")
    assert last["event"] == "ended"


def test_workers_are_as_many_as_the_processors_have_room_for(
    cli, served, artifact_file, monkeypatch
):
    monkeypatch.setattr(service, "processors", lambda: 6)
    for options in ((), ("--threads", 2), ("--threads", 16), ("--workers", 5)):
        assert cli("serve", artifact_file, "--port", 0, *options).code == 0
    assert [one._service.workers.count for one in served] == [6, 3, 1, 5]


def test_the_key_comes_from_a_file_or_the_environment(
    cli, served, artifact_file, monkeypatch, tmp_path
):
    def key(*options):
        result = cli("serve", artifact_file, "--port", 0, *options)
        assert result.code == 0
        assert "secret" not in result.err
        return served[-1]._service.settings.api_key

    (tmp_path / "key").write_text("secret-1\n")
    monkeypatch.setenv("CONVFORGE_API_KEY", "secret-2")
    assert key("--api-key-file", tmp_path / "key") == "secret-1"
    assert key() == "secret-2"


def test_who_listens_to_others_without_a_key_is_warned(cli, served, artifact_file, monkeypatch):
    said = cli("serve", artifact_file, "--port", 0, "--host", "0.0.0.0").err
    assert "other machines may ask without a key" in said
    monkeypatch.setenv("CONVFORGE_API_KEY", "secret")
    said = cli("serve", artifact_file, "--port", 0, "--host", "0.0.0.0").err
    assert "other machines" not in said


def test_what_cannot_be_served_is_refused(refused, artifact_file, classifier_file, tmp_path):
    refused("serve", tmp_path / "no.so", words=["no.so: no such file"])
    refused("serve", classifier_file, words=["compile it first: convforge compile"])
    refused("serve", artifact_file, "--workers", 0, words=["workers is 0"])
    refused("serve", artifact_file, "--threads", 1000, words=["cannot run with 1000 threads"])
    refused(
        "serve", artifact_file, "--host", "no.invalid", words=["no.invalid:8000: cannot listen"]
    )
    (tmp_path / "empty").write_text("\n")
    for name, words in (("empty", "is empty; expected the API key"), ("no", "cannot be read")):
        refused("serve", artifact_file, "--api-key-file", tmp_path / name, words=[words])


@pytest.mark.parametrize("package", ["fastapi", "prometheus_client", "uvicorn"])
def test_a_missing_package_is_named_with_what_installs_it(
    refused, monkeypatch, artifact_file, package
):
    for name in [*sys.modules]:
        if name.partition(".")[0] == package or name.startswith("convforge.serving."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    refused("serve", artifact_file, words=[package, '"convforge[serve]"'])


def test_the_log_is_lines_of_json(capsys, logging_restored):
    log_as_json()
    log = logging.getLogger("convforge.serving")
    log.info("request", extra={"path": "/a\n\udcff", "status": 200})
    try:
        raise ValueError("what")  # noqa: TRY301
    except ValueError:
        log.exception("a defect")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["path"], first["status"]) == ("request", "/a\n\udcff", 200)
    assert first["time"].endswith("Z")
    assert second["level"] == "error"
    assert "ValueError: what" in second["traceback"]


def test_a_server_imports_no_torch(python, artifact_file, scans):
    said = python(
        "import sys\n"
        "from pathlib import Path\n"
        "from convforge.cli.main import run\n"
        "from convforge.serving import server\n"
        "def answer(app, listener, *, settings):\n"
        "    from starlette.testclient import TestClient\n"
        "    client = TestClient(app)\n"
        "    body = Path(sys.argv[2]).read_bytes()\n"
        "    assert client.post('/predict', content=body).status_code == 200\n"
        "    for path in ('/', '/card', '/metrics', '/openapi.json', '/v2/models/digits'):\n"
        "        assert client.get(path).status_code == 200\n"
        "server.serve = answer\n"
        "assert run(['serve', sys.argv[1], '--port', '0']) == 0\n"
        "print({'torch', 'torchvision', 'sklearn', 'onnx'} & set(sys.modules))\n",
        artifact_file,
        scans[0],
    )
    assert said == "set()\n"
