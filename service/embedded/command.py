"""`lossatlas-server`: run the whole service here, show it, examine the machine, migrate.

Owns arguments, exit statuses and the lines that people read. Status 0: done; 1: something
failed; 2: refused, and the line says what to change.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from pydantic import ValidationError

from service import telemetry
from service.domain.problems import Problem
from service.embedded.processes import ProcessFailed
from service.embedded.refusal import Refused
from service.embedded.servers import NotInstalled

_MOST_WORKERS: Final = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status."""
    chosen = _parser().parse_args(argv)
    telemetry.configure("WARNING")
    try:
        return int(chosen.run(chosen))
    except Refused as refused:
        return _fail(str(refused), 2)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        return _fail(f"the setting {name} is not valid: {fault['msg']}", 2)
    except NotInstalled as missing:
        return _fail(str(missing), 2)
    except Problem as problem:
        return _fail(problem.detail, 1)
    except (ProcessFailed, OSError, ValueError, psycopg.Error) as error:
        return _fail(str(error), 1)


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


def _migrate(_chosen: argparse.Namespace) -> int:
    from service.ledger import schema
    from service.settings import Settings
    from service.store.objects import ObjectStore

    settings = Settings()
    began = time.monotonic()
    schema.upgrade(settings.database_url)
    ObjectStore.from_settings(settings).ensure_bucket()
    _say(f"The schema is at {schema.head_revision()} after {time.monotonic() - began:.1f} s.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossatlas-server", description="Loss landscapes as a service, on this machine."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    up = commands.add_parser(
        "up",
        help="run everything until Ctrl-C",
        description="Runs Postgres, an S3 server, a broker, the API, the relay and workers. "
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
    up.set_defaults(run=_up)
    demo = commands.add_parser("demo", help="train two networks and map them: demo-output/")
    demo.set_defaults(run=_demo)
    gallery = commands.add_parser(
        "gallery",
        help="train and map the networks of Li et al. (2018): gallery-output/",
        description="SIZE chooses how much: small, standard (if left out) or full, which trains "
        "the paper's networks on a CUDA device with the images of the file that IMAGES names.",
    )
    gallery.set_defaults(run=_gallery)
    doctor = commands.add_parser("doctor", help="say what this machine has and lacks")
    _add_data(doctor)
    doctor.set_defaults(run=_doctor)
    migrate = commands.add_parser(
        "migrate",
        help="bring the database of DATABASE_URL up to date, make the bucket",
    )
    migrate.set_defaults(run=_migrate)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("LOSSATLAS_DATA_DIR") or ".lossatlas"),
        help="folder that holds everything, %(default)s if left out",
    )


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


if __name__ == "__main__":
    sys.exit(main())
