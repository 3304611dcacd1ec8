"""Clients that connect and then do not ask; all with --timeout 1."""

import contextlib
import errno
import json
import os
import resource
import signal
import socket
import time
import urllib.request

import pytest

from convforge.serving.server import listen

FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def connect():
    """A connection to a server's address, which reads little at a time."""
    with contextlib.ExitStack() as opened:

        def begin(address):
            host, port = address.removeprefix("http://").split(":")
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(5)
            connection.connect((host, int(port)))
            return connection

        yield begin


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def ask(connection, more=b""):
    """Ask whether it is healthy, and read the whole answer."""
    connection.sendall(ASK[:-2] + more + b"\r\n")
    found = b""
    while not found.endswith(b"}"):
        found += connection.recv(4096)
    assert found.startswith(b"HTTP/1.1 200")


def ends(connection):
    """Whether the server closed it, once all that it had sent is read."""
    try:
        while connection.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def log_of(process):
    """What it logged, once it has ended by SIGTERM; how long that took."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    return [json.loads(line) for line in said.splitlines()], time.monotonic() - started


def test_connections_that_never_ask_are_bounded_and_end(start, connect):
    process, address = start("--timeout", "1", before=FEW_FILES)
    connections = [connect(address) for _ in range(70)]
    for connection in connections:
        with contextlib.suppress(ConnectionError):  # those that are refused
            connection.sendall(b"G")
    deadline = time.monotonic() + 10
    while not answers(address):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert all(ends(connection) for connection in connections)
    log, _ = log_of(process)
    assert not any("traceback" in one for one in log)
    told = [one["refused"] for one in log if one["event"].startswith("connections are refused")]
    assert told == [1]  # once in ten seconds, though there were more


def test_a_connection_too_many_is_told_so(monkeypatch):
    with listen("127.0.0.1", 0) as listener:
        monkeypatch.setattr(listener, "_room", 0)
        with socket.create_connection(listener.getsockname()) as connection:
            with pytest.raises(BlockingIOError):
                listener.accept()
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert "as many connections as it may" in json.loads(body)["error"]


def test_an_accept_that_fails_is_raised_once_a_second():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        free = os.dup(0)
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(OSError, match="Too many open files") as caught:
                listener.accept()
            for _ in range(3):
                with pytest.raises(BlockingIOError):
                    listener.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.errno == errno.EMFILE
        listener.accept()[0].close()


def test_a_head_has_its_time_however_slowly_it_comes(start, connect):
    _, address = start("--timeout", "1")
    silent, first, second, body = (connect(address) for _ in range(4))
    idle = connect(address)
    ask(idle)
    ask(second)
    ask(body, more=b"Content-Length: 99\r\n")
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < begun + 1.6:
            for connection in (first, second, body):
                connection.sendall(b"G")
            time.sleep(0.1)
    assert all(ends(connection) for connection in (silent, first, second, body))
    assert time.monotonic() < begun + 5
    ask(idle)  # between requests a client may wait longer
