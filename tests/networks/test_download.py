"""Downloads, from a server on this machine: resumed, checked, kept, refused."""

import hashlib
import http.server
import socket
import threading

import pytest

from convforge.errors import OutputError, WeightsError
from convforge.files import cache_folder
from convforge.networks.download import fetch

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under every path; what it does and did is in its fields."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cut_after = None  # bytes of the next answer's body
        self.knows_ranges = True
        self.status = None
        self.redirects_from = None  # a folder that answers with the same file in /models/
        self.ranges = []  # the Range header of every request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/models/net-{SHA256[:8]}.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if server.redirects_from and self.path.startswith(server.redirects_from):
            self.send_response(302)
            self.send_header("Location", self.path.replace(server.redirects_from, "/models/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.status is not None:
            self.send_error(server.status)
            return
        start = int(wanted[6:-1]) if wanted and server.knows_ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if wanted and server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, server.cut_after = server.cut_after, None
        self.wfile.write(body[:cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once_into_the_cache(server):
    path = fetch(server.url, sha256=SHA256[:8])
    assert path == cache_folder() / f"net-{SHA256[:8]}.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(server.url, sha256=SHA256[:8]) == path
    assert server.ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_two_files_of_one_name_are_two_in_the_cache(server):
    url = server.url.replace(f"net-{SHA256[:8]}.pth", "revision/model.safetensors")
    first = fetch(url, sha256=SHA256)
    assert first == cache_folder() / f"model-{SHA256[:8]}.safetensors"
    server.content = CONTENT[:-1]
    other = hashlib.sha256(server.content).hexdigest()
    second = fetch(url, sha256=other)
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, CONTENT[:-1])


def test_a_redirect_is_followed_and_resumed(server):
    server.redirects_from = "/resolve/"
    server.cut_after = 300_000
    url = server.url.replace("/models/", "/resolve/")
    with pytest.raises(WeightsError, match="stopped after 300000 bytes"):
        fetch(url, sha256=SHA256)
    assert fetch(url, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_progress_counts_bytes_up_to_all_of_them(server):
    calls = []
    fetch(server.url, sha256=SHA256, progress=lambda *call: calls.append(call))
    assert calls[-1] == (len(CONTENT), len(CONTENT), f"fetching net-{SHA256[:8]}.pth")
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    assert {total for _, total, _ in calls} == {len(CONTENT)}


def test_a_cut_download_keeps_what_came_and_goes_on_from_there(server):
    server.cut_after = 300_000
    with pytest.raises(WeightsError, match=r"stopped after 300000 bytes .*call again to go on"):
        fetch(server.url, sha256=SHA256)
    part = cache_folder() / f"net-{SHA256[:8]}.pth.part"
    assert part.read_bytes() == CONTENT[:300_000]
    calls = []
    path = fetch(server.url, sha256=SHA256, progress=lambda *call: calls.append(call))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    assert calls[0][0] > 300_000
    assert {total for _, total, _ in calls} == {len(CONTENT)}
    assert not part.exists()


def test_a_server_without_ranges_is_asked_for_all_again(server):
    server.cut_after = 300_000
    with pytest.raises(WeightsError):
        fetch(server.url, sha256=SHA256)
    server.knows_ranges = False
    assert fetch(server.url, sha256=SHA256).read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_used(server):
    cache_folder().mkdir(parents=True)
    (cache_folder() / f"net-{SHA256[:8]}.pth.part").write_bytes(CONTENT)
    assert fetch(server.url, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_file_with_another_checksum_is_refused_and_not_kept(server):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsError, match=rf"expected a file whose SHA-256 begins with {SHA256}"):
        fetch(server.url, sha256=SHA256)
    path = cache_folder() / f"net-{SHA256[:8]}.pth"
    assert not path.exists()
    assert path.with_name(f"{path.name}.part").read_bytes() == b""
    server.content = CONTENT
    assert fetch(server.url, sha256=SHA256).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_refused(server):
    path = fetch(server.url, sha256=SHA256)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"delete it, and it is fetched again"):
        fetch(server.url, sha256=SHA256)


def test_an_answer_that_is_an_error_is_reported(server):
    server.status = 404
    with pytest.raises(WeightsError, match=r"the server answers 404 Not Found; fetch the file"):
        fetch(server.url, sha256=SHA256)


def test_no_server_is_reported(server):
    with socket.socket() as bound:  # a port of our own that nothing listens at
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/net-00000000.pth"
        with pytest.raises(WeightsError, match=r"stopped after 0 bytes .*refused"):
            fetch(url, sha256=SHA256)


def test_a_cache_that_cannot_be_written_is_reported(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot be written .*set XDG_CACHE_HOME"):
        fetch(server.url, sha256=SHA256)


def test_two_that_want_the_same_file_fetch_it_once(server):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(server.url, sha256=SHA256)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert paths[0].read_bytes() == CONTENT
    assert server.ranges == [None]


def test_proxies_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)  # the server answers for any host
    monkeypatch.setenv("no_proxy", "")
    path = fetch("http://nowhere.invalid/net-00000000.pth", sha256=SHA256)
    assert path.read_bytes() == CONTENT
