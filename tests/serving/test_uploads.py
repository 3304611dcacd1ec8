import asyncio

import pytest
from starlette.requests import Request

from convforge.errors import RequestError
from convforge.serving.uploads import read_body, read_pictures


def request(*chunks, kind=None, pause_s=0.0):
    """A request whose body comes in these chunks."""
    waiting = list(chunks)

    async def receive():
        await asyncio.sleep(pause_s)
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    headers = [] if kind is None else [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers, "app": None}, receive)


def form(*parts, charset=""):
    """A form of (disposition, content)."""
    pieces = [b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part for part in parts]
    return request(*pieces, b"--x--\r\n", kind=f"multipart/form-data; boundary=x{charset}")


def read(request, **limits):
    return asyncio.run(read_pictures(request, **{"max_files": 4, "timeout_s": 5.0} | limits))


def refused(request, status, words, **limits):
    with pytest.raises(RequestError, match=words) as caught:
        read(request, **limits)
    assert caught.value.status == status


@pytest.mark.parametrize("kind", [None, "image/jpeg", "application/octet-stream", "IMAGE/PNG; q"])
def test_a_raw_body_is_one_picture(kind):
    (picture,) = read(request(b"ab", b"cd", kind=kind))
    assert (picture.name, picture.content) == ("image", b"abcd")


def test_files_of_a_form_keep_their_names():
    pictures = read(
        form(
            (b'name="file"; filename="a.png"', b"first"),
            ('name="other"; filename="고양이.png"'.encode(), b"x" * 2_000_000),
            (b'name="third"; filename=""', b"third"),
        )
    )
    assert [one.name for one in pictures] == ["a.png", "고양이.png", "third"]
    assert [len(one.content) for one in pictures] == [5, 2_000_000, 5]


def test_what_brings_no_picture_is_refused():
    refused(request(b"", kind="image/png"), 400, "the body is empty; send one picture")
    refused(form(), 400, "the form has no files")
    refused(form((b'name="file"', b"text")), 400, "field 'file' is no file")
    refused(request(b"a=b", kind="application/x-www-form-urlencoded"), 415, "x-www-form")
    refused(request(b"{}", kind="application/json"), 415, "of type 'application/json'")


def test_damaged_forms_are_refused():
    refused(request(b"x", kind="multipart/form-data"), 400, "Missing boundary")
    refused(request(b"nothing", kind="multipart/form-data; boundary=x"), 400, "end is missing")
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    refused(request(cut, kind="multipart/form-data; boundary=x"), 400, "end is missing")
    refused(request(b"--y--", kind="multipart/form-data; boundary=x"), 400, "end is missing")
    refused(form((b'filename="a.png"', b"")), 400, "cannot be read")


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"\r\nepilogue", b" \t\r\nof\r\nlines\r\n"])
def test_what_stands_behind_the_last_boundary_is_passed_over(behind):
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    (picture,) = read(request(part + b"\r\n--x--" + behind, kind="multipart/form-data; boundary=x"))
    assert (picture.name, picture.content) == ("a", b"abc")
    inside = request(part + b"--x--" + behind, kind="multipart/form-data; boundary=x")
    refused(inside, 400, "end is missing")


def test_more_files_than_the_limit_are_refused():
    parts = [(b'name="file"; filename="a"', b"a")] * 5
    assert len(read(form(*parts[:4]))) == 4
    refused(form(*parts), 400, "Too many files")


@pytest.mark.parametrize("charset", ["utf-7", "idna", "punycode", "hex", "utf-16", "nonsense"])
def test_a_forms_charset_breaks_nothing(charset):
    parts = form((b'name="file"; filename="+2AA-\xff.png"', b"a"), charset=f"; charset={charset}")
    try:
        (picture,) = read(parts)
    except RequestError as error:
        assert error.status == 400  # noqa: PT017
    else:
        assert picture.name.encode()


def test_a_body_that_does_not_arrive_is_refused():
    slow = request(b"a", b"b", b"c", kind="image/png", pause_s=0.2)
    refused(slow, 408, "took longer than 0.05 s to arrive", timeout_s=0.05)
    with pytest.raises(RequestError, match="took longer"):
        asyncio.run(read_body(request(b"a", pause_s=0.2), timeout_s=0.05))
