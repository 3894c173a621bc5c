"""Which claims of a CI system's identity token a trust may ask for, and whether a token has them.

Ids and not names say whose repository it is: a name can be given up and taken by somebody else,
who must not inherit its trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: What says whose repository it is: GitHub's claims, or GitLab's. One pair has to be there whole.
OWNERSHIP: Final = (("repository_id", "repository_owner_id"), ("project_id", "namespace_id"))


def owned(claims: Mapping[str, str]) -> bool:
    """Whether these claims pin a repository and its owner by their ids."""
    return any(all(_is_number(claims.get(name)) for name in pair) for pair in OWNERSHIP)


def differing(asked: Mapping[str, str], claims: Mapping[str, Any]) -> list[str]:
    """Names of the claims that a token lacks or has otherwise, sorted; empty where it fits."""
    return sorted(name for name, value in asked.items() if _text(claims.get(name)) != value)


def _text(value: Any) -> str | None:
    """A claim as text: providers write ids and truths as text, some as JSON's own."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return None


def _is_number(value: str | None) -> bool:
    return value is not None and value.isascii() and value.isdigit()
