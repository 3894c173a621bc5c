"""If-None-Match by the standard, and ranges of objects."""

from __future__ import annotations

import hashlib

import pytest

from service.domain.problems import Problem
from service.http.etag import listed_tags, none_match
from service.objects.ranges import asked
from tests.features.caller import Caller, problem


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ('"a"', False),
        ('W/"a"', False),
        ('"b", "a"', False),
        ('"b" , W/"a","c"', False),
        ("*", False),
        (" * ", False),
        ('"b"', True),
        ('"A"', True),
        ('"a b"', True),
        ("a", True),
        ("", True),
        ('"b" "a"', True),
        ('w/"a"', True),
    ],
)
def test_if_none_match(field: str, sent: bool) -> None:
    assert none_match({"if-none-match": field}, "a") is sent


def test_without_a_condition() -> None:
    assert none_match({}, "a")
    assert listed_tags('"a,b", "c"') == {"a,b", "c"}


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("BYTES=5-6", (5, 7)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        ("", None),
    ],
)
def test_ranges(field: str, found: tuple[int, int] | None) -> None:
    assert asked({"range": field}, 10, "t") == found


@pytest.mark.parametrize(("field", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_that_cannot_be(field: str, size: int) -> None:
    with pytest.raises(Problem) as caught:
        asked({"range": field}, size, "t")
    assert caught.value.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    ("condition", "whole"), [('"t"', False), ('"u"', True), ('W/"t"', True), ("Tue, 1 Jan", True)]
)
def test_if_range(condition: str, whole: bool) -> None:
    found = asked({"range": "bytes=1-2", "if-range": condition}, 10, "t")
    assert (found is None) is whole


DATA = bytes(range(256)) * 40


def test_an_object_in_parts(api: Caller) -> None:
    digest = api.put(DATA)
    url = f"/v1/objects/{digest}"
    whole = api.http.get(url)
    assert (whole.status_code, whole.content) == (200, DATA)
    assert whole.headers["etag"] == f'"{digest}"'
    assert whole.headers["accept-ranges"] == "bytes"
    assert "immutable" in whole.headers["cache-control"]
    part = api.http.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, DATA[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    assert part.headers["content-length"] == "100"
    last = api.http.get(url, headers={"Range": "bytes=-5", "If-Range": f'"{digest}"'})
    assert (last.status_code, last.content) == (206, DATA[-5:])
    other = api.http.get(url, headers={"Range": "bytes=-5", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, DATA)
    beyond = api.http.get(url, headers={"Range": f"bytes={len(DATA)}-"})
    problem(beyond, 416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(DATA)}"
    known = api.http.get(url, headers={"If-None-Match": f'W/"{digest}"'})
    assert (known.status_code, known.content) == (304, b"")
    head = api.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(DATA))
    assert head.headers["etag"] == f'"{digest}"'


def test_no_object_and_another_callers(api: Caller, stranger: Caller, reader: Caller) -> None:
    data = b"mine alone"
    digest = api.put(data)
    nowhere = f"/v1/objects/sha256:{hashlib.sha256(b'never sent').hexdigest()}"
    assert api.http.head(nowhere).status_code == 404
    problem(api.get(nowhere), 404, "not_found")
    for other in (stranger, reader):
        problem(other.get(f"/v1/objects/{digest}"), 404, "not_found")
    # knowing the digest gives nothing; having the bytes does
    assert stranger.http.put(f"/v1/objects/{digest}", content=data).status_code == 201
    assert stranger.http.get(f"/v1/objects/{digest}").content == data
