"""The command that finds out what is wrong: one line for each thing looked at."""

from __future__ import annotations

import platform
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import typer

from lossatlas.cli.exits import UNREACHABLE, USAGE
from lossatlas.cli.options import AsJson
from lossatlas.cli.output import result, show_json
from lossatlas.discovery import Endpoint, endpoint_file, find_endpoint
from lossatlas.errors import ConfigurationError, LossatlasError, ProblemError
from lossatlas.steps import Answer
from lossatlas.transport import Transport

#: Further apart, times in listings and expiries confuse people.
_CLOCK_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well (`ok`, `warn`, `bad`), and what was seen."""

    name: str
    state: str
    seen: str
    exit_code: int = 0


def doctor(*, as_json: AsJson = False) -> None:
    """Check address, key, versions, clock and the service's readiness."""
    findings = list(_look())
    code = max((f.exit_code for f in findings), default=0)
    if as_json:
        show_json(
            {
                "ok": code == 0,
                "checks": [{"name": f.name, "state": f.state, "seen": f.seen} for f in findings],
            }
        )
    else:
        for finding in findings:
            result(f"{finding.state:<4}  {finding.name:<10}  {finding.seen}")
    if code:
        raise typer.Exit(code)


def _look() -> list[Finding]:
    findings = [_versions(), _torch()]
    try:
        endpoint = find_endpoint()
    except ConfigurationError as error:
        return [*findings, Finding("address", "bad", str(error), USAGE)]
    findings.append(Finding("address", "ok", f"{endpoint.url} (from {endpoint.source})"))
    findings += _file()
    with Transport(endpoint, retry_seconds=0) as transport:
        return [*findings, *_service(transport, endpoint)]


def _versions() -> Finding:
    return Finding("client", "ok", f"lossatlas {version('lossatlas')}, Python {_python()}")


def _torch() -> Finding:
    try:
        return Finding("torch", "ok", f"torch {version('torch')}: models can be exported")
    except PackageNotFoundError:
        return Finding(
            "torch",
            "ok",
            "absent; export_model needs it (pip install 'lossatlas[export]')",
        )


def _file() -> list[Finding]:
    path = endpoint_file()
    if path is None:
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return [Finding("file", "warn", f"{path} holds a key and others may read it: chmod 600")]
    return [Finding("file", "ok", str(_short(path)))]


def _service(transport: Transport, endpoint: Endpoint) -> list[Finding]:
    try:
        alive = transport.call("GET", "/livez")
    except ProblemError as problem:
        return [Finding("service", "bad", f"/livez answers {problem.status}", UNREACHABLE)]
    except LossatlasError as error:
        return [Finding("service", "bad", str(error), UNREACHABLE)]
    findings = [Finding("service", "ok", "answers"), _clock(alive)]
    findings += _ready(transport)
    findings.append(_key(transport))
    return findings


def _clock(answer: Answer) -> Finding:
    try:
        there = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, TypeError, ValueError):
        return Finding("clock", "warn", "the service does not say its time")
    apart = (datetime.now(UTC) - there).total_seconds()
    # the header has whole seconds
    if abs(apart) > _CLOCK_SECONDS:
        side = "ahead of" if apart > 0 else "behind"
        return Finding("clock", "warn", f"this machine is {abs(apart):.0f} s {side} the service")
    return Finding("clock", "ok", "agrees with the service's")


def _ready(transport: Transport) -> list[Finding]:
    try:
        body: Any = transport.call("GET", "/readyz").json()
    except ProblemError as problem:
        body = problem.body
        words = problem.detail or problem.title or f"/readyz answers {problem.status}"
        return [Finding("ready", "bad", f"{words}{_parts(body)}", UNREACHABLE)]
    except LossatlasError as error:
        return [Finding("ready", "bad", str(error), UNREACHABLE)]
    said = str(body.get("status", "ready")) if isinstance(body, dict) else "ready"
    state = "warn" if said == "degraded" else "ok"
    return [Finding("ready", state, f"{said}{_parts(body)}")]


def _parts(body: Any) -> str:
    """What the service says of its own servers, in one line."""
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return ""
    return ": " + ", ".join(
        f"{name} {part.get('status', part) if isinstance(part, dict) else part}"
        for name, part in checks.items()
    )


def _key(transport: Transport) -> Finding:
    try:
        transport.call("GET", "/v1/jobs", query={"limit": 1})
    except ProblemError as problem:
        code = USAGE if problem.status in (401, 403) else UNREACHABLE
        return Finding("key", "bad", problem.detail or problem.title, code)
    except LossatlasError as error:
        return Finding("key", "bad", str(error), UNREACHABLE)
    return Finding("key", "ok", "accepted")


def _python() -> str:
    return platform.python_version()


def _short(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
