"""The largest requests of the worst shapes, to every route: the process answers all the while.

The API is a process of its own. Somebody asks for `/livez` without a pause, on a connection kept
open, while each request is in hand; half a second is the promise. This machine is shared, so that a
request counts as one that silences the service when it does so each time it is tried.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from service.http.app import document
from service.main import ROUTERS
from service.settings import Settings
from tests.features.caller import Caller
from tests.features.pushed import push
from tests.features.reference import MLP
from tests.http.test_every_route import routes
from tests.http.test_processes import api, environment
from tests.http.test_wide_bodies import address, shapes
from tests.support.serving import Serving

LIVEZ = 0.5
TRIES = 3
KIB, MIB = 1 << 10, 1 << 20
#: Of a head, beside the key and what the client adds.
HEAD = 30 * KIB
#: What an answer may have beyond twice what was asked: it quotes a name and tells of it.
PLAIN = 24 * KIB


@dataclass(frozen=True)
class Pulse:
    """Asks whether the service lives, all the time."""

    url: str

    @contextmanager
    def slowest(self) -> Iterator[list[float]]:
        """The longest that an answer took while the block ran; in the list when it has ended."""
        found: list[float] = []
        taken = [0.0]
        stop = threading.Event()

        def ask() -> None:
            with httpx2.Client(base_url=self.url, timeout=60.0) as http:
                while not stop.is_set():
                    began = time.perf_counter()
                    assert http.get("/livez").status_code == 200
                    taken.append(time.perf_counter() - began)
                    stop.wait(0.005)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join()
            found.append(max(taken))


@dataclass(frozen=True)
class Attacked:
    """The API's process, its routes, and things that exist for the paths."""

    url: str
    http: httpx2.Client
    pulse: Pulse
    routes: list[tuple[str, str]]
    ids: Mapping[str, str]

    def at(self, path: str) -> str:
        """Things that are there, where there are some: more is looked at of those."""
        return address(re.sub(r"{(\w+)}", lambda m: self.ids.get(m.group(1), m.group(0)), path))


@pytest.fixture(scope="module")
def attacked(settings: Settings, running: Serving) -> Iterator[Attacked]:
    secret = running.key("admin")[1]
    with running.client(secret) as http:
        pushed = push(Caller(http, running.census), MLP, "alive")
    ids = {
        "model_id": pushed.model,
        "checkpoint_id": pushed.final,
        "dataset_id": pushed.dataset,
        "project": "alive",
        "name": "prod",
        "extension": "png",
        "token": "A" * 43,
        "digest": "sha256:" + "0" * 64,
    }
    unlimited = {
        "LOSSATLAS_REQUESTS_PER_MINUTE": "0",
        "LOSSATLAS_SIGN_INS_PER_MINUTE": "0",
        "LOSSATLAS_WRONG_KEYS_PER_MINUTE": "0",
    }
    with (
        api(environment(settings, **unlimited)) as (_, url),
        httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=120.0
        ) as http,
    ):
        assert isinstance(running.server.config.app, FastAPI)
        yield Attacked(url, http, Pulse(url), sorted(set(routes(running))), ids)


def bodies() -> dict[str, bytes]:
    """JSON of the worst shapes, each as large as may be."""
    return {
        **{name: json.dumps(shape).encode() for name, shape in shapes().items()},
        "empty lists": b"[" + b"[]," * 340_000 + b"1]",
        "empty objects": b'{"a":[' + b"{}," * 340_000 + b"1]}",
        "equal names": b"{" + b'"name":1,' * 110_000 + b'"name":1}',
        "large numbers": b'{"grid":[' + b",".join([b"9" * 4000] * 250) + b"]}",
        "long fractions": b'{"grid":[0.' + b"9" * (MIB - 100) + b"]}",
        "exponents": b'{"min":1e' + b"9" * 4000 + b"}",
        "escapes": b'{"name":"' + b"\\u00e9" * 174_000 + b'"}',
        "quotes": b'"' + b'\\"' * 524_000,
        "wide and not ASCII": json.dumps(
            {chr(0x1F600 + i) * 5000: i for i in range(50)}, ensure_ascii=False
        ).encode(),
        "deep within": b'{"metadata":' + b'{"a":' * 150_000 + b"1" + b"}" * 150_001,
        "kinds": json.dumps({"kind": "x" * 500_000, "mode": "y" * 500_000}).encode(),
        "checkpoints": json.dumps(
            {"kind": "trajectory", "checkpoints": ["!"] * 19_900, "datasets": [1]}
        ).encode(),
        "rules": json.dumps({"rules": ["barrier <= 1 " * 5] * 15_000}).encode(),
        "one long rule": json.dumps({"rules": ["(" * 500_000 + "1 <= " * 80_000]}).encode(),
        "claims": json.dumps({"claims": {f"c{i}": ["x"] * 20 for i in range(900)}}).encode(),
        "tags": json.dumps({"tags": [" " * 50] * 19_000, "note": "\n" * 400_000}).encode(),
        "bytes": b"\xff" * MIB,
        "nothing": b" " * MIB,
    }


