"""A server in a process of its own, asked over a socket."""

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from convforge.errors import InputError
from convforge.serving.server import address_of, listen

# Predictions that take a while, so that some are on their way when the end comes.
SLOW = """
import time
from convforge.serving.service import Service
real = Service.predict
def predict(self, pictures, *, top):
    time.sleep(0.3)
    return real(self, pictures, top=top)
Service.predict = predict
"""


def ask(url, body=None, *, headers=None):
    """(status, JSON)."""
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def end(process, number=signal.SIGTERM):
    """(exit code, log records) after a signal."""
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    return process.returncode, [json.loads(line) for line in said.splitlines()]


PNG = {"Content-Type": "image/png"}


def test_accepted_requests_are_answered_before_the_end(start, scans):
    process, address = start("--workers", "1", "--queue", "3", before=SLOW)
    body = scans[0].read_bytes()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask, f"{address}/predict", body, headers=PNG) for _ in range(4)]
        deadline = time.monotonic() + 10
        while "convforge_queue_waiting 3.0" not in metrics(address):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        code, log = end(process)
        answers = [job.result() for job in jobs]
    assert [status for status, _ in answers] == [200] * 4
    assert len({json.dumps(found["images"][0]["predictions"]) for _, found in answers}) == 1
    assert code == 0
    assert log[-1]["event"] == "ended"
    assert sum(one.get("path") == "/predict" for one in log) == 4


def metrics(address):
    with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
        return answer.read().decode()


def test_head_is_answered_like_get_without_the_body(start):
    process, url = start()
    for path in ("/", "/healthz", "/docs"):
        request = urllib.request.Request(url + path, method="HEAD")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert (answer.status, answer.read()) == (200, b"")
            assert int(answer.headers["Content-Length"]) > 0
    end(process)


def test_a_client_that_goes_away_or_sends_nonsense_does_no_harm(start, scans):
    process, address = start("--workers", "1")
    host, port = address.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    for sent in (b"\0\xff\r\n\r\n", head + b"Content-Length: 900\r\n\r\nabc", head):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent)
    status, _ = ask(f"{address}/predict", scans[0].read_bytes(), headers=PNG)
    assert status == 200
    code, log = end(process)
    assert code == 0
    assert not any("traceback" in one for one in log), log


def test_control_c_exits_with_130_and_answers_what_it_accepted(start, scans):
    process, address = start()
    assert ask(f"{address}/predict", scans[0].read_bytes(), headers=PNG)[0] == 200
    code, log = end(process, signal.SIGINT)
    assert code == 130
    assert not any("traceback" in one for one in log), log


def test_a_socket_has_an_address():
    with listen("127.0.0.1", 0) as listener:
        host, port = listener.getsockname()
        assert address_of(listener) == f"http://{host}:{port}"
        with socket.create_connection((host, port)):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(InputError, match=rf"127.0.0.1:{port}: cannot listen there \(Address"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0)])
def test_an_address_that_is_not_this_machines_is_refused(host, port):
    with pytest.raises(InputError, match="cannot listen there"):
        listen(host, port)
