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
        user: id that it takes; None keeps the one it has.
        alone: whether it is the only one of its user, in a namespace at least.
        namespace: whether it enters a user namespace of its own, without network.
        readable: the paths that are given to it.
        devices: the devices that are, which it may write to.
        own_root: whether it enters a file system that holds nothing else.
        landlock: whether the kernel refuses it everything else.
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
    readable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    own_root: bool = False
    landlock: bool = False
    filtered: bool = False

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, argument: str) -> Self:
        fields = json.loads(argument)
        readable, devices = tuple(fields.pop("readable")), tuple(fields.pop("devices"))
        return cls(**fields, readable=readable, devices=devices)
