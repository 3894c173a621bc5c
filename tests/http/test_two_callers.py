"""Two callers: a hostile one at full strength, and an honest one who hardly notices.

The API is a process of its own, and so is the flood. The honest caller's 95th percentile may be
three times what it is while nobody else is there. Below `FLOOR` it is taken for quiet: this
machine is small, the flood runs on it too, and nobody notices so much.
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx2
import pytest

from service.http.services import Services
from service.settings import Settings
from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.features.pushed import Pushed, push
from tests.features.reference import MLP, read
from tests.http.test_processes import api, environment
from tests.support.processes import descendants, until
from tests.support.serving import Serving

#: Seconds. An answer within a fifth of a second is at once, for people and for programs.
FLOOR = 0.2
TIMES = 3.0
LIVEZ = 0.5
ASKED = 60


@dataclass(frozen=True)
class Stack:
    """The API's process, and two callers of different projects."""

    process: subprocess.Popen[str]
    url: str
    hostile: str
    honest: str
    pushed: Pushed
    landscape: str

    @property
    def address(self) -> tuple[str, int]:
        parts = httpx2.URL(self.url)
        return parts.host, parts.port or 80

    def client(self, key: str | None = None) -> httpx2.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60.0)


@pytest.fixture(scope="module")
def stack(settings: Settings, running: Serving, services: Services) -> Iterator[Stack]:
    hostile = running.key("submitter", ["alpha"])[1]
    honest = running.key("submitter", ["beta"])[1]
    with running.client(hostile) as http:
        pushed = push(Caller(http, running.census), MLP, "alpha")
    with running.client(honest) as http:
        caller = Caller(http, running.census)
        own = push(caller, MLP, "beta")
        spec = {
            "kind": "interpolation",
            "origin": own.final,
            "target": own.first,
            "alpha": {"min": 0, "max": 1, "num": 21},
            "datasets": [own.dataset],
        }
        job = str(caller.create("/v1/jobs", spec)["id"])
        ByHand(services, job).whole()
        landscape = str(caller.get(f"/v1/jobs/{job}").json()["landscape"])
    # so few that a short flood reaches the end of its tries
    few = {"LOSSATLAS_SIGN_INS_PER_MINUTE": "20", "LOSSATLAS_WRONG_KEYS_PER_MINUTE": "40"}
    with api({**environment(settings), **few}) as (process, url):
        yield Stack(process, url, hostile, honest, pushed, landscape)


def measured(ask: Callable[[], httpx2.Response], times: int = ASKED) -> list[float]:
    """Seconds of each, all of them answered well."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = ask()
        taken.append(time.perf_counter() - began)
        assert answer.status_code < 400, answer.text
    return taken


def p95(taken: list[float]) -> float:
    return sorted(taken)[math.ceil(0.95 * len(taken)) - 1]


@contextmanager
def flood(stack: Stack, connections: int, request: bytes) -> Iterator[dict[str, int]]:
    """The request on many connections until the block ends; then how it was answered."""
    told: dict[str, int] = {}
    host, port = stack.address
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.flood", f"{host}:{port}", str(connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request)
            process.stdin.close()
            assert process.stdout.readline() == b"begun\n"
            yield told
            process.send_signal(signal.SIGTERM)
            told.update(json.loads(process.stdout.readline()))
        finally:
            process.kill()


def request(line: str, key: str | None = None, body: bytes = b"", **fields: str) -> bytes:
    head = [f"{line} HTTP/1.1", "Host: h"]
    if key is not None:
        head.append(f"Authorization: Bearer {key}")
    if body:
        head.append(f"Content-Length: {len(body)}")
    head += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def unaffected(
    stack: Stack, ask: Callable[[httpx2.Client], httpx2.Response], times: int = ASKED
) -> Iterator[Callable[[], None]]:
    """Measures the honest caller before the block, and again when what is given is called."""
    with stack.client(stack.honest) as honest, stack.client() as anybody:
        measured(lambda: ask(honest), 3)
        quiet = p95(measured(lambda: ask(honest), times))

        def again() -> None:
            lively = measured(lambda: anybody.get("/livez"), 20)
            now = p95(measured(lambda: ask(honest), times))
            lively += measured(lambda: anybody.get("/livez"), 20)
            assert p95(lively) < LIVEZ, lively
            assert now <= TIMES * max(quiet, FLOOR), (now, quiet)

        yield again


def reads(http: httpx2.Client) -> httpx2.Response:
    return http.get("/v1/landscapes")


def uploads(http: httpx2.Client) -> httpx2.Response:
    data = str(time.perf_counter_ns()).encode()
    return http.put(f"/v1/objects/sha256:{hashlib.sha256(data).hexdigest()}", content=data)


def dripping(stack: Stack, count: int, head: bytes) -> list[socket.socket]:
    held = []
    for _ in range(count):
        opened = socket.create_connection(stack.address, 30)
        opened.sendall(head)
        held.append(opened)
    return held


@contextmanager
def closing(held: list[socket.socket]) -> Iterator[None]:
    try:
        yield
    finally:
        for opened in held:
            opened.close()


def test_uploads_that_drip(stack: Stack) -> None:
    head = request("PUT /v1/objects/sha256:" + "0" * 64, stack.hostile, Content_Length="1000000")
    with unaffected(stack, uploads) as again:
        held = dripping(stack, 200, head + b"x")
        with closing(held):
            again()
            for opened in held:
                with suppress(OSError):
                    opened.sendall(b"x")
            again()


def test_half_sent_requests(stack: Stack) -> None:
    heads = (
        b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: ",
        request("POST /v1/identity/token", Content_Type="application/json", Content_Length="90000")
        + b'{"token": "'
        + b"a" * 80_000,
        request(
            "POST /v1/models",
            stack.hostile,
            Content_Type="application/json",
            Content_Length="1000000",
        )
        + b'{"name": "'
        + b"a" * 900_000,
    )
    with unaffected(stack, reads) as again:
        held = [opened for head in heads for opened in dripping(stack, 150, head)]
        with closing(held):
            again()


def test_model_checks(stack: Stack) -> None:
    """Of as many processes as the setting says, and another project's check is not behind them."""
    with stack.client(stack.hostile) as hostile:
        program = read(MLP, "program.pt2")
        digest = f"sha256:{hashlib.sha256(program).hexdigest()}"
        assert hostile.put(f"/v1/objects/{digest}", content=program).status_code == 200
    body = json.dumps({"project": "alpha", "name": "n", "program": digest, "loss": "cross_entropy"})
    flooding = request(
        "POST /v1/models", stack.hostile, body.encode(), Content_Type="application/json"
    )

    def registers(http: httpx2.Client) -> httpx2.Response:
        return http.post(
            "/v1/models", json={"project": "beta", "name": "m", "program": digest, "loss": "mse"}
        )

    with stack.client(stack.honest) as honest:
        honest.put(f"/v1/objects/{digest}", content=program).raise_for_status()
    at_once = []
    with unaffected(stack, registers, 10) as again, unaffected(stack, reads) as reading:  # noqa: SIM117
        with flood(stack, 45, flooding) as told:

            def children() -> int:
                return sum(p.runs("service.programs.check") for p in descendants(stack.process.pid))

            until("a check runs", children)
            with ThreadPoolExecutor(1) as watching:
                stop = False

                def watch() -> None:
                    while not stop:
                        at_once.append(children())
                        time.sleep(0.3)

                watched = watching.submit(watch)
                try:
                    again()
                    reading()
                finally:
                    stop = True
                watched.result()
    assert max(at_once) <= 2
    assert set(told) <= {"201", "429"}
    assert told.get("429", 0) > 0, told


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/landscapes/{landscape}/figure.png?width=2000&view=curve",
        "GET /v1/landscapes?limit=200",
        "GET /",
    ],
)
def test_a_flood_of_what_is_costly(stack: Stack, running: Serving, line: str) -> None:
    hostile = running.key("reader", ["beta"])[1] if "{" in line else stack.hostile
    asked = request(line.format(landscape=stack.landscape), hostile, Accept="text/html,image/png")
    with unaffected(stack, reads) as again, flood(stack, 40, asked) as told:
        again()
    assert told.get("200", 0) > 0
    assert set(told) <= {"200", "429"}


