"""`lossatlas-server`: every process of the service, and what an operator does by hand.

Owns arguments, exit statuses and the lines that people read; what runs is the other modules'.
Status 0: done; 1: something failed; 2: refused, and the line says what to change.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psycopg
from pydantic import TypeAdapter, ValidationError

from service import secrecy, telemetry
from service.domain.ids import ProjectName
from service.domain.problems import Problem
from service.embedded.processes import ProcessFailed
from service.embedded.refusal import Refused
from service.embedded.servers import NotInstalled
from service.ledger.schema import StaleSchema
from service.settings import Settings

_MOST_WORKERS: Final = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status."""
    chosen = _parser().parse_args(argv)
    telemetry.configure("WARNING")
    try:
        return int(chosen.run(chosen))
    except (Refused, NotInstalled) as refused:
        return _fail(str(refused), 2)
    except ValidationError as error:
        return _fail(f"the settings are not valid: {_faults(error)}", 2)
    except Problem as problem:
        return _fail(problem.detail, 1)
    except (ProcessFailed, StaleSchema, OSError, ValueError, psycopg.Error) as error:
        return _fail(str(error), 1)


# What is imported is what the command needs: the doctor no FastAPI, the API no server's wheel.


def _api(_chosen: argparse.Namespace) -> int:
    from service import main

    settings = _process_settings()
    secrecy.keep()
    main.api(settings)
    return 0


def _relay(_chosen: argparse.Namespace) -> int:
    from service import main

    settings = _process_settings()
    secrecy.keep()
    main.relay(settings)
    return 0


def _worker(chosen: argparse.Namespace) -> int:
    if importlib.util.find_spec("torch") is None:
        raise Refused("workers need PyTorch: pip install 'lossatlas-server[workers]'")
    given = [f"--queues={chosen.queues}", f"--name={chosen.name}"]
    # in this process's place, as signals and supervisors expect it; the service knows no workers.
    # -P: what lies in the working folder is not what runs
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", *given])  # noqa: S606


def _migrate(_chosen: argparse.Namespace) -> int:
    from service.ledger import schema
    from service.store.objects import ObjectStore

    settings = Settings()
    began = time.monotonic()
    schema.upgrade(settings.database_url)
    ObjectStore.from_settings(settings).ensure_bucket()
    _say(f"The schema is at {schema.head_revision()} after {time.monotonic() - began:.1f} s.")
    return 0


def _create_key(chosen: argparse.Namespace) -> int:
    from service import main

    secret = main.create_key(
        _process_settings(),
        name=chosen.name,
        role=chosen.role,
        projects=chosen.project,
        can_promote=chosen.can_promote,
    )
    _say(secret)
    return 0


def _openapi(_chosen: argparse.Namespace) -> int:
    from service import main

    sys.stdout.write(main.openapi_text())
    return 0


def _up(chosen: argparse.Namespace) -> int:
    from service.embedded import stack

    telemetry.configure("INFO")
    stack.up(
        stack.Wishes(folder=chosen.data.absolute(), port=chosen.port, workers=chosen.workers),
        _say,
    )
    return 0


def _demo(_chosen: argparse.Namespace) -> int:
    from service.embedded import demo

    return int(demo.main())


def _gallery(_chosen: argparse.Namespace) -> int:
    from service.embedded import demo

    return int(demo.main(demo.GALLERY))


def _doctor(chosen: argparse.Namespace) -> int:
    from service.embedded import doctor

    return doctor.main(chosen.data.absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossatlas-server", description="Loss landscapes as a service."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], help: str, description: str = ""
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=description or help)
        added.set_defaults(run=run)
        return added

    _add_up(add)
    add("demo", _demo, "train two networks and map them: demo-output/")
    add(
        "gallery",
        _gallery,
        "train and map the networks of Li et al. (2018): gallery-output/",
        "SIZE chooses how much: small, standard (if left out) or full, which trains the paper's "
        "networks on a CUDA device with the images of the file that IMAGES names.",
    )
    _add_data(add("doctor", _doctor, "say what this machine has and lacks"))
    add("api", _api, "serve HTTP until SIGTERM or SIGINT")
    add("relay", _relay, "carry hints to the broker until SIGTERM or SIGINT")
    _add_worker(add)
    add("migrate", _migrate, "bring the database of DATABASE_URL up to date, make the bucket")
    _add_create_key(add)
    add("openapi", _openapi, "write the OpenAPI document; needs no server")
    return parser


_Add = Callable[..., argparse.ArgumentParser]


def _add_up(add: _Add) -> None:
    up = add(
        "up",
        _up,
        "run everything here until Ctrl-C",
        "Runs Postgres, an S3 server, a broker, the API, the relay and workers. "
        "DATABASE_URL, S3_ENDPOINT and BROKER_URL each take the place of one server.",
    )
    _add_data(up)
    up.add_argument(
        "--port",
        type=_port,
        help="of the API; 0 for any. Left out: LOSSATLAS_PORT, or 8000, or any if that is in use",
    )
    up.add_argument(
        "--workers",
        type=_count,
        default=_default_workers(),
        help="worker processes, %(default)s if left out",
    )


def _add_worker(add: _Add) -> None:
    worker = add("worker", _worker, "compute, a unit at a time, until SIGTERM or SIGINT")
    worker.add_argument("--queues", default="cpu", help="to listen to, comma-separated")
    worker.add_argument("--name", default="worker@%h", help="Celery's name for this worker")


def _add_create_key(add: _Add) -> None:
    key = add("create-key", _create_key, "make a key and write its secret, alone, to stdout")
    key.add_argument("--name", required=True, help="Whose key this is.")
    key.add_argument("--role", required=True, choices=("reader", "submitter", "admin"))
    key.add_argument(
        "--project",
        action="append",
        type=_project,
        help="May be given several times; left out: all projects.",
    )
    key.add_argument(
        "--can-promote",
        action="store_true",
        help="May move aliases, which others are judged against.",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("LOSSATLAS_DATA_DIR") or ".lossatlas"),
        help="folder that holds everything, %(default)s if left out",
    )


def _process_settings() -> Settings:
    """The settings of a process of the service, which logs as they say."""
    settings = Settings()
    telemetry.configure(settings.log_level, as_json=settings.log_json)
    return settings


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )


def _project(text: str) -> str:
    try:
        return TypeAdapter[str](ProjectName).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no project's name: lower case letters, digits, '.', '_', '-'"
        ) from None


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers: 0 to 1024")
    return int(text)


def _default_workers() -> int:
    from service.embedded.graphics import visible_devices

    return len(visible_devices()) or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(why: str, status: int) -> int:
    sys.stderr.write(f"lossatlas-server: {why}\n")
    return status
