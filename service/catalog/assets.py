"""Styles and scripts of the pages, served under names that change with their bytes.

Owns `/static/…`: what is there is public, and kept for ever by whoever likes.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Response

from service.domain.problems import Problem

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


@router.get("/static/{name}")
@router.head("/static/{name}")
def static(name: str) -> Response:
    """A style or a script by its name with its digest in it."""
    file = _by_address().get(name)
    if file is None:
        raise Problem("not_found", "there is no such style or script")
    return Response(_read(file), media_type=_MEDIA_TYPES[file.rpartition(".")[2]], headers=_HEADERS)


@cache
def address_of(file: str) -> str:
    """Where a page finds a file, `catalog.css` for example. Raises KeyError for none of ours."""
    return f"/static/{_addresses()[file]}"


@cache
def _addresses() -> dict[str, str]:
    found = {}
    for entry in resources.files("service.catalog").joinpath("static").iterdir():
        stem, _, kind = entry.name.rpartition(".")
        if kind in _MEDIA_TYPES:
            digest = hashlib.sha256(entry.read_bytes()).hexdigest()[:12]
            found[entry.name] = f"{stem}.{digest}.{kind}"
    return found


@cache
def _by_address() -> dict[str, str]:
    return {address: file for file, address in _addresses().items()}


@cache
def _read(file: str) -> bytes:
    return resources.files("service.catalog").joinpath("static", file).read_bytes()