def test_a_figure_is_not_behind_all_others(stack: Stack, running: Serving) -> None:
    """The hostile key is of the same project."""
    hostile = running.key("reader", ["beta"])[1]
    path = f"/v1/landscapes/{stack.landscape}/figure.png"
    asked = request(f"GET {path}?width=1600", hostile)
    with unaffected(stack, lambda http: http.get(path), 15) as again:  # noqa: SIM117
        with flood(stack, 40, asked) as told:
            again()
    assert told.get("200", 0) > 0


def test_held_answers(stack: Stack, running: Serving) -> None:
    with stack.client(stack.hostile) as http:
        spec = {
            "kind": "interpolation",
            "origin": stack.pushed.final,
            "target": stack.pushed.first,
            "alpha": {"min": 0, "max": 1, "num": 3},
            "datasets": [stack.pushed.dataset],
            "force": True,
        }
        job = http.post("/v1/jobs", json=spec).json()["id"]
    waits: Mapping[str, dict[str, str]] = {
        f"GET /v1/jobs/{job}?wait=60": {},
        f"GET /v1/jobs/{job}/events": {"Accept": "text/event-stream"},
    }
    with unaffected(stack, reads) as again:
        held = []
        for line, fields in waits.items():
            held += dripping(stack, 220, request(line, stack.hostile, **fields))
        with closing(held):
            again()
            told = []
            for opened in held:
                opened.setblocking(False)
                with suppress(BlockingIOError):
                    told.append(opened.recv(65536).split()[1])
            assert told.count(b"429") >= 440 - 200
            with stack.client(stack.honest) as honest:
                assert honest.get("/v1/jobs").status_code == 200


def test_guesses(stack: Stack) -> None:
    """Of keys and of sign-ins, from the address that the honest caller has too."""

    def signs_in(http: httpx2.Client) -> httpx2.Response:
        return http.post("/sign-in", data={"key": stack.honest})

    form = request(
        "POST /sign-in",
        body=b"key=la_wrong",
        Content_Type="application/x-www-form-urlencoded",
    )
    with unaffected(stack, signs_in) as again, flood(stack, 30, form) as told:
        # a refusal is answered after a second, and the flood is to live to see some
        began = time.monotonic()
        while time.monotonic() - began < 5.0:
            again()
    assert told.get("429", 0) > 0, told
    wrong = "la_" + "0" * 26 + "_" + "A" * 43
    with unaffected(stack, reads) as again:  # noqa: SIM117
        with flood(stack, 30, request("GET /v1/models", wrong)) as told:
            again()
    assert set(told) <= {"401", "429"}
