"""`endpoint.json`: where the client and the command line find a running service and its key.

Owns the file; it is there exactly while the service serves.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from service.embedded import files

NAME: Final = "endpoint.json"

_PROBE_SECONDS: Final = 5.0


def write(folder: Path, *, url: str, key: str) -> Path:
    """Says where the service is, in one step, to this user only."""
    path = folder / NAME
    files.write_private(path, json.dumps({"url": url, "key": key}) + "\n")
    return path


def remove(folder: Path) -> None:
    """The service is not there any more, or not yet."""
    (folder / NAME).unlink(missing_ok=True)


def read_url(folder: Path) -> str | None:
    """Where a service serves, or served until it was killed; None when there is no file."""
    try:
        found = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        return None
    url = found.get("url") if isinstance(found, dict) else None
    return url if isinstance(url, str) else None


def is_ready(url: str) -> bool:
    """Whether a service there says that it can serve."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
