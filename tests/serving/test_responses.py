import json

from convforge.errors import DataError, RequestError
from convforge.serving.responses import Json, refusal


def test_text_that_is_no_unicode_is_still_json():
    body = Json({"label": "고양이 \udcff"}).body
    assert json.loads(body) == {"label": "고양이 \udcff"}
    assert "고양이".encode() in body


def test_a_refusal_has_its_status_and_says_when_to_come_again():
    busy = refusal(RequestError("busy", status=503, retry_after=2))
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert json.loads(busy.body) == {"error": "busy"}
    assert "retry-after" not in refusal(RequestError("no", status=404)).headers
    assert refusal(DataError("cat.png: is empty")).status_code == 422
    assert "Basic" in refusal(RequestError("key", status=401)).headers["www-authenticate"]