def forms() -> dict[str, bytes]:
    return {
        "many fields": b"&".join(b"f%d=1" % n for n in range(100_000))[:MIB],
        "equal fields": (b"tags=1&" * 150_000)[:MIB],
        "separators": b"&" * MIB,
        "percents": b"tags=" + b"%" * (MIB - 10),
        "escapes": (b"note=" + b"%C3%A9" * 174_000)[:MIB],
        "one long field": b"tags=" + b"," * (MIB - 10),
        "words": b"tags=" + b"a " * 520_000,
    }


def files() -> dict[str, bytes]:
    """Objects; some are safetensors of the worst sort."""
    text = {
        "lists": b'{"a":[' + b"[]," * 3_000_000 + b"1]}",
        "tensors": b"{"
        + b",".join(
            b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(39_000)
        )
        + b"}",
        "names": b'{"' + b"\\u00e9" * 1_000_000 + b'":{}}',
    }
    return {name: struct.pack("<Q", len(one)) + one for name, one in text.items()}


def queries() -> dict[str, str]:
    known = {
        parameter["name"]
        for path in document(ROUTERS)["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    } | {"ids", "view", "text", "tag", "next", "wrong", "code", "state", "page", "sort", "show"}
    share = HEAD // len(known)
    return {
        "many": "&".join(f"q{n}=" for n in range(HEAD // 8)),
        "separators": "&" * HEAD,
        "equal": "tag=a&" * (HEAD // 6),
        "beside": "beside=lsc_&" * (HEAD // 12),
        "ids": "ids=" + "lsc_" + "0" * 26 + ",a" * (HEAD // 2 - 40),
        "each long": "&".join(f"{name}={'9' * (share - len(name) - 2)}" for name in known),
        "percents": "text=" + "%25" * (HEAD // 3 - 5),
        "words": "text=" + "a+" * (HEAD // 2 - 5),
        "a long cursor": "cursor=" + "W1tb" * (HEAD // 4 - 5),
    }


def heads() -> dict[str, dict[str, str]]:
    return {
        "many tags": {"If-None-Match": '"a",' * (HEAD // 4)},
        "broken tags": {"If-None-Match": 'W/"' * (HEAD // 3), "If-Match": "W/" + '"a' * 2000},
        "spaces in tags": {"If-None-Match": '"a"' + " " * (HEAD - 20) + "x"},
        "cookies": {"Cookie": "lossatlas=a;" * (HEAD // 12)},
        "odd cookies": {"Cookie": '=";' * (HEAD // 3)},
        "ranges": {"Range": "bytes=" + "0-1," * (HEAD // 4 - 10), "If-Range": '"a"'},
        "a long range": {"Range": "bytes=" + "9" * (HEAD // 2) + "-"},
        "media types": {"Accept": "text/html;q=0.1," * (HEAD // 16)},
        "a preference": {"Prefer": "wait " * (HEAD // 5), "Last-Event-ID": "9" * 4000},
        "preferences": {"Prefer": "wait=" + " " * (HEAD - 20) + "x"},
        "a key for again": {"Idempotency-Key": "k" * HEAD},
        "a request id": {"X-Request-Id": "a" * (HEAD - 1) + "!"},
        "addresses": {"X-Forwarded-For": "1.1.1.1," * (HEAD // 8)},
        "an origin": {"Origin": "http://[" + ":" * (HEAD - 100), "X-CSRF-Token": "\xe9" * 50},
        "a media type": {"Content-Type": "application/" + "x" * (HEAD - 100) + "+json"},
        "fields": {f"X-{n}": "a" for n in range(180)},
    }


def attack(attacked: Attacked, requests: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Sends each; those during which the service was silent are tried again, one by one."""
    assert requests
    waiting = requests
    for _ in range(TRIES):
        silenced = []
        for method, path, options in waiting:
            with attacked.pulse.slowest() as slowest:
                answer = attacked.http.request(method, path, **options)
            assert answer.status_code < 500, (method, path[:200], answer.text[:300])
            if answer.status_code >= 400:
                asked = len(options.get("content", b"")) + len(path) + HEAD
                assert len(answer.content) <= 2 * asked + PLAIN, (method, path[:200])
                assert len(answer.content) <= 130_000, (method, path[:200])
            if slowest[0] >= LIVEZ:
                silenced.append((method, path, options))
        if not silenced:
            return
        waiting = silenced
    raise AssertionError([(method, path[:200]) for method, path, _ in waiting])


def bodied(attacked: Attacked) -> list[tuple[str, str]]:
    return [
        (method, attacked.at(path))
        for method, path in attacked.routes
        if method in ("POST", "PUT", "PATCH", "DELETE") and not path.startswith("/v1/objects/")
    ]


@pytest.mark.parametrize("name", bodies())
def test_bodies(attacked: Attacked, name: str) -> None:
    body = bodies()[name]
    assert len(body) <= MIB
    json_ = {"content": body, "headers": {"Content-Type": "application/json"}}
    attack(attacked, [(method, path, json_) for method, path in bodied(attacked)])


@pytest.mark.parametrize("name", forms())
def test_forms(attacked: Attacked, name: str) -> None:
    form = {
        "content": forms()[name],
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    attack(attacked, [(method, path, form) for method, path in bodied(attacked)])


@pytest.mark.parametrize("name", queries())
def test_queries(attacked: Attacked, name: str) -> None:
    query = queries()[name]
    attack(
        attacked,
        [
            (method, f"{attacked.at(path)}?{query}"[:HEAD], {})
            for method, path in attacked.routes
            if method == "GET"
        ],
    )


@pytest.mark.parametrize("name", heads())
def test_heads(attacked: Attacked, name: str) -> None:
    fields = {k: v.encode("latin-1") for k, v in heads()[name].items()}
    attack(
        attacked,
        [
            (method, attacked.at(path), {"headers": fields})
            for method, path in attacked.routes
            if method in ("GET", "POST")
        ],
    )


def test_files(attacked: Attacked) -> None:
    """Uploaded, and then named wherever a file can be named."""
    requests: list[tuple[str, str, dict[str, Any]]] = []
    model, checkpoint = attacked.ids["model_id"], attacked.ids["checkpoint_id"]
    for data in files().values():
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        requests += [
            ("PUT", f"/v1/objects/{digest}", {"content": data}),
            ("POST", f"/v1/models/{model}/checkpoints", {"json": {"weights": digest}}),
            (
                "POST",
                "/v1/datasets",
                {"json": {"project": "alive", "name": "d", "object": digest}},
            ),
            (
                "POST",
                "/v1/directions",
                {"json": {"checkpoint": checkpoint, "kind": "uploaded", "object": digest}},
            ),
            (
                "POST",
                "/v1/models",
                {"json": {"project": "alive", "name": "m", "program": digest}},
            ),
        ]
    attack(attacked, requests)


def test_bodies_at_once(attacked: Attacked) -> None:
    """The heaviest shapes, from as many connections as there are shapes."""
    heavy = list(bodies().values())

    def send(body: bytes) -> None:
        for path in ("/v1/jobs", "/v1/checks", "/v1/identity/token"):
            answer = attacked.http.post(
                path, content=body, headers={"Content-Type": "application/json"}
            )
            assert 400 <= answer.status_code < 500

    slowest = []
    for _ in range(TRIES):
        threads = [threading.Thread(target=send, args=(body,)) for body in heavy]
        with attacked.pulse.slowest() as found:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        slowest.append(found[0])
        if found[0] < LIVEZ:
            return
    raise AssertionError(slowest)
