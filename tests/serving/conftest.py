"""A service of the digits' artifact, and clients that ask it without a socket."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convforge.runtime import Runtime
from convforge.serving.api import create_app
from convforge.serving.service import Service
from convforge.serving.settings import Settings

MAIN = "from convforge.cli.main import main; main()"


@pytest.fixture(scope="session")
def make_service(artifact_file):
    """A service with these settings; close it."""

    def make(**settings):
        return Service(Runtime(artifact_file), name="digits", settings=Settings(**settings))

    return make


@pytest.fixture(scope="session")
def service(make_service):
    with make_service(workers=2, max_bytes=300_000) as service:
        yield service


@pytest.fixture(scope="session")
def make_client():
    """A client of a service's application."""
    from starlette.testclient import TestClient

    def make(service, **options):
        return TestClient(create_app(service), **options)

    return make


@pytest.fixture(scope="session")
def client(make_client, service):
    return make_client(service)


@pytest.fixture(scope="session")
def png():
    """An image file of random pixels."""

    def make(width=8, height=8, kind="PNG"):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()

    return make


# Where the tests were started in the background nobody hears Ctrl-C, nor do their children.
HEARS = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


@pytest.fixture
def start(artifact_file):
    """Start a server in a process of its own; gives that, and its address once it listens."""
    started = []

    def begin(*options, before=""):
        program = HEARS + before + MAIN
        command = [sys.executable, "-c", program, "serve", artifact_file, "--port", "0"]
        process = subprocess.Popen(
            [*map(str, command), *options], stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        first = json.loads(process.stderr.readline())
        assert first["event"] == "serving"
        return process, first["address"]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
