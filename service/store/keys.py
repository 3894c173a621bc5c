"""Object keys: where in the bucket things lie.

Owns the layout. Keys are made from digests and ids only, never from a name that somebody chose, so
that no caller's text reaches the store's namespace.
"""

from __future__ import annotations

import re
from typing import Final

from service.domain.digests import hex_of
from service.domain.ids import is_id

#: What drawn figures are kept as; more than are drawn today does no harm.
_FIGURE: Final = re.compile(r"figures/(lsc_[0-9a-z]{26})/[0-9a-f]{64}\.[a-z0-9]{2,5}")
_OBJECT: Final = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/\1\2[0-9a-f]{60}")
#: Where uploads are put together.
UPLOADS: Final = "uploads/"


def is_ours(key: str) -> bool:
    """Whether a function of this module could have made the key: others may use the bucket too."""
    return bool(_OBJECT.fullmatch(key) or _FIGURE.fullmatch(key)) or uploaded(key) is not None


def uploaded(key: str) -> str | None:
    """The upload (`upl_…`) that is put together at `key`; None for any other key."""
    identity = key.removeprefix(UPLOADS)
    return identity if key.startswith(UPLOADS) and is_id("upl", identity) else None


def object_key(digest: str) -> str:
    """Where the bytes of this digest lie. Raises ValueError when `digest` is not one.

    Two levels of folders keep any one listing short in stores that have real folders.
    """
    digits = hex_of(digest)
    return f"objects/{digits[:2]}/{digits[2:4]}/{digits}"


def upload_key(upload_id: str) -> str:
    """Where an upload (`upl_…`) is put together before it is verified.

    Raises:
        ValueError: not an upload's id.
    """
    return require_upload_key(f"{UPLOADS}{upload_id}")


def figure_key(landscape_id: str, name: str, extension: str) -> str:
    """Where a drawn figure is kept; `name` is the digest of what was asked for.

    Raises:
        ValueError: not a landscape's id, not a digest, or an extension that is none.
    """
    return require_figure_key(f"figures/{landscape_id}/{hex_of(name)}.{extension}")


def require_upload_key(key: str) -> str:
    """`key`, if `upload_key` could have made it; ValueError otherwise."""
    if uploaded(key) is None:
        raise ValueError(f"not an upload's key: {key!r}; expected uploads/upl_…")
    return key


def require_figure_key(key: str) -> str:
    """`key`, if `figure_key` could have made it; ValueError otherwise."""
    match = _FIGURE.fullmatch(key)
    if match is None or not is_id("lsc", match[1]):
        raise ValueError(f"not a figure's key: {key!r}; expected figures/lsc_…/<64 hex>.<ext>")
    return key
