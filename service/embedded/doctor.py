"""`lossatlas-server doctor`: what this machine has, what it lacks, and what to do about it.

Owns the questions. Each is answered by trying: programs are run, not looked for. Changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from service.embedded import broker, endpoint, graphics, ports, postgres, s3
from service.embedded.root import unprivileged
from service.embedded.servers import NotInstalled

_SECONDS: Final = 120.0

#: The servers and a few results; a demonstration takes a third of it.
_FREE_BYTES: Final = 1 << 30

#: Printed by a child, so that this process needs neither torch nor the workers.
_TORCH: Final = (
    "import torch\n"
    "gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]\n"
    "print(torch.__version__ + '; ' + (', '.join(gpus) or 'no CUDA device, CPU only'))"
)
#: The settings, since a name of theirs decides; the first word is how many things are lacking.
_CONFINEMENT: Final = (
    "from service.settings import Settings\n"
    "from workers import sandbox\n"
    "found = sandbox.describe(Settings().child_first_user)\n"
    "print(len(found.lacking), found.words)"
)


@dataclass(frozen=True)
class Finding:
    """`bad` keeps the service from working here, `note` does not."""

    state: Literal["ok", "note", "bad"]
    subject: str
    words: str


def main(folder: Path) -> int:
    """Prints every finding; 1 if any is bad, otherwise 0."""
    bad = False
    for finding in examine(folder):
        bad = bad or finding.state == "bad"
        sys.stdout.write(f"{finding.state:<5} {finding.subject:<12} {finding.words}\n")
        sys.stdout.flush()
    return int(bad)


def examine(folder: Path) -> Iterator[Finding]:
    """The findings, one by one as they are made. `folder` is the data folder of `up`."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    enough = sys.version_info >= (3, 11)
    yield Finding(
        "ok" if enough else "bad", "Python", version + ("" if enough else "; 3.11 is needed")
    )
    yield _asked(
        "PyTorch", [sys.executable, "-P", "-c", _TORCH], "pip install 'lossatlas-server[workers]'"
    )
    devices = graphics.visible_devices()
    yield Finding(
        "ok" if devices else "note",
        "GPUs",
        f"{len(devices)}, one worker each" if devices else "none; workers compute on the CPU",
    )
    yield _server(
        "Postgres", "DATABASE_URL", lambda: postgres.find_binaries() / "postgres", ["--version"]
    )
    yield _server("SeaweedFS", "S3_ENDPOINT", s3.find_binary, ["version"])
    yield _server("Valkey", "BROKER_URL", broker.find_binary, ["--version"])
    yield Finding("ok", "Postgres as", unprivileged().words)
    yield _confinement()
    yield _disk(folder)
    yield _port()
    yield _running(folder)


def _confinement() -> Finding:
    """What cannot be had is bad only where it is required."""
    asked = _asked("Confinement", [sys.executable, "-P", "-c", _CONFINEMENT], "")
    if asked.state != "ok":
        return asked
    lacking, _, words = asked.words.partition(" ")
    if lacking == "0":
        return Finding("ok", "Confinement", words)
    is_required = os.environ.get("LOSSATLAS_CONFINEMENT") == "required"
    return Finding("bad" if is_required else "note", "Confinement", words)


def _server(subject: str, variable: str, find: Callable[[], Path], version: list[str]) -> Finding:
    if os.environ.get(variable):
        return Finding("ok", subject, f"{variable} is given; the embedded one is not used")
    try:
        binary = find()
    except NotInstalled as missing:
        return Finding("bad", subject, str(missing))
    return _asked(subject, [str(binary), *version], "install it again", f" ({binary})")


def _asked(subject: str, command: list[str], remedy: str, more: str = "") -> Finding:
    """The first line that a command prints."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("bad", subject, f"{error}; {remedy}")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Finding("bad", subject, f"{last}; {remedy}" if remedy else last)
    return Finding("ok", subject, done.stdout.strip().splitlines()[0] + more)


def _disk(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    words = f"{free / (1 << 30):.1f} GiB free for {folder}"
    if not os.access(existing, os.W_OK):
        return Finding("bad", "Disk", f"{existing} cannot be written to; choose another by --data")
    if free < _FREE_BYTES:
        return Finding("bad", "Disk", f"{words}; at least 1 GiB is needed")
    return Finding("ok", "Disk", words)


def _port() -> Finding:
    try:
        ports.hold_one(8000).release()
        for one in ports.hold(9):
            one.release()
    except ports.PortInUse as error:
        return Finding("note", "Ports", f"{error}; `up` takes another")
    except OSError as error:
        return Finding("bad", "Ports", str(error))
    return Finding("ok", "Ports", "8000 and what the servers need are free on loopback")


def _running(folder: Path) -> Finding:
    url = endpoint.read_url(folder)
    if url is None:
        return Finding("note", "Running", f"nothing serves from {folder}")
    if endpoint.is_ready(url):
        return Finding("ok", "Running", f"{url}, from {folder}")
    return Finding("note", "Running", f"{folder} names {url}, which is not ready to serve")
