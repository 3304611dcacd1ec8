"""What the routes answer, as the OpenAPI document says it; answers are not made from these."""

from typing import Any

from pydantic import BaseModel


class Error(BaseModel):
    """Why a request was refused, in one paragraph."""

    error: str


class Guess(BaseModel):
    """One class with its probability (0…1); `index` is its place among the classes."""

    label: str
    index: int
    probability: float


class Image(BaseModel):
    """One picture: most probable classes first, milliseconds to decode and classify it."""

    image: str
    predictions: list[Guess]
    ms: float


class Answer(BaseModel):
    """Pictures in the order in which they were sent."""

    model: str
    images: list[Image]
    ms: float


class State(BaseModel):
    """How the server is."""

    status: str


class Times(BaseModel):
    """Milliseconds of each layer, in the order in which they are computed."""

    ms: list[float]


class Live(BaseModel):
    """Open Inference Protocol: the server's process is up."""

    live: bool


class Ready(BaseModel):
    """Open Inference Protocol: inference is possible."""

    ready: bool


class Server(BaseModel):
    """Open Inference Protocol: the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """Open Inference Protocol: a tensor; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class Model(BaseModel):
    """Open Inference Protocol: a model."""

    name: str
    platform: str
    versions: list[str]
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Tensor(TensorMetadata):
    """Open Inference Protocol: a tensor with its numbers, in row-major order."""

    data: list[Any]


class InferRequest(BaseModel):
    """Open Inference Protocol: one FP32 tensor."""

    id: str | None = None
    inputs: list[Tensor]


class InferAnswer(BaseModel):
    """Open Inference Protocol: the logits."""

    model_name: str
    id: str | None = None
    outputs: list[Tensor]
