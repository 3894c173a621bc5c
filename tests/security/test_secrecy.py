"""Processes keep their secrets to themselves, once they have read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from service import secrecy
from service.settings import Settings
from tests.support.live import Live

_PROGRAM = """
import json, os
from pathlib import Path
from service import secrecy
from service.settings import Settings
settings = Settings()
secrecy.keep()
print(json.dumps({
    "environ": Path("/proc/self/environ").read_text(),
    "variables": dict(os.environ),
    "read": settings.database_url,
}))
"""


def test_no_setting_that_is_secret_is_forgotten() -> None:
    fields = Settings.model_fields.items()
    secret = {name for name, field in fields if field.annotation is SecretStr}
    # by their names, as a setting to come would have one
    # (numbers are no secrets: how many answers are held per key)
    telling = {
        name
        for name, field in fields
        if name.endswith(("_key", "_secret", "_password", "_token")) and field.annotation is not int
    }
    named = {name.lower().removeprefix("lossatlas_") for name in secrecy.variables()}
    assert named >= secret | telling | {"database_url", "broker_url"}


def test_they_are_gone_from_the_environment_and_from_the_kernels_copy() -> None:
    secrets = {name: f"hunter2-{number}" for number, name in enumerate(secrecy.variables())}
    outer = {**os.environ, "LOSSATLAS_LOG_LEVEL": "DEBUG", "ZZ_LAST": "still there"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**outer, **secrets},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["read"] == secrets["DATABASE_URL"]
    assert "hunter2" not in told["environ"] + json.dumps(told["variables"])
    assert told["variables"]["ZZ_LAST"] == "still there"
    assert "ZZ_LAST=still there" in told["environ"]


def test_no_process_of_the_running_service_shows_them(live: Live) -> None:
    """API, relay, workers and their children, looked at as root or as themselves."""
    assert live.process is not None
    seen: set[str] = set()
    for pid in _descendants(live.process.pid):
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            # which is what is promised to others of this user
            variables = []
        for program in ("api", "relay", "workers", "workers.child"):
            if program in arguments:
                seen.add(program)
                held = {entry.partition("=")[0] for entry in variables if entry.partition("=")[2]}
                assert not held & set(secrecy.variables()) - {""}, program
    assert seen == {"api", "relay", "workers", "workers.child"}


def _descendants(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(status[1])
    found, waiting = [], [pid]
    while waiting:
        children = [child for child, parent in parents.items() if parent == waiting[-1]]
        waiting.pop()
        found += children
        waiting += children
    return found
