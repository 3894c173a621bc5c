"""The whole service on this machine: servers, API, relay and workers as one command's children.

Owns the order: what starts beside what, what must be ready before what, and how all of it
stops. Servers that the environment names (`DATABASE_URL`, `S3_ENDPOINT`, `BROKER_URL`) are used
and not started. The truth is in Postgres: a new `up` goes on where the last one was.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service import secrecy
from service.domain.problems import Problem
from service.embedded import endpoint, first_key, locking, ports
from service.embedded.broker import Broker
from service.embedded.graphics import visible_devices
from service.embedded.postgres import Postgres
from service.embedded.processes import Child, Program, stop, wait_until
from service.embedded.refusal import Refused
from service.embedded.s3 import S3
from service.embedded.servers import Server
from service.embedded.signals import Signals, Stopped, noted
from service.embedded.tending import Tended, tend
from service.ledger import schema
from service.ledger.session import Database
from service.settings import Settings
from service.store.objects import ObjectStore

log = logging.getLogger(__name__)

_SERVER_SECONDS: Final = 90.0
_API_SECONDS: Final = 60.0

#: Together below the 10 s within which everything is gone. A unit in hand gets the first part of
#: the workers' time and is otherwise given back to the ledger.
_UNIT_SECONDS: Final = 4.0
_PROGRAMS_SECONDS: Final = 6.0
_POSTGRES_SECONDS: Final = 2.0

#: SeaweedFS waits for its own clients when asked to stop; killed, it has lost nothing, for it
#: keeps no data in memory.
_S3_SECONDS: Final = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What the user of `up` chose. `port` None: 8000 if it is free, else any; 0: any."""

    folder: Path
    port: int | None
    workers: int


@dataclass
class Stack:
    """What is running. Filled as it starts, so that a stop in the middle stops just that."""

    wishes: Wishes
    signals: Signals
    say: Say
    environment: dict[str, str | None] = field(default_factory=dict)
    servers: list[tuple[Server, Tended]] = field(default_factory=list)
    programs: list[Tended] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.wishes.folder / "logs"

    def start(self) -> None:
        """Returns when the service serves and `endpoint.json` says so.

        Raises Refused, ProcessFailed, Problem, NotInstalled or Stopped; `stop` is then due.
        """
        began = time.monotonic()
        endpoint.remove(self.wishes.folder)
        host = os.environ.get("LOSSATLAS_HOST", ports.LOOPBACK)
        port = _hold_port(self.wishes.port, host)
        self.environment |= {
            "LOSSATLAS_DATA_DIR": str(self.wishes.folder),
            "LOSSATLAS_HOST": host,
            "LOSSATLAS_PORT": str(port.port),
            "LOSSATLAS_SHUTDOWN_SECONDS": str(_UNIT_SECONDS),
        }
        self._start_servers()
        settings = self._settings()
        key = self._prepare(settings)
        port.release()
        self._start_programs()
        url = f"http://{_reachable(host)}:{port.port}"
        self._await_api(url, began)
        endpoint.write(self.wishes.folder, url=url, key=key)

    def tend(self) -> None:
        """Keeps everything running. Ends by Stopped."""
        tend([*(tended for _, tended in self.servers), *self.programs], self.signals.pause)

    def stop(self) -> None:
        """Stops what runs, those first that need the others. Never raises, takes below 10 s."""
        endpoint.remove(self.wishes.folder)
        killed = stop([one.child for one in self.programs], _PROGRAMS_SECONDS, self.signals.rest)
        for kind, seconds in ((Broker, 1.0), (S3, _S3_SECONDS), (Postgres, _POSTGRES_SECONDS)):
            for server, tended in self.servers:
                if isinstance(server, kind):
                    named = stop([tended.child], seconds, self.signals.rest)
                    killed += named if kind is not S3 else []
                    server.clear()
        for name in killed:
            log.warning("%s did not stop in time and was killed", name)

    def _start_servers(self) -> None:
        """All of them beside each other, the slowest to be ready first."""
        folder = self.wishes.folder
        given = {name for name in ("DATABASE_URL", "S3_ENDPOINT", "BROKER_URL") if _given(name)}
        wanted: list[Server] = []
        if "S3_ENDPOINT" not in given:
            wanted.append(S3(folder / "s3", self.logs))
        if "BROKER_URL" not in given:
            wanted.append(Broker(folder / "broker", self.logs))
        if "DATABASE_URL" not in given:
            wanted.append(Postgres(folder / "postgres", self.logs))
        for name in sorted(given):
            self.say(f"{name} is given: that server is used")
        for server in wanted:
            self.servers.append((server, Tended(server.name, server.start, server.start())))
        # the slowest last: a database is created while it still starts
        waiting = [*wanted[1:], *wanted[:1]]

        def all_ready() -> bool:
            for server in [one for one in waiting if one.ready()]:
                waiting.remove(server)
                self._take(server)
            return not waiting

        wait_until(
            all_ready,
            what=" and ".join(server.name for server in wanted),
            seconds=_SERVER_SECONDS,
            pause=self.signals.pause,
        )

    def _take(self, server: Server) -> None:
        """A server is ready."""
        self.environment |= server.environment()
        seconds = server.child.seconds if server.child else 0.0
        self.say(f"{server.name:<10} {server.where}, ready in {seconds:.1f} s")
        if isinstance(server, Postgres):
            server.create_database("lossatlas")

    def _settings(self) -> Settings:
        """The children's settings, as they will read them from their environment."""
        fields: dict[str, str] = {
            name: value for name, value in self.environment.items() if value is not None
        }
        # by the variables' own names, which the model takes beside its fields'
        return Settings(**{_field(name): value for name, value in fields.items()})  # type: ignore[arg-type]

    def _prepare(self, settings: Settings) -> str:
        """Schema, first key and bucket; the key's secret."""
        began = time.monotonic()
        schema.upgrade(settings.database_url)
        database = Database(settings.database_url, application_name="lossatlas-up", pool_size=1)
        try:
            key = first_key.obtain(database, self.wishes.folder / "key")
        finally:
            database.dispose()
        store = ObjectStore.from_settings(settings)
        wait_until(
            lambda: _made_bucket(store),
            what="the bucket",
            seconds=_SERVER_SECONDS,
            pause=self.signals.pause,
        )
        self.say(f"{'Ledger':<10} schema, key and bucket, {time.monotonic() - began:.1f} s")
        return key

    def _start_programs(self) -> None:
        self._run("API", "api.log", ["service", "api"])
        self._run("relay", "relay.log", ["service", "relay"])
        devices = visible_devices()
        queues = "gpu,cpu" if devices else "cpu"
        shared = os.environ.get("LOSSATLAS_WORKERS_PER_MACHINE") or str(self.wishes.workers)
        for number in range(1, self.wishes.workers + 1):
            own: dict[str, str | None] = {"LOSSATLAS_WORKERS_PER_MACHINE": shared}
            if devices:
                own["CUDA_VISIBLE_DEVICES"] = devices[(number - 1) % len(devices)]
            self._run(
                f"worker {number}",
                f"worker-{number}.log",
                ["workers", "--queues", queues, "--name", f"worker-{number}@%h"],
                own,
            )

    def _run(
        self,
        name: str,
        log_name: str,
        module: list[str],
        own: Mapping[str, str | None] | None = None,
    ) -> None:
        program = Program(
            name=name,
            # -P: what lies in the folder where `up` was called is not what runs
            arguments=[sys.executable, "-P", "-m", *module],
            log=self.logs / log_name,
            environment={**self.environment, **(own or {})},
        )
        self.programs.append(Tended(name, lambda: Child(program), Child(program)))

    def _await_api(self, url: str, began: float) -> None:
        api = self.programs[0].child

        def ready() -> bool:
            api.require_running()
            return endpoint.is_ready(url)

        wait_until(ready, what="the API", seconds=_API_SECONDS, pause=self.signals.pause)
        self.say(f"{'API':<10} {url}, ready in {api.seconds:.1f} s")
        workers = [one.child.pid for one in self.programs[2:]]
        self.say(f"{'Workers':<10} {len(workers)}, processes {', '.join(map(str, workers))}")
        self.say(f"{'Logs':<10} {self.logs}")
        self.say(f"Lossatlas serves at {url} after {time.monotonic() - began:.1f} s.")


