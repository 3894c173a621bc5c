"""The table of the workers' halves: the folder of every kind of question.

A new kind is a folder beside this file and a line here. Owns where a half lies; loads a
supervisor's half when it is first needed, and a child's half never, since that is the child's.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from workers.protocol import Half
from workers.questions.supervising import Supervising

_HERE: Final = "workers.questions"

#: Packages with the modules `supervising` and `computing`, each of which has its half as `HALF`.
_TABLE: Final[dict[str, str]] = {
    "interpolation": f"{_HERE}.interpolation",
    "line": f"{_HERE}.line",
    "surface": f"{_HERE}.surface",
    "trajectory": f"{_HERE}.trajectory",
    "curvature": f"{_HERE}.curvature",
}


def register(kind: str, package: str) -> None:
    """Adds a kind, in the supervisor's process alone: the child is told where its half is.

    Args:
        package: that has the modules `supervising` and `computing`.
    Raises:
        ValueError: there is one of this name.
    """
    if kind in _TABLE:
        raise ValueError(f"there are halves for questions of kind {kind!r} already")
    _TABLE[kind] = package


def kinds() -> tuple[str, ...]:
    """Every kind that there are halves for."""
    return tuple(_TABLE)


def supervising(kind: str) -> Supervising[Any]:
    """The supervisor's half. Raises ValueError for a kind without halves."""
    half: Supervising[Any] = import_module(f"{_package(kind)}.supervising").HALF
    return half


def computing(kind: str) -> Half:
    """Where the child's half is. Raises ValueError for a kind without halves."""
    package = _package(kind)
    outside = _outside(package)
    return Half(
        module=f"{package}.computing", folder=None if outside is None else str(outside.parent)
    )


def folders() -> list[Path]:
    """What children must be able to read beside the workers' own code."""
    found = dict.fromkeys(_outside(package) for package in _TABLE.values())
    return [folder for folder in found if folder is not None]


def _package(kind: str) -> str:
    package = _TABLE.get(kind)
    if package is None:
        raise ValueError(f"workers have no halves for questions of kind {kind!r}")
    return package


def _outside(package: str) -> Path | None:
    """The folder of the distribution's package that a kind is in; None for the workers' own."""
    top = package.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return None
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {top!r}")
    return Path(next(iter(spec.submodule_search_locations))).resolve()
