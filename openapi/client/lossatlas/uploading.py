"""Objects go up under their digest, streamed; what is there already is not sent again.

Large files go to the object store in parts, and an upload that broke off goes on where it stopped,
in a later process too. All as steps: nothing here does I/O of its own but through `local`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from lossatlas.errors import InputError, ProblemError, ServiceUnreachable
from lossatlas.files import chunks, digest_of
from lossatlas.progress import Reporter, sending
from lossatlas.resuming import Begun, begun, forget, remember
from lossatlas.steps import Call, Steps, call, exists, fetch, local, post

_CHUNK: Final = 1 << 20
#: Smaller files are sent whole: sending them again costs less than asking for parts.
PARTS_FROM: Final = 256 << 20
#: An object store that only the service can reach is found out so soon.
_STORE_SECONDS: Final = 5.0


def upload(
    path: Path, service: str, *, progress: bool = True, parts_from: int = PARTS_FROM
) -> Steps[str]:
    """Sends a file unless the service has its bytes. Constant memory.

    Args:
        service: its address, which a broken upload is remembered with.
        parts_from: the size in bytes from which a file is sent in parts.

    Returns:
        The digest, `sha256:…`.

    Raises:
        InputError: the file cannot be read, or changed while it was sent.
        ProblemError, ServiceUnreachable: as `Transport.call`.
    """
    try:
        size = path.stat().st_size
        with sending(path.name, size, shown=progress) as report:
            digest = yield from local(lambda: _digest(path, size, report))
            place = f"/v1/objects/{digest}"
            if (yield from exists(place)):
                return digest
            sent = False
            if size >= parts_from:
                sent = yield from _in_parts(service, digest, path, size, report)
            if not sent:
                yield from _whole(place, path, size, report)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return digest


def _digest(path: Path, size: int, report: Reporter) -> str:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        report(done, size, f"reading {path.name}")

    return digest_of(path, told)


def _whole(place: str, path: Path, size: int, report: Reporter) -> Steps[None]:
    def body() -> Iterator[bytes]:
        done = 0
        for piece in chunks(path, _CHUNK):
            done += len(piece)
            if done > size:
                raise InputError(f"{path} grew while it was sent; send it again")
            yield piece
            report(done, size, f"sending {path.name}")
        if done < size:
            raise InputError(f"{path} shrank while it was sent; send it again")

    yield from call(Call("PUT", place, content=body, headers=_headers(size)))


def _in_parts(service: str, digest: str, path: Path, size: int, report: Reporter) -> Steps[bool]:
    """Whether it is there now; False where the object store cannot be reached from here."""
    known = begun(service, digest)
    upload = yield from _resumed(known, size)
    if upload is None:
        known = None
        upload = yield from post("/v1/uploads", {"digest": digest, "size": size})
    identity, done = str(upload["id"]), set(known.parts if known else ())
    addresses = _Addresses(upload)
    for part in upload["parts"]:
        number, start, stop = int(part["number"]), int(part["start"]), int(part["stop"])
        if number not in done:
            if addresses.are_old:
                addresses = _Addresses((yield from fetch(f"/v1/uploads/{identity}")))
            headers = _headers(stop - start)
            content = _part(path, start, stop)
            patience = None if done else _STORE_SECONDS
            try:
                yield from call(
                    Call(
                        "PUT",
                        addresses.of(number),
                        content=content,
                        headers=headers,
                        retry_seconds=patience,
                    )
                )
            except ServiceUnreachable:
                if done:
                    raise
                return False
            done.add(number)
            remember(service, Begun(digest, identity, frozenset(done)))
        report(stop, size, f"sending {path.name}")
    report(size, size, f"verifying {path.name}")
    try:
        # the store's copy is read back before the answer
        yield from call(Call("POST", f"/v1/uploads/{identity}/complete", hold_seconds=600.0))
    finally:
        # one that was refused is begun anew
        forget(service, digest)
    return True


class _Addresses:
    """Where the parts of an upload go, and whether it is time to ask for fresh ones."""

    def __init__(self, upload: Any) -> None:
        self._urls = {int(part["number"]): str(part["url"]) for part in upload["parts"]}
        # one that is begun in time may end late
        seconds = upload.get("expires_in")
        self._good_until = None if seconds is None else time.monotonic() + 0.5 * float(seconds)

    @property
    def are_old(self) -> bool:
        return self._good_until is not None and time.monotonic() > self._good_until

    def of(self, number: int) -> str:
        """Raises InputError when the upload was ended by somebody else meanwhile."""
        if number not in self._urls:
            raise InputError("the upload was given up meanwhile; send the file again")
        return self._urls[number]


def _resumed(known: Begun | None, size: int) -> Steps[Any]:
    """The upload that was begun before, with fresh addresses; None if it cannot go on."""
    if known is None:
        return None
    try:
        upload = yield from fetch(f"/v1/uploads/{known.upload}")
    except ProblemError as problem:
        if problem.status in (404, 422):
            return None
        raise
    goes_on = upload["state"] == "open" and upload["size"] == size
    return upload if goes_on else None


def _part(path: Path, start: int, stop: int) -> Callable[[], Iterator[bytes]]:
    def body() -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(start)
            left = stop - start
            while left:
                piece = file.read(min(_CHUNK, left))
                if not piece:
                    raise InputError(f"{path} shrank while it was sent; send it again")
                left -= len(piece)
                yield piece

    return body


def _headers(size: int) -> dict[str, str]:
    return {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
