"""JSON answers: results as they are, refusals as {"error": one paragraph}."""

import json
from typing import Any

from starlette.responses import Response

from convforge.errors import ConvforgeError, RequestError


class Json(Response):
    """Plain JSON values; text that is no Unicode, a class's name say, is written as escapes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        # Lone surrogates, which only strings have: \udc80 is an escape of JSON's, too.
        return text.encode("utf-8", "backslashreplace")


def refusal(error: ConvforgeError) -> Json:
    """What is answered where something given cannot be used: 422, or the status that it carries."""
    if not isinstance(error, RequestError):
        return Json({"error": str(error)}, status_code=422)
    response = Json({"error": str(error)}, status_code=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        # The first lets people open the page: browsers ask for a password by themselves.
        response.headers.append("WWW-Authenticate", 'Basic realm="convforge"')
        response.headers.append("WWW-Authenticate", "Bearer")
    return response