def up(wishes: Wishes, say: Say) -> None:
    """Runs the service until Ctrl-C or SIGTERM.

    Raises:
        Refused: the folder or the port is in use, or a setting cannot be right.
        ProcessFailed: something did not start; everything is stopped again.
        Problem: a given server is away.
        NotInstalled: a wheel is missing.
    """
    # it hands the servers' secrets on to its children by their environment
    secrecy.close_memory()
    with noted() as signals, locking.held(wishes.folder):
        stack = Stack(wishes, signals, say)
        try:
            stack.start()
            say(
                f"The key is in {wishes.folder / endpoint.NAME}, where the client and the command "
                "line find it. Ctrl-C stops everything."
            )
            stack.tend()
        except Stopped:
            say("Stopping.")
        finally:
            began = time.monotonic()
            stack.stop()
            say(f"Stopped in {time.monotonic() - began:.1f} s.")


def _given(name: str) -> bool:
    return bool(os.environ.get(name))


def _field(variable: str) -> str:
    return variable.removeprefix("LOSSATLAS_").lower()


def _hold_port(wanted: int | None, host: str) -> ports.Held:
    """Raises Refused when the port that was asked for is not to be had."""
    chosen = wanted
    if chosen is None and _given("LOSSATLAS_PORT"):
        text = os.environ["LOSSATLAS_PORT"]
        if not text.isdigit() or int(text) > 65_535:
            raise Refused(f"LOSSATLAS_PORT is {text!r}, which is no port")
        chosen = int(text)
    try:
        if chosen is not None:
            return ports.hold_one(chosen, host)
        try:
            return ports.hold_one(8000, host)
        except ports.PortInUse:
            return ports.hold_one(0, host)
    except ports.PortInUse as error:
        raise Refused(f"{error}; choose another by --port, or --port 0 for any") from error
    except OSError as error:
        raise Refused(f"{host} port {chosen} cannot be used: {error.strerror}") from error


def _reachable(host: str) -> str:
    """The host as this machine's own clients reach it."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        return ports.LOOPBACK if host == "0.0.0.0" else "[::1]"  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _made_bucket(store: ObjectStore) -> bool:
    """False while the server cannot be reached."""
    try:
        store.ensure_bucket()
    except Problem as problem:
        if problem.code != "unavailable":
            raise
        return False
    return True
