"""The routes of the server, as a FastAPI application; `/docs` shows them.

    POST /predict            pictures → classes        GET /          the page
    GET  /card               the model card            GET /metrics   for Prometheus
    GET  /healthz  /readyz   the process, the model    /v2/…          Open Inference Protocol
    /layers/…                inside the model          GET /docs      the routes, for people

Handlers return responses, not models: nothing is checked or converted on the way out.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from convforge.errors import InputError, RequestError
from convforge.serving import inside, metrics, protocol, schemas
from convforge.serving.docs_page import docs_page
from convforge.serving.front import front_page
from convforge.serving.gate import OPEN, Gate
from convforge.serving.inside import BINARY, IMAGES, refusals, service_of
from convforge.serving.responses import Json, refusal
from convforge.serving.service import Service
from convforge.serving.uploads import read_body, read_pictures
from convforge.version import __version__

_FORM = {
    "type": "object",
    "properties": {"file": {"type": "array", "items": BINARY, "minItems": 1}},
    "required": ["file"],
}
PICTURES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            **{kind: {"schema": BINARY} for kind in IMAGES},
        },
    }
}
_INFER = schemas.InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
del _INFER["$defs"]  # a tensor is what is answered, too, and so is in the document already
TENSOR = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _INFER}}},
}


router = APIRouter()
inference = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class _Documented(FastAPI):
    """With an OpenAPI document that is made when it is asked for, a tenth of a second's work."""

    def openapi(self) -> dict[str, Any]:
        """The document: the model's name, and how the key is sent where there is one."""
        if self.openapi_schema is None:
            document, service = super().openapi(), self.state.service
            _tell_name(document, service.name)
            if service.settings.api_key is not None:
                _tell_key(document)
        return super().openapi()


def create_app(service: Service) -> ASGIApp:
    """The application that serves a service; it neither opens nor closes it."""
    app = _Documented(
        title=f"convforge: {service.name}",
        version=__version__,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        description="A compiled image classifier: pictures in, named probabilities out.",
        responses=refusals(401),
    )
    app.state.service = service
    app.state.page = front_page(service)
    app.include_router(router)
    app.include_router(inside.router)
    app.include_router(inference)
    for kind in (InputError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _refuse)
    return Gate(app, service)


def _tell_name(document: dict[str, Any], name: str) -> None:
    """The one model's name is the only one that a path may have."""
    for path, operations in document["paths"].items():
        if "{name}" in path:
            for operation in operations.values():
                operation["parameters"][0]["schema"]["enum"] = [name]


def _tell_key(document: dict[str, Any]) -> None:
    """How the key is sent, and which routes need none."""
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"header": []}]
    for path in OPEN:
        for operation in document["paths"][path].values():
            operation["security"] = []


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page(request: Request) -> Response:
    """The page for people."""
    return HTMLResponse(request.app.state.page, headers={"Cache-Control": "no-store"})


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs(request: Request) -> Response:
    """The routes, for people; it loads nothing from anywhere."""
    return HTMLResponse(docs_page(request.app.openapi()))


@router.post(
    "/predict",
    response_model=schemas.Answer,
    responses=refusals(400, 408, 413, 415, 422, 503),
    openapi_extra=PICTURES,
)
async def predict(
    request: Request,
    top: Annotated[int, Query(ge=1, le=1_000_000, description="Classes of each picture.")] = 5,
) -> Response:
    """Name what is on pictures: one as the body, or files of a form.

    A picture that cannot be used refuses the request, by name.
    """
    service = service_of(request)
    settings = service.settings
    service.workers.check_room()  # before a body is read that could only be thrown away
    pictures = await read_pictures(
        request, max_files=settings.max_files, timeout_s=settings.timeout_s
    )
    return Json(await service.workers.run(lambda: service.predict(pictures, top=top)))


@router.get("/card", response_model=dict[str, Any])
async def card(request: Request) -> Response:
    """The model card: classes, preprocessing, metrics, recipe, data."""
    return Json(json.loads(service_of(request).card.dumps()))


@router.get("/healthz", response_model=schemas.State)
async def healthz() -> Response:
    """Whether the process answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=schemas.State, responses=refusals(503))
async def readyz(request: Request) -> Response:
    """Whether predictions are answered: the artifact passed its self-test, nothing shuts down."""
    if not service_of(request).ready:
        raise RequestError("the server is shutting down", status=503)
    return Json({"status": "ready"})


@router.get("/metrics", response_class=Response)
async def show_metrics(request: Request) -> Response:
    """Counts and times, in Prometheus' text format."""
    return Response(service_of(request).metrics.text(), media_type=metrics.CONTENT_TYPE)


@inference.get("", response_model=schemas.Server)
async def server_metadata() -> Response:
    """The server."""
    return Json(protocol.server_metadata())


@inference.get("/health/live", response_model=schemas.Live)
async def live() -> Response:
    """Whether the process answers."""
    return Json({"live": True})


@inference.get("/health/ready", response_model=schemas.Ready)
async def ready(request: Request) -> Response:
    """Whether inference is possible."""
    state = service_of(request).ready
    return Json({"ready": state}, status_code=200 if state else 503)


@inference.get("/models/{name}", response_model=schemas.Model, responses=refusals(404))
async def model_metadata(request: Request, name: str) -> Response:
    """The model's tensors."""
    return Json(protocol.model_metadata(_named(request, name)))


@inference.get("/models/{name}/ready", response_model=schemas.Ready, responses=refusals(404))
async def model_ready(request: Request, name: str) -> Response:
    """Whether the model can be asked."""
    state = _named(request, name).ready
    return Json({"ready": state}, status_code=200 if state else 503)


@inference.post(
    "/models/{name}/infer",
    response_model=schemas.InferAnswer,
    responses=refusals(400, 404, 408, 413, 415, 503),
    openapi_extra=TENSOR,
)
async def infer(request: Request, name: str) -> Response:
    """The logits of one FP32 tensor of preprocessed pictures."""
    service = _named(request, name)
    service.workers.check_room()
    if "inference-header-content-length" in request.headers:
        raise RequestError("infer: binary data is not taken; send JSON", status=415)
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise RequestError(f"infer: the body is of type {kind!r}; expected JSON", status=415)
    body = await read_body(request, timeout_s=service.settings.timeout_s)
    return Json(await service.workers.run(lambda: protocol.infer(service, body)))


def _named(request: Request, name: str) -> Service:
    service = service_of(request)
    if name != service.name:
        raise RequestError(
            f"there is no model {name!r} here; {service.name!r} is served", status=404
        )
    return service


async def _refuse(request: Request, error: Exception) -> Response:
    """Whatever goes wrong as JSON; the gate logs what is a defect."""
    if isinstance(error, InputError):
        return refusal(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        words = first["msg"].removeprefix("Value error, ")  # pydantic's
        return refusal(RequestError(f"{place}: {words}", status=422))
    if isinstance(error, HTTPException):
        message = f"{request.method} {request.url.path}: {error.detail}; /docs has what there is"
        return Json({"error": message}, status_code=error.status_code, headers=error.headers)
    if isinstance(error, ClientDisconnect):
        return Json({"error": "the client went away"}, status_code=499)
    return Json({"error": "a defect in the server; its log has more"}, status_code=500)
