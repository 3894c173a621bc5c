"""Links to single figures as steps: made, and ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from lossatlas.steps import Call, Steps, call
from lossatlas.values import MadeShare, Share


def making(
    service: str, landscape: str, expires_in: timedelta | float | None, figure: Mapping[str, Any]
) -> Steps[MadeShare]:
    """A link to a landscape's figure; see `Client.share`.

    Args:
        service: its address, which a service that does not know its own leaves out of links.
    """
    body: dict[str, Any] = {"figure": {k: v for k, v in figure.items() if v is not None}}
    if isinstance(expires_in, timedelta):
        expires_in = expires_in.total_seconds()
    if expires_in is not None:
        body["expires_in"] = int(expires_in)
    answer = yield from call(Call("POST", f"/v1/landscapes/{landscape}/shares", json_body=body))
    made = MadeShare.model_validate(answer.json())
    return made.model_copy(update={"url": urljoin(f"{service}/", made.url)})


def ending(share: str) -> Steps[Share]:
    """Ends a link; what it was."""
    answer = yield from call(Call("DELETE", f"/v1/shares/{share}"))
    return Share.model_validate(answer.json())
