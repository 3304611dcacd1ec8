import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convforge.images.picture import decode


def maps_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


def test_layers_are_told_as_the_artifact_tells_them(client, service):
    found = client.get("/layers").json()
    layers = service.runtime.layers
    assert [one["name"] for one in found] == [layer.name for layer in layers]
    assert [tuple(one["gives"]) for one in found] == [layer.gives for layer in layers]
    assert found[0]["does"][0]["kernel"] == [5, 5]


def test_every_layer_has_its_time(client, service):
    spent = client.get("/layers/times").json()["ms"]
    assert len(spent) == len(service.runtime.layers)
    assert min(spent) >= 0
    assert sum(spent) > 0


def test_maps_are_the_artifacts(client, service, scans):
    runtime = service.runtime
    x = runtime.input_of(decode(scans[0]))
    content = scans[0].read_bytes()
    for layer in range(-1, len(runtime.layers)):
        found = maps_of(client.post(f"/layers/{layer}/maps", content=content))
        expected = x if layer < 0 else runtime.feature_maps(x, layer)
        np.testing.assert_array_equal(found, expected[:, :64])
    form = client.post("/layers/0/maps", files={"file": ("a.png", content)})
    np.testing.assert_array_equal(maps_of(form), runtime.feature_maps(x, 0))


def test_only_the_maps_that_are_asked_for_are_sent(client, scans):
    content = scans[0].read_bytes()
    some = maps_of(client.post("/layers/0/maps?channels=2", content=content))
    every = maps_of(client.post("/layers/0/maps?channels=4096", content=content))
    np.testing.assert_array_equal(some, every[:, :2])
    assert client.post("/layers/0/maps?channels=0", content=content).status_code == 422


@pytest.mark.parametrize("layer", ["-2", "99", "1" * 30])
def test_a_layer_that_is_not_there_is_refused(client, png, layer):
    answer = client.post(f"/layers/{layer}/maps", content=png())
    assert answer.status_code == 404
    assert f"there is no layer {layer}; they are -1 to " in answer.json()["error"]


def test_evidence_is_the_artifacts_grad_cam(client, service, scans):
    x = service.runtime.input_of(decode(scans[0]))
    content = scans[0].read_bytes()
    for index in (0, 9):
        found = maps_of(client.post(f"/evidence?index={index}", content=content))
        np.testing.assert_array_equal(found, service.runtime.grad_cam(x, index))


@pytest.mark.parametrize("index", ["-1", "10"])
def test_a_class_that_is_not_there_is_refused(client, scans, index):
    answer = client.post(f"/evidence?index={index}", content=scans[0].read_bytes())
    assert answer.status_code == 404
    assert answer.json()["error"] == f"there is no class {index}; they are 0 to 9"


def test_what_has_no_grad_cam_says_so(make_client, make_service, scans):
    with make_service(workers=1) as service:
        service.runtime.grad_cam_shape = ()
        answer = make_client(service).post("/evidence?index=0", content=scans[0].read_bytes())
    assert answer.status_code == 404
    assert answer.json()["error"] == "this classifier has no Grad-CAM"


def test_what_cannot_be_used_is_refused_with_the_reason(client, png):
    cases = {
        b"": (400, "empty"),
        b"milk": (422, "is not an image"),
        png(30, 30)[:100]: (422, "damaged or cut short"),
        png(40_000, 1): (422, "over the limit"),
    }
    for content, (status, words) in cases.items():
        answer = client.post("/layers/0/maps", content=content)
        assert answer.status_code == status
        assert words in answer.json()["error"]
    file = io.BytesIO()
    Image.new("RGB", (3, 3)).save(file, "PNG")
    two = [("file", ("a.png", file.getvalue())), ("file", ("b.png", file.getvalue()))]
    assert client.post("/layers/0/maps", files=two).status_code == 400


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_pictures_never_break_the_server(client, png, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
    content = bytearray(png(16, 16, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    layer = data.draw(st.integers(-3, 20))
    assert client.post(f"/layers/{layer}/maps", content=content).status_code in {200, 400, 404, 422}
