"""The chapter on serving: its commands, routes, statuses and limits are the server's."""

import re

import pytest
import typer

from convforge.cli.main import app
from convforge.runtime import Runtime
from convforge.serving import gate
from convforge.serving.api import create_app
from convforge.serving.service import Service
from convforge.serving.settings import Settings


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(artifact_file):
    from starlette.testclient import TestClient

    service = Service(Runtime(artifact_file), name="digits", settings=Settings(workers=1))
    with service, TestClient(create_app(service)) as client:
        yield client


def test_commands_and_options_exist(chapter, commands_in, parse_command):
    commands = commands_in(chapter)
    assert {parse_command(words)[0] for words in commands} == {
        "compile",
        "predict",
        "serve",
    }
    used = set(re.findall(r"`(--[a-z-]+)", chapter))
    command = typer.main.get_command(app()).commands["serve"]
    known = {option for parameter in command.params for option in parameter.opts}
    assert used - {"--soak"} <= known  # which is the benchmark's


def test_routes_are_the_servers(chapter, client):
    told = set(re.findall(r"^\| `((?:GET|POST) /[^`]*)`", chapter, re.MULTILINE))
    paths = client.get("/openapi.json").json()["paths"]
    known = {f"{method.upper()} {path}" for path, kinds in paths.items() for method in kinds}
    shown = {one for one in known if " /v2" not in one}
    assert told == {*shown, "GET /"}
    assert client.get("/").status_code == client.get("/docs").status_code == 200


def test_statuses_are_those_of_the_schema(chapter, client):
    told = {
        status
        for row in re.findall(r"^\| ([\d, ]+) \|", chapter, re.MULTILINE)
        for status in row.split(", ")
    }
    paths = client.get("/openapi.json").json()["paths"]
    answers = {
        status
        for kinds in paths.values()
        for operation in kinds.values()
        for status in operation["responses"]
    }
    assert told == (answers | {"405"}) - {"200"}


def test_who_needs_no_key_is_told(chapter):
    (sentence,) = re.findall(r"Without it only (.*?) answer\.", chapter, re.DOTALL)
    assert set(re.findall(r"`(.*?)`", sentence)) == gate.OPEN
