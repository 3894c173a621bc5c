"""The Celery application of the workers: `celery -A workers.app worker`.

Owns Celery's configuration and the one task. A broker message is only a hint that there is
work: the task claims from the ledger until nothing is left, so hints may be lost, late or
doubled. One pool process per device; torch and CUDA live in its children only.
Never imports torch.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any, Final

from celery import Celery, signals

from service import secrecy
from service.dispatch.broker import TASK, broker_options
from service.ledger.session import Database
from service.settings import Settings
from service.store.objects import ObjectStore
from workers import sandbox
from workers.cache import ObjectCache
from workers.confinement import memory
from workers.confinement.applied import die_with_parent
from workers.fitness import Fitness
from workers.questions import table
from workers.runner import Runner
from workers.sandbox import Confinement, Limits
from workers.shutdown import ShutdownFlag
from workers.supervisor import Supervisor
from workers.tools import Options, Tools

log = logging.getLogger(__name__)

_OPEN_FILES: Final = 16_384

#: Made here, before the pool forks, so that all processes share it.
SHUTDOWN: Final = ShutdownFlag()

_settings = Settings()

app = Celery("lossatlas", broker=_settings.broker_url)
app.conf.update(
    **broker_options(_settings),
    task_ignore_result=True,
    worker_pool="prefork",
    worker_concurrency=1,
    # a busy worker must not sit on the hint that an idle one could follow (Redis only; elsewhere
    # the hint is sent again)
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=_settings.broker_url.startswith(("redis", "valkey")),
    # a pool process connects to the database and the store before it says that it is up
    worker_proc_alive_timeout=120.0,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)

_supervisor: Supervisor | None = None


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def drain(hint: dict[str, Any]) -> int:
    """Carries out units until none is left, the hinted job's first."""
    if _supervisor is None:
        raise RuntimeError("this pool process was not initialised")
    job = hint.get("job")
    return _supervisor.drain(job if isinstance(job, str) else None)


def limits_of(settings: Settings) -> Limits:
    """What a child may use: of memory what is set, else its share of the machine's."""
    memory_bytes = settings.unit_memory_bytes
    if memory_bytes is None:
        memory_bytes = memory.default_limit(settings.workers_per_machine)
    return Limits(settings.threads, memory_bytes, settings.unit_seconds)


def confinement_of(settings: Settings = _settings) -> Confinement:
    """How children are confined here. Raises ConfinementLacking where that is not enough."""
    found = sandbox.describe(settings.child_first_user, table.folders())
    return sandbox.required(found) if settings.confinement == "required" else found


def build_supervisor(settings: Settings, shutdown: ShutdownFlag) -> Supervisor:
    """A supervisor with its own connections."""
    database = Database(settings.database_url, application_name="lossatlas-worker")
    store = ObjectStore.from_settings(settings)
    cache = ObjectCache(
        Path(settings.data_dir) / "cache", limit_bytes=settings.cache_bytes, fetch=store.fetch_to
    )
    runner = Runner(
        limits=limits_of(settings),
        readable=table.folders(),
        confinement=confinement_of(settings),
        inputs=cache.folder,
    )
    options = Options(
        device=settings.device,
        threads=settings.threads,
        tile_seconds=settings.tile_seconds,
        unit_seconds=settings.unit_seconds,
        ingest_seconds=settings.ingest_seconds,
        program_memory_bytes=settings.program_memory_bytes,
        lease_seconds=settings.lease_seconds,
        beat_seconds=min(settings.beat_seconds, settings.cancel_poll_seconds),
        shutdown_seconds=settings.shutdown_seconds,
        curvature_memory_bytes=settings.curvature_memory_bytes,
        memory_bytes=settings.unit_memory_bytes,
    )
    fitness = Fitness(
        cache=cache, runner=runner, ping=store.ping, room_bytes=settings.scratch_bytes
    )
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return Supervisor(Tools(database, store, cache, runner, shutdown, fitness, options, worker))


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _prepare(**_: Any) -> None:
    """In the main process, before the pool forks: what is found out is found out once."""
    secrecy.keep()
    confinement, limits = confinement_of(), limits_of(_settings)
    level = logging.WARNING if confinement.lacking else logging.INFO
    log.log(level, "children are confined by %s", confinement.words)
    log.info("a child may hold %.1f GiB of memory", (limits.memory_bytes or 0) / (1 << 30))
    sandbox.compile_sources()


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _begin(**_: Any) -> None:
    """In a pool process: nothing of the main process's connections is used here."""
    global _supervisor  # noqa: PLW0603 (one per process, and celery's tasks are functions)
    # without its main process this one would work on unseen; its unit is better done elsewhere
    die_with_parent(os.getppid())
    # Ctrl-C reaches the whole group: only the main process decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_files()
    _supervisor = build_supervisor(_settings, SHUTDOWN)
    _supervisor.warm()


def _allow_files() -> None:
    """As many as the system lets us: a trajectory's checkpoints are all held in the cache."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    if _supervisor is not None:
        _supervisor.close()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _shut_down(**_: Any) -> None:
    """In the main process, inside a signal handler: no logging, no locks."""
    SHUTDOWN.set()
