"""Headers of every answer that tell browsers what not to do with it.

Owns which they are and what they say where an answer says nothing of its own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

#: A year, for this host alone: of others below it nothing is known here.
_TRANSPORT: Final = "max-age=31536000"

#: Nothing that we serve runs scripts, loads anything or belongs into a frame; an SVG's own
#: styles may apply.
DEFAULTS: Final = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "Cache-Control": "no-store",
    }
)

#: What browsers heed, and do not complain of, over https alone.
_OVER_HTTPS: Final = {
    "Strict-Transport-Security": _TRANSPORT,
    "Cross-Origin-Opener-Policy": "same-origin",
}


def defaults(*, https: bool) -> dict[str, str]:
    """Those of an answer that has none of its own.

    Args:
        https: whether people reach the service by it; browsers then never try anything else.
    """
    return {**DEFAULTS, **(_OVER_HTTPS if https else {})}
