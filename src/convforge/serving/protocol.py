"""The Open Inference Protocol, version 2, over HTTP with JSON: one FP32 tensor in, the logits out.

https://github.com/open-inference/open-inference-protocol. The tensor is what the preprocessing
gives, [N, C, H, W]; `POST /predict` takes pictures. Optional parts (versions of a model, other
datatypes, binary data, parameters) are refused, not passed over.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import RequestError
from convforge.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.serving.service import Service

INPUT, OUTPUT = "input", "logits"
_TENSOR = {"name", "shape", "datatype", "data", "parameters"}
_OUTPUT = {"name", "parameters"}
_REQUEST = {"id", "inputs", "outputs", "parameters"}


def server_metadata() -> dict[str, Any]:
    """What `GET /v2` answers."""
    return {"name": "convforge", "version": __version__, "extensions": []}


def model_metadata(service: Service) -> dict[str, Any]:
    """What `GET /v2/models/{name}` answers; -1 is any number of images."""
    runtime = service.runtime
    return {
        "name": service.name,
        "platform": "convforge",
        "versions": [],
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *runtime.input_shape[1:]]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, *runtime.output_shape[1:]]}],
    }


def infer(service: Service, body: bytes) -> dict[str, Any]:
    """What `POST /v2/models/{name}/infer` answers; computed in this thread.

    Raises RequestError 400 for whatever the protocol or this model does not take.
    """
    request = _parse(body)
    tensor = _tensor(request, shape=service.runtime.input_shape[1:])
    with np.errstate(all="ignore"):
        logits = service.runtime.logits(tensor)
    if not np.isfinite(logits).all():
        raise _refusal("the logits of this input are no finite numbers; send smaller values")
    answer = {
        "model_name": service.name,
        "outputs": [
            {
                "name": OUTPUT,
                "datatype": "FP32",
                "shape": list(logits.shape),
                "data": logits.ravel().tolist(),
            }
        ],
    }
    return answer | ({} if request.get("id") is None else {"id": request["id"]})


def _parse(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"the body is no JSON ({error}); expected an object with `inputs`") from None
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        raise _refusal("expected an object with `inputs`, a list of one tensor")
    _check_names(request, _REQUEST, place="the request")
    if not isinstance(request.get("id"), str | None):
        raise _refusal("`id` is no text")
    _check_outputs(request.get("outputs"))
    return request


def _check_outputs(outputs: object) -> None:
    if outputs is None:
        return
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise _refusal("`outputs` is no list of objects; leave it out: this model has one output")
    names = [one.get("name") for one in outputs]
    if names != [OUTPUT]:
        raise _refusal(f"`outputs` asks for {names}; this model has one, {OUTPUT!r}")
    _check_names(outputs[0], _OUTPUT, place="the output")


def _tensor(request: dict[str, Any], *, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The input, float32 [N, *shape]."""
    inputs = request["inputs"]
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _refusal(f"`inputs` has {len(inputs)} tensors; expected one, {INPUT!r}")
    tensor = inputs[0]
    _check_names(tensor, _TENSOR, place="the input")
    if tensor.get("name") != INPUT:
        raise _refusal(f"the input is named {tensor.get('name')!r}; expected {INPUT!r}")
    if tensor.get("datatype") != "FP32":
        raise _refusal(
            f"the input's datatype is {tensor.get('datatype')!r}; expected FP32, preprocessed "
            "pixels: POST /predict takes pictures"
        )
    given = tensor.get("shape")
    if not (
        isinstance(given, list)
        and all(type(length) is int for length in given)
        and given[1:] == list(shape)
        and given[0] > 0
    ):
        raise _refusal(f"the input's shape is {given}; expected [N, {str(list(shape))[1:]}")
    return _numbers(tensor.get("data"), shape=tuple(given))


def _numbers(data: object, *, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Flat or nested lists as float32 of the shape."""
    expected = f"expected {math.prod(shape)} numbers, flat or nested as {list(shape)}"
    if not isinstance(data, list):
        raise _refusal(f"`data` is no list; {expected}")
    try:
        found = np.array(data)
    except (ValueError, OverflowError, RecursionError):
        raise _refusal(f"`data` has lists of several lengths; {expected}") from None
    if found.dtype.kind not in "fiu":
        raise _refusal(f"`data` has something else than numbers; {expected}")
    if found.shape not in {shape, (math.prod(shape),)}:
        raise _refusal(f"`data` has the shape {list(found.shape)}; {expected}")
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32).reshape(shape)
    if not np.isfinite(numbers).all():
        raise _refusal("`data` has numbers that are not finite in FP32")
    return numbers


def _check_names(fields: dict[str, Any], known: set[str], *, place: str) -> None:
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise _refusal(f"{place} has {', '.join(map(repr, unknown))}, which is not understood")
    if fields.get("parameters"):
        raise _refusal(f"{place} has parameters, and none are understood; leave them out")


def _refusal(message: str) -> RequestError:
    return RequestError(f"infer: {message}", status=400)
