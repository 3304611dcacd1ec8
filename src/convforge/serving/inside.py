"""Routes that look inside the model: its layers, their maps for a picture, their times.

GET  /layers                what each layer does, in the order in which they are computed
GET  /layers/times          milliseconds of each, on the server
POST /layers/{layer}/maps   picture → maps, as a NumPy file; layer -1 is what the network is given
POST /evidence              picture → Grad-CAM of a class, as a NumPy file
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from convforge.errors import RequestError
from convforge.serving import schemas
from convforge.serving.responses import Json
from convforge.serving.service import Picture, Service
from convforge.serving.uploads import RAW, read_pictures

IMAGES = ("image/jpeg", "image/png", "image/webp", RAW)
BINARY = {"type": "string", "format": "binary"}
MOST_CHANNELS = 4096


def numbers_of_a_picture(shape: str) -> dict[str, Any]:
    """How a route is documented that gives a NumPy file for a picture."""
    return {
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": BINARY} for kind in IMAGES},
        },
        "responses": {
            "200": {
                "description": f"float32 {shape}, as numpy.load reads it.",
                "content": {RAW: {"schema": BINARY}},
            }
        },
    }


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """How refusals with these statuses are documented."""
    return {code: {"model": schemas.Error} for code in codes}


def service_of(request: Request) -> Service:
    """What the request is to be answered by."""
    service: Service = request.app.state.service
    return service


router = APIRouter(tags=["Inside"])


@router.get("/layers", response_model=list[dict[str, Any]])
async def layers(request: Request) -> Response:
    """What each layer does: shapes, windows, parameters, multiply-adds, receptive field."""
    service = service_of(request)
    return Json([asdict(layer) for layer in service.runtime.layers])


@router.get("/layers/times", response_model=schemas.Times, responses=refusals(503))
async def times(request: Request) -> Response:
    """Milliseconds that each layer takes on the server, alone with one picture."""
    service = service_of(request)
    return Json(await service.workers.run(service.times))


@router.post(
    "/layers/{layer}/maps",
    response_class=Response,
    responses=refusals(400, 404, 408, 413, 415, 422, 503),
    openapi_extra=numbers_of_a_picture("[N, C, H, W] or [N, F]"),
)
async def maps(
    request: Request,
    layer: Annotated[int, Path(description="From 0; -1 is what the network is given.")],
    channels: Annotated[
        int, Query(ge=1, le=MOST_CHANNELS, description="At most so many, the first ones.")
    ] = 64,
) -> Response:
    """The maps that a layer gives for one picture."""
    service = service_of(request)
    count = len(service.runtime.layers)
    if not -1 <= layer < count:
        raise RequestError(f"there is no layer {layer}; they are -1 to {count - 1}", status=404)
    return await _of_picture(
        request, lambda picture: service.maps(picture, layer=layer, channels=channels)
    )


@router.post(
    "/evidence",
    response_class=Response,
    responses=refusals(400, 404, 408, 413, 415, 422, 503),
    openapi_extra=numbers_of_a_picture("[rows, columns] of the part of the picture that is seen"),
)
async def evidence(
    request: Request,
    index: Annotated[int, Query(description="The place of a class among the classes.")],
) -> Response:
    """Where the evidence for a class lies, by Grad-CAM: what speaks for it is above 0."""
    service = service_of(request)
    runtime, count = service.runtime, len(service.runtime.classes)
    if not runtime.grad_cam_shape:
        raise RequestError("this classifier has no Grad-CAM", status=404)
    if not 0 <= index < count:
        raise RequestError(f"there is no class {index}; they are 0 to {count - 1}", status=404)
    return await _of_picture(request, lambda picture: service.evidence(picture, index=index))


async def _of_picture(request: Request, compute: Callable[[Picture], bytes]) -> Response:
    """The NumPy file that a worker makes of the request's one picture."""
    service = service_of(request)
    service.workers.check_room()
    pictures = await read_pictures(request, max_files=1, timeout_s=service.settings.timeout_s)
    return Response(await service.workers.run(lambda: compute(pictures[0])), media_type=RAW)
