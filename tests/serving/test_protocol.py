import json

import numpy as np
import pytest

from convforge.errors import RequestError
from convforge.serving.protocol import infer, model_metadata, server_metadata
from convforge.version import __version__


def request(**changes):
    tensor = {"name": "input", "shape": [1, 1, 32, 32], "datatype": "FP32", "data": [0.5] * 1024}
    return {"inputs": [tensor | changes]}


def ask(service, body):
    return infer(service, json.dumps(body).encode())


@pytest.mark.parametrize("nested", [False, True])
def test_a_tensor_gets_the_runtimes_logits(service, nested):
    x = np.random.default_rng(0).standard_normal((3, 1, 32, 32), np.float32)
    data = x.tolist() if nested else x.ravel().tolist()
    body = request(shape=[3, 1, 32, 32], data=data) | {"id": "7", "outputs": [{"name": "logits"}]}
    answer = ask(service, body)
    (tensor,) = answer.pop("outputs")
    assert answer == {"model_name": "digits", "id": "7"}
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("logits", "FP32", [3, 10])
    found = np.float32(tensor["data"]).reshape(3, 10)
    np.testing.assert_array_equal(found, service.runtime.logits(x))


def test_an_id_that_is_null_is_none(service):
    assert "id" not in ask(service, request() | {"id": None})


def test_metadata_name_the_tensors(service):
    assert server_metadata() == {"name": "convforge", "version": __version__, "extensions": []}
    found = model_metadata(service)
    assert found["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 32, 32]}]
    assert found["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "an object with `inputs`"),
        ({}, "an object with `inputs`"),
        ({"inputs": []}, "has 0 tensors"),
        ({"inputs": [3]}, "expected one"),
        (request() | {"id": 3}, "`id` is no text"),
        (request() | {"parameters": {"a": 1}}, "parameters"),
        (request() | {"priority": 1}, "'priority', which is not understood"),
        (request() | {"outputs": [{"name": "x"}]}, "this model has one, 'logits'"),
        (request() | {"outputs": 3}, "`outputs` is no list of objects"),
        (request() | {"outputs": ["logits"]}, "`outputs` is no list of objects"),
        (request() | {"outputs": []}, r"asks for \[\]; this model has one"),
        (
            request() | {"outputs": [{"name": "logits", "parameters": {"binary_data": True}}]},
            "the output has parameters, and none are understood",
        ),
        (request() | {"outputs": [{"name": "logits", "shape": [1]}]}, "the output has 'shape'"),
        (request(name="x"), "named 'x'; expected 'input'"),
        (request(datatype="UINT8"), "datatype is 'UINT8'; expected FP32"),
        (request(parameters={"binary_data_size": 4096}), "parameters"),
        (request(shape=[1, 3, 32, 32]), r"shape is \[1, 3, 32, 32\]; expected \[N, 1, 32, 32\]"),
        (request(shape=[0, 1, 32, 32]), "shape is"),
        (request(shape=[True, 1, 32, 32]), "shape is"),
        (request(shape="x"), "shape is"),
        (request(shape=[10**12, 1, 32, 32]), "expected 1024000000000000 numbers"),
        (request(data=None), "`data` is no list; expected 1024 numbers"),
        (request(data=[1.0]), r"has the shape \[1\]; expected 1024 numbers"),
        (request(data=["1.0"] * 1024), "something else than numbers"),
        (request(data=[None] * 1024), "something else than numbers"),
        (request(data=[True] * 1024), "something else than numbers"),
        (request(data=[10**400] * 1024), "something else than numbers"),
        (request(data=[[1.0], [1.0, 2.0]]), "lists of several lengths"),
        (request(data=[1e300] * 1024), "not finite in FP32"),
        (request(data=[float("nan")] * 1024), "not finite in FP32"),
        (request(data=[3e38] * 1024), "logits of this input are no finite numbers"),
    ],
)
def test_whatever_it_does_not_take_is_refused(service, body, words):
    with pytest.raises(RequestError, match=words) as caught:
        ask(service, body)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused(service, body):
    with pytest.raises(RequestError) as caught:
        infer(service, body)
    assert caught.value.status == 400
