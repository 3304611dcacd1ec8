"""The routes, asked without a socket; tests/serving/test_schemas.py asks them what nobody would."""

import io
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convforge.version import __version__


def predictions(runtime, path, *, top):
    return [vars(one) for one in runtime.predict(path, top=top)]


def test_a_raw_picture_gets_the_runtimes_predictions(client, service, scans):
    answer = client.post(
        "/predict?top=3", content=scans[0].read_bytes(), headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 200
    found = answer.json()
    assert found["model"] == "digits"
    (image,) = found["images"]
    assert image["predictions"] == predictions(service.runtime, scans[0], top=3)
    assert image["ms"] > 0


def test_files_of_a_form_are_answered_in_order_and_by_name(client, service, scans):
    names = [*(path.name for path in scans[:3]), "고양이 🐈.png"]
    files = [("file", (name, path.read_bytes())) for name, path in zip(names, scans, strict=True)]
    found = client.post("/predict", files=files).json()["images"]
    assert [image["image"] for image in found] == names
    for image, path in zip(found, scans, strict=True):
        assert image["predictions"] == predictions(service.runtime, path, top=5)


def test_more_classes_than_there_are_are_all(client, png):
    found = client.post("/predict?top=1000", content=png()).json()
    assert len(found["images"][0]["predictions"]) == 10


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "1" * 40])
def test_a_number_of_classes_that_is_none_is_refused(client, png, top):
    answer = client.post(f"/predict?top={top}", content=png())
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("top: ")


