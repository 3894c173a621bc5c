"""Uploads in parts that were begun and not completed, remembered on this machine.

One small file for each, in `LOSSATLAS_CACHE_DIR` or the user's cache folder. Losing one costs
sending a file again, so nothing here fails: a folder that cannot be written is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from lossatlas.files import write_bytes


@dataclass(frozen=True)
class Begun:
    """An upload of the object `digest`, and the numbers of the parts that arrived."""

    digest: str
    upload: str
    parts: frozenset[int]


def begun(service: str, digest: str) -> Begun | None:
    """The upload of an object to a service that broke off, if there is one."""
    try:
        body = json.loads(_file(service, digest).read_text(encoding="utf-8"))
        return Begun(digest, str(body["upload"]), frozenset(int(n) for n in body["parts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(service: str, upload: Begun) -> None:
    """Writes down how far an upload is."""
    body = json.dumps({"upload": upload.upload, "parts": sorted(upload.parts)})
    with contextlib.suppress(OSError):
        write_bytes(_file(service, upload.digest), body.encode())


def forget(service: str, digest: str) -> None:
    """Drops what was written down."""
    with contextlib.suppress(OSError):
        _file(service, digest).unlink(missing_ok=True)


def _file(service: str, digest: str) -> Path:
    name = hashlib.sha256(f"{service}\n{digest}".encode()).hexdigest()[:40]
    return _folder() / "uploads" / f"{name}.json"


def _folder() -> Path:
    named = os.environ.get("LOSSATLAS_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "lossatlas"
    except RuntimeError:  # no home
        return Path(os.devnull)
