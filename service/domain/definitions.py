"""The version of the definitions that numbers are computed under, and what follows from another.

Owns the version and the words for it; never the definitions themselves, which are written down in
`openapi/docs/definitions.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from service.domain.digests import digest_json

#: Raised whenever a definition changes that moves a value; "Versions of these definitions" in
#: `openapi/docs/definitions.md` lists what each version changed.
VERSION: Final = 2
DEFINITIONS: Final = f"lossatlas numerics {VERSION}"
#: Those of plans from before plans named any.
FIRST: Final = "lossatlas numerics 1"

_VERSION: Final = re.compile(r"lossatlas numerics ([1-9][0-9]{0,8})")


def version_of(definitions: Any) -> int | None:
    """The number in a version's name; None for what is no such name."""
    found = _VERSION.fullmatch(definitions) if isinstance(definitions, str) else None
    return None if found is None else int(found[1])


def outdated(provenance: Mapping[str, Any]) -> str | None:
    """What to know of a result computed under older definitions, in words; None for any other."""
    named = provenance.get("definitions")
    version = version_of(named)
    if version is None or version >= VERSION:
        return None
    return (
        f"Computed under older definitions ({named}; those of today are {DEFINITIONS}), so that "
        "some of its numbers mean something else than they would now. Submit its job again for "
        "today's; see “Versions of these definitions” in the documentation."
    )


def unlike(first: Any, second: Any) -> str | None:
    """Why numbers under these two cannot be held against each other, in words; None if they can."""
    if first == second:
        return None
    one, other = version_of(first), version_of(second)
    said = f"they were computed under different definitions ({_name(first)} and {_name(second)})"
    if one is None or other is None:
        return said
    older = "first" if one < other else "second"
    return f"{said}; submit the job of the {older} again, to have it under the newer ones"


def direction_digest(spec: Mapping[str, Any]) -> str:
    """Names a direction's spec together with the definitions that its tensors are made under.

    Tensors that are given, or are a difference of weights as they are, depend on no definition.
    """
    given = spec.get("kind") in ("uploaded", "between") and spec.get("normalize") == "none"
    if given:
        return digest_json(spec)
    return digest_json({"definitions": DEFINITIONS, "spec": spec})


def is_of_today(spec: Mapping[str, Any], digest: str) -> bool:
    """Whether a recorded direction was recorded under today's definitions.

    Args:
        spec: as recorded.
        digest: as recorded beside it.
    """
    return direction_digest(spec) == digest


def _name(definitions: Any) -> str:
    return definitions if isinstance(definitions, str) else "none named"
