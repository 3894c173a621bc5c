"""Which service to talk to, and with which key.

Explicit arguments win, then `LOSSATLAS_URL` and `LOSSATLAS_KEY`, then the `endpoint.json` that
`lossatlas-server up` writes: in `LOSSATLAS_DATA_DIR`, or in `.lossatlas` of the current folder or
one above it. A key read from a file is only ever sent to the address in the same file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lossatlas.errors import ConfigurationError

DATA_FOLDER: Final = ".lossatlas"
FILE_NAME: Final = "endpoint.json"


@dataclass(frozen=True)
class Endpoint:
    """An address without a trailing slash, a key, and where they were found."""

    url: str
    key: str = field(repr=False)
    source: str = "arguments"


def find_endpoint(
    url: str | None = None,
    key: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Endpoint:
    """Finds the service.

    Args:
        url, key: given by the caller; each replaces what would be found.
        environ: the environment; the process's by default.
        folder: where to begin looking; the current folder by default.

    Raises:
        ConfigurationError: nothing says where the service is, or no key goes with the address.
    """
    environ = os.environ if environ is None else environ
    source = "arguments" if url else "LOSSATLAS_URL"
    url = url or environ.get("LOSSATLAS_URL") or None
    key = key or environ.get("LOSSATLAS_KEY") or None
    if url is not None and key is not None:
        return Endpoint(_checked(url), _plain(key), source)
    path = endpoint_file(environ, folder)
    if path is None:
        raise ConfigurationError(_nothing(url, key))
    found = read_endpoint(path)
    if url is not None and _checked(url) != found.url:
        raise ConfigurationError(
            f"there is no key for {_checked(url)}: set LOSSATLAS_KEY ({path} is for {found.url})"
        )
    return Endpoint(found.url, _plain(key) if key else found.key, str(path))


def endpoint_file(
    environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Path | None:
    """The endpoint file that applies, or None. A named data folder is not searched beyond."""
    environ = os.environ if environ is None else environ
    named = environ.get("LOSSATLAS_DATA_DIR")
    if named:
        path = Path(named) / FILE_NAME
        return path if path.is_file() else None
    start = (folder or Path.cwd()).absolute()
    for place in (start, *start.parents):
        path = place / DATA_FOLDER / FILE_NAME
        if path.is_file():
            return path
    return None


def read_endpoint(path: Path) -> Endpoint:
    """Reads an endpoint file. Raises ConfigurationError when it is not one."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return Endpoint(_checked(body["url"]), _plain(body["key"]), str(path))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            f'{path} is not an endpoint file ({{"url": …, "key": …}}); '
            "start `lossatlas-server up` again, or set LOSSATLAS_URL and LOSSATLAS_KEY"
        ) from None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError(f"{url!r} is no address; it looks like https://host[:port]")
    return url.rstrip("/")


def _plain(key: str) -> str:
    stripped = key.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ConfigurationError("the key is empty or holds characters that no key has")
    return stripped


def _nothing(url: str | None, key: str | None) -> str:
    if url is None and key is not None:
        return "a key is given but no address: set LOSSATLAS_URL"
    if url is not None:
        return f"there is no key for {url}: set LOSSATLAS_KEY"
    return (
        f"no service is known: set LOSSATLAS_URL and LOSSATLAS_KEY, or start `lossatlas-server up` "
        f"in this folder (no {DATA_FOLDER}/{FILE_NAME} here or above)"
    )