def bomb(side):
    """A PNG whose header says `side` squared pixels."""
    header = side.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = [
        len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bad_pictures(png):
    whole = png(40, 40)
    return {
        "truncated.png": (whole[: len(whole) // 2], "damaged or cut short"),
        "bomb.png": (bomb(20_000), "20000x20000 pixels|exceeds limit"),
        "large.png": (bomb(9000), "9000x9000 pixels, over the limit of 50,000,000"),
        "notes.txt": (b"buy milk", "is not an image"),
        "page.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
        "empty.png": (b"", "is empty"),
        "strip.png": (png(40_000, 1), "40000x1 pixels, over the limit"),
    }


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_pictures_are_refused_by_name_with_the_reason(client, png):
    for name, (content, words) in bad_pictures(png).items():
        answer = client.post("/predict", files={"file": (name, content)})
        assert answer.status_code == 422, name
        said = answer.json()["error"]
        assert said.startswith(f"{name}: ")
        assert any(word in said for word in words.split("|")), said


def test_one_bad_picture_refuses_the_request(client, png):
    files = [("file", ("good.png", png())), ("file", ("사진.png", b"x"))]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 422
    assert "1 of 2 images cannot be used:\n  사진.png: is not an image" in answer.json()["error"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_pictures_never_break_the_server(client, png, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]))
    content = bytearray(png(16, 16, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    answer = client.post("/predict", content=bytes(content), headers={"Content-Type": "image/png"})
    assert answer.status_code in {200, 400, 422}
    assert answer.status_code == 200 or answer.json()["error"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_forms_never_break_the_server(client, png, data):
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    body = bytearray(head + b"Content-Type: image/png\r\n\r\n" + png() + b"\r\n--x--\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(head) + 30))] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.integers(len(head), len(body)))]
    answer = client.post(
        "/predict",
        content=bytes(body),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code in {200, 400, 422}
    assert answer.status_code == 200 or answer.json()["error"]


class Slow:
    """A service's work, held until it is let go."""

    def __init__(self, service, monkeypatch):
        self.go = threading.Event()
        real = service.predict

        def predict(pictures, *, top):
            assert self.go.wait(10)
            return real(pictures, top=top)

        monkeypatch.setattr(service, "predict", predict)


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_full_queue_refuses_with_a_time_to_come_again(
    make_service, make_client, monkeypatch, png
):
    with make_service(workers=1, queue=2) as service, ThreadPoolExecutor(3) as pool:
        slow = Slow(service, monkeypatch)
        with make_client(service) as client:
            accepted = [pool.submit(client.post, "/predict", content=png()) for _ in range(3)]
            until(lambda: service.workers.full)
            refused = client.post("/predict", content=png())
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) >= 1
            assert "2 wait" in refused.json()["error"]
            # The state of health is told all the same.
            assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
            assert "convforge_queue_waiting 2.0" in client.get("/metrics").text
            slow.go.set()
            assert [one.result().status_code for one in accepted] == [200] * 3
            assert client.post("/predict", content=png()).status_code == 200


def test_what_waits_too_long_is_refused(make_service, make_client, monkeypatch, png):
    with make_service(workers=1, queue=2, timeout_s=0.1) as service, ThreadPoolExecutor(1) as pool:
        slow = Slow(service, monkeypatch)
        with make_client(service) as client:
            first = pool.submit(client.post, "/predict", content=png())
            until(lambda: service.workers.busy)
            answer = client.post("/predict", content=png())
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert "waited 0.1 s" in answer.json()["error"]
            slow.go.set()
            assert first.result().status_code == 200


def test_a_service_that_was_left_is_not_ready(make_service, make_client, png):
    with make_service() as service:
        client = make_client(service)
        assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/readyz").status_code == 503
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/models/digits/ready").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.post("/predict", content=png()).status_code == 503


def test_the_card_is_the_artifacts(client, service):
    found = client.get("/card").json()
    assert found["classes"] == list(service.card.classes)
    assert found["preprocess"] == service.card.preprocess.to_json()


def test_the_page_is_at_the_root_and_the_docs_name_the_routes(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>digits</title>" in page.text
    assert "/v2/models/{name}/infer" in client.get("/docs").text
    assert client.get("/redoc").status_code == 404
    schema = client.get("/openapi.json").json()
    assert {"/predict", "/card", "/healthz", "/v2/models/{name}/infer"} <= schema["paths"].keys()


def test_metrics_count_what_was_answered(client, png):
    def images():
        (line,) = (
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("convforge_images_total ")
        )
        return float(line.split()[1])

    before = images()
    client.post("/predict", files=[("file", ("a.png", png())), ("file", ("b.png", png()))])
    assert images() == before + 2
    assert 'route="/v2/models/{name}"' in (
        client.get("/v2/models/digits") and client.get("/metrics").text
    )


def test_the_open_inference_protocol_is_spoken(client, service):
    assert client.get("/v2").json()["version"] == __version__
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/digits").json()["inputs"][0]["shape"] == [-1, 1, 32, 32]
    assert client.get("/v2/models/digits/ready").json() == {"ready": True}
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32), np.float32)
    tensor = {"name": "input", "shape": [2, 1, 32, 32], "datatype": "FP32", "data": x.tolist()}
    answer = client.post("/v2/models/digits/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200
    found = np.float32(answer.json()["outputs"][0]["data"]).reshape(2, 10)
    np.testing.assert_array_equal(found, service.runtime.logits(x))


@pytest.mark.parametrize(
    ("path", "options", "status", "words"),
    [
        ("cats/infer", {"json": {}}, 404, "no model 'cats' here; 'digits' is served"),
        ("digits/infer", {"json": {}}, 400, "an object with `inputs`"),
        ("digits/infer", {"content": b"{"}, 400, "no JSON"),
        ("digits/infer", {"content": b"x", "headers": {"Content-Type": "a/b"}}, 415, "a/b"),
        (
            "digits/infer",
            {"content": b"x", "headers": {"Inference-Header-Content-Length": "9"}},
            415,
            "binary data",
        ),
        ("digits/versions/1/infer", {"json": {}}, 404, "Not Found"),
    ],
)
def test_other_inference_is_refused(client, path, options, status, words):
    answer = client.post(f"/v2/models/{path}", **options)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_unknown_paths_and_methods_are_refused_as_json(client):
    assert client.get("/nothing").json()["error"] == (
        "GET /nothing: Not Found; /docs has what there is"
    )
    answer = client.get("/predict")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_a_picture_of_every_kind_is_read(client):
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        file = io.BytesIO()
        Image.new("RGB", (9, 7), "red").save(file, kind)
        assert client.post("/predict", content=file.getvalue()).status_code == 200, kind
