"""Whatever stands in a path or a query: an answer or a problem, and never a fault of ours."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.addresses import Address, addresses
from tests.support.nasty import ANYWHERE, IDS, values_for
from tests.support.serving import Serving

#: Asks another server, which there is not.
AWAY = {"/sign-in/oidc", "/sign-in/oidc/callback"}
#: Takes what figures take, and reads it by the same words.
ALIKE = "/v1/jobs/{job_id}/partial.png"
#: Held for as long as was asked.
PATIENT = {"0.1e1"}


class Asking:
    """One connection that sends addresses as they are, and collects the faults."""

    def __init__(self, running: Serving, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        self._secret = secret
        self.asked = 0
        self.faults: list[str] = []

    def __call__(self, method: str, target: str) -> None:
        self._connection.request(
            method,
            target,
            # a figure is not drawn for each of these
            headers={"Authorization": f"Bearer {self._secret}", "If-None-Match": "*"},
        )
        answer = self._connection.getresponse()
        body = answer.read()
        self.asked += 1
        media_type = answer.headers.get("content-type", "")
        if answer.status >= 500 or (
            answer.status >= 400 and not media_type.startswith("application/problem+json")
        ):
            self.faults.append(f"{method} {target[:200]}: {answer.status} {body[:300]!r}")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def asking(running: Serving) -> Iterator[Asking]:
    with closing(Asking(running, running.key("admin")[1])) as made:
        yield made


@pytest.fixture(autouse=True)
def no_faults(asking: Asking) -> Iterator[None]:
    asking.faults.clear()
    asking.asked = 0
    yield
    assert not asking.faults, "\n".join(asking.faults)


def reading(running: Serving) -> list[Address]:
    return [a for a in addresses(running) if a.method == "GET" and a.template not in AWAY]


def names_of(address: Address) -> list[str]:
    """Of the ranges, which are alike, two."""
    taken = list(address.taken or ())
    ranges = [name for name in taken if name.startswith("derived.")]
    return [name for name in taken if name not in ranges] + ranges[:1] + ranges[-1:]


def test_every_query_parameter(running: Serving, asking: Asking, ids: dict[str, str]) -> None:
    for address in reading(running):
        if address.template == ALIKE:
            continue
        needed = {"subtract": ids["landscape_id"]} if "subtract" in (address.taken or ()) else {}
        for name in names_of(address):
            beside = "".join(f"&{n}={v}" for n, v in needed.items() if n != name)
            for value in values_for(name):
                if name == "wait" and value in PATIENT:
                    continue
                asking("GET", f"{address.at(ids)}?{name}={value}{beside}")
    assert asking.asked > 2000


def test_every_place_in_a_path(running: Serving, asking: Asking, ids: dict[str, str]) -> None:
    for address in addresses(running):
        for place in address.places:
            for value in (*ANYWHERE[3:10], *IDS[::3], "..%2f..%2fetc%2fpasswd"):
                asking(address.method, address.at({**ids, place: value}))
    assert asking.asked > 700


@pytest.mark.parametrize("order", ["created_at", "-created_at", "sharpness", "-sharpness"])
def test_cursors_under_every_order(asking: Asking, order: str) -> None:
    for value in values_for("cursor"):
        asking("GET", f"/v1/landscapes?sort={order}&cursor={value}")
        asking("GET", f"/?sort={order}&cursor={value}")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    value=st.text(st.characters(codec="utf-8"), max_size=60) | st.binary(max_size=60),
)
def test_any_text(
    running: Serving, asking: Asking, ids: dict[str, str], data: st.DataObject, value: str | bytes
) -> None:
    """Several parameters at once."""
    address = data.draw(st.sampled_from(reading(running)), label="address")
    names = names_of(address)
    chosen = data.draw(st.sets(st.sampled_from(names), max_size=4)) if names else set()
    given = {
        name: data.draw(st.sampled_from((quote(value), *values_for(name))))
        for name in sorted(chosen - {"wait"})
    }
    asking("GET", f"{address.at(ids)}?{'&'.join(f'{n}={v}' for n, v in given.items())}")
