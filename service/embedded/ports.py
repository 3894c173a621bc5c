"""Free ports on loopback, held until the program that wants them starts.

Owns the choice only. Ports come from below the range that the kernel gives to outgoing
connections, so that a server which restarts finds its port as it left it.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterable
from typing import Final

LOOPBACK: Final = "127.0.0.1"

_LOWEST: Final = 15_000
_HIGHEST: Final = 32_000
_TRIES: Final = 2_000

#: Which ports are free is nobody's secret; two stacks that start at once should differ.
_RANDOM: Final = random.SystemRandom()


class PortInUse(Exception):
    """Another program listens on the port."""

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        super().__init__(f"port {port} of {host} is in use by another program")
        self.port = port


class Held:
    """A port that nobody else can take until `release`."""

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        """Raises PortInUse, or OSError when the port may not be used at all."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            # connections of a server that has just ended linger, and do not count
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            # merely bound it could be bound again
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(port, host) from error
            raise
        self.port: int = self._socket.getsockname()[1]

    def release(self) -> int:
        """The port, free to be bound by the program that is about to start."""
        self._socket.close()
        return self.port


def hold(count: int, wanted: Iterable[int] = ()) -> list[Held]:
    """Holds `count` ports: all those wanted if they are all free, otherwise any others.

    Raises:
        OSError: there are not enough free ports.
    """
    held: list[Held] = []
    try:
        held = [Held(port) for port in wanted]
        if len(held) == count:
            return held
    except PortInUse:
        pass
    for one in held:
        one.release()
    held = []
    for _ in range(_TRIES):
        if len(held) == count:
            return held
        try:
            held.append(Held(_RANDOM.randrange(_LOWEST, _HIGHEST)))
        except PortInUse:
            continue
    for one in held:
        one.release()
    raise OSError(errno.EADDRINUSE, f"fewer than {count} ports of {LOOPBACK} are free")


def hold_one(port: int, host: str = LOOPBACK) -> Held:
    """Holds this very port; 0 is any. Raises PortInUse."""
    return Held(port, host) if port else hold(1)[0]
