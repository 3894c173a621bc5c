"""What a child is told of its confinement, as the first argument of its command line.

Owns the argument's spelling; holds no secret, since command lines are for everybody to read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class Terms:
    """How a process confines itself.

    Attributes:
        parent: process that it dies with; 0 where a process namespace hides that.
        folder: working folder, through which it is given files; None for `/`.
        memory_bytes: of private memory; None for no limit.
        cpu_seconds: of processor time for each request; None for no limit.
        threads: that it computes with, beside those of the libraries.
        user: the user id that it takes is this and its process id; None keeps the one it has.
        alone: whether it is the only one of its user, in a namespace at least.
        namespace: whether it enters a user namespace of its own, without network.
        readable: the only paths that may be read, where the kernel has Landlock; None for all.
        devices: the only ones that may also be written to.
        filtered: whether system calls are filtered.
    """

    parent: int = 0
    folder: str | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    threads: int = 1
    user: int | None = None
    alone: bool = False
    namespace: bool = False
    readable: tuple[str, ...] | None = None
    devices: tuple[str, ...] = ()
    filtered: bool = False

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, argument: str) -> Self:
        fields = json.loads(argument)
        readable = fields.pop("readable")
        devices = fields.pop("devices")
        return cls(
            **fields,
            readable=None if readable is None else tuple(readable),
            devices=tuple(devices),
        )
