"""Uploads in parts: straight to the store, on where they stopped, and around a store that is not
to be reached."""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from lossatlas.aio_transport import AsyncTransport
from lossatlas.discovery import Endpoint
from lossatlas.errors import ServiceUnreachable
from lossatlas.steps import Answer, Call
from lossatlas.transport import Transport
from lossatlas.uploading import upload

from service.settings import Settings
from tests.client.answering import Reply, answering, problem
from tests.support.serving import Serving, serving

MIB = 1 << 20


class Watched(Transport):
    """Counts what goes out; breaks down before one part."""

    def __init__(self, endpoint: Endpoint, breaks_at: int | None = None) -> None:
        super().__init__(endpoint)
        self.sent: list[str] = []
        self.breaks_at = breaks_at

    def send(self, call: Call) -> Answer:
        elsewhere = call.path.startswith("http")
        self.sent.append(f"{call.method} {'part' if elsewhere else call.path.split('/')[2]}")
        if self.sent.count("PUT part") == self.breaks_at:
            raise ServiceUnreachable("the cable was pulled")
        return super().send(call)


@pytest.fixture(scope="module")
def small_parts(settings: Settings) -> Iterator[Serving]:
    with serving(settings.model_copy(update={"upload_part_bytes": 5 * MIB})) as api:
        yield api


@pytest.fixture
def endpoint(small_parts: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setenv("LOSSATLAS_CACHE_DIR", str(tmp_path / "cache"))
    return Endpoint(small_parts.url, small_parts.key("submitter")[1])


def large(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large.safetensors"
    path.write_bytes(secrets.token_bytes(12 * MIB))
    return path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_broken_upload_goes_on_in_a_later_process(endpoint: Endpoint, tmp_path: Path) -> None:
    path, digest = large(tmp_path)
    steps = {"progress": False, "parts_from": 1}
    with Watched(endpoint, breaks_at=3) as broken, pytest.raises(ServiceUnreachable, match="cable"):
        broken.run(upload(path, endpoint.url, **steps))  # type: ignore[arg-type]
    assert broken.sent == ["HEAD objects", "POST uploads", *["PUT part"] * 3]
    # nothing of the first process is left but its file
    with Watched(endpoint) as later:
        assert later.run(upload(path, endpoint.url, **steps)) == digest  # type: ignore[arg-type]
        assert later.sent == ["HEAD objects", "GET uploads", "PUT part", "POST uploads"]
        assert later.call("GET", f"/v1/objects/{digest}").content == path.read_bytes()
        assert later.run(upload(path, endpoint.url, **steps)) == digest  # type: ignore[arg-type]
        assert later.sent[-1] == "HEAD objects"
    assert not list((tmp_path / "cache" / "uploads").iterdir())


def test_parts_go_up_between_tasks_too(endpoint: Endpoint, tmp_path: Path) -> None:
    path, digest = large(tmp_path)

    async def send() -> tuple[str, bytes]:
        async with AsyncTransport(endpoint) as transport:
            sent = await transport.run(upload(path, endpoint.url, progress=False, parts_from=1))
            found = await transport.send(Call("GET", f"/v1/objects/{digest}"))
            return sent, found.content

    assert anyio.run(send) == (digest, path.read_bytes())


def test_a_store_that_only_the_service_reaches_is_gone_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSATLAS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("lossatlas.uploading._STORE_SECONDS", 0.0)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"0123456789")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/bucket/key?signature=1"
        parts = [{"number": 1, "start": 0, "stop": 10, "url": url}]
        begun = {"id": "upl_1", "state": "open", "size": 10, "parts": parts}
        absent = Reply(404, problem("not_found", 404))
        with (
            answering(absent, Reply(201, begun), Reply(201, {})) as server,
            Transport(Endpoint(server.url, "secret")) as http,
        ):
            http.run(upload(path, server.url, progress=False, parts_from=1))
            assert [seen.method for seen in server.seen] == ["HEAD", "POST", "PUT"]
            assert server.seen[-1].body == b"0123456789"


def test_addresses_that_run_out_are_asked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSATLAS_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"0123456789")
    with answering(Reply(200), Reply(200)) as store:

        def shown(name: str, seconds: float) -> dict[str, object]:
            spans = ((1, 0, 5), (2, 5, 10))
            return {
                "id": "upl_1",
                "state": "open",
                "size": 10,
                "expires_in": seconds,
                "parts": [
                    {"number": n, "start": a, "stop": b, "url": f"{store.url}/{name}/{n}"}
                    for n, a, b in spans
                ],
            }

        absent = Reply(404, problem("not_found", 404))
        replies = (absent, Reply(201, shown("old", 0)), Reply(200, shown("new", 900)), Reply(200))
        with (
            answering(*replies) as server,
            Transport(Endpoint(server.url, "secret")) as http,
        ):
            http.run(upload(path, server.url, progress=False, parts_from=1))
            assert [seen.method for seen in server.seen] == ["HEAD", "POST", "GET", "POST"]
        assert [(seen.path, seen.body) for seen in store.seen] == [
            ("/new/1", b"01234"),
            ("/new/2", b"56789"),
        ]


def test_the_key_stays_with_the_service() -> None:
    with (
        answering(Reply(200, {})) as store,
        answering(Reply(200, {})) as service,
        Transport(Endpoint(service.url, "secret")) as http,
    ):
        http.send(Call("PUT", f"{store.url}/part", content=lambda: [b"x"]))
        http.send(Call("GET", "/v1/jobs"))
        assert "Authorization" not in store.seen[0].headers
        assert service.seen[0].headers["Authorization"] == "Bearer secret"
