"""A real child: what it may see and use, and what its supervisor learns when it ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from service.domain.results import Tile
from tests.benchmarks.children import Job, ask
from workers.childprocess import Child, ChildDied
from workers.engine.direction import Direction
from workers.frames import Frame
from workers.protocol import Half, MessagePart
from workers.questions import table
from workers.sandbox import Confinement, Limits

_BARE = Confinement(bubblewrap=None)
_WARM_SECONDS = 120.0


def _answer(child: Child, request: Frame, seconds: float = _WARM_SECONDS) -> Frame:
    child.send(request)
    frame = child.poll(seconds)
    assert frame is not None, "no answer"
    return frame


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://lossatlas:hunter2@localhost/lossatlas")
    monkeypatch.setenv("S3_SECRET_KEY", "hunter2")
    monkeypatch.setenv("LOSSATLAS_KEY", "la_hunter2")
    with Child(limits=Limits(1, 2 << 30), readable=[], confinement=_BARE) as started:
        yield started


def test_a_warm_child_answers_and_holds_no_credentials(child: Child) -> None:
    assert _answer(child, Frame("ping")) == Frame("done")
    assert child.ready
    environment = Path(f"/proc/{child.pid}/environ").read_text()
    assert "hunter2" not in environment
    names = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
    assert not {n for n in names if n.startswith(("DATABASE", "S3", "BROKER", "LOSSATLAS"))}
    assert {"OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_"} <= names


def test_it_holds_no_descriptor_of_its_supervisor_but_the_two_pipes(
    child: Child, tmp_path: Path
) -> None:
    with open(tmp_path / "secret", "w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with Child(limits=Limits(), readable=[], confinement=_BARE) as other:
            _answer(other, Frame("ping"))
            links = [os.readlink(p) for p in Path(f"/proc/{other.pid}/fd").iterdir()]
    assert not [link for link in links if "secret" in link]
    assert len([link for link in links if link.startswith("pipe:")]) == 2
    assert not [link for link in links if link.startswith("socket:")]


def test_its_limits_are_set_and_cannot_be_raised(child: Child) -> None:
    _answer(child, Frame("ping"))
    assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(child.pid, resource.RLIMIT_DATA) == (2 << 30, 2 << 30)
    soft, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    assert soft == hard <= 16 << 20
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status


def test_an_unknown_request_is_a_failure_and_not_the_end(child: Child) -> None:
    failed = _answer(child, Frame("dance"))
    assert failed.type == "failed"
    assert failed.body["problem"]["code"] == "computation_failed"
    assert _answer(child, Frame("ping")) == Frame("done")


def test_the_signal_that_killed_it_is_told(child: Child) -> None:
    _answer(child, Frame("ping"))
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(ChildDied, match="SIGSEGV"):
        child.poll(30.0)


def test_a_child_that_does_not_read_does_not_block_its_supervisor(child: Child) -> None:
    _answer(child, Frame("ping"))
    os.kill(child.pid, signal.SIGSTOP)
    begun = time.monotonic()
    child.send(Frame("tile", {}, (bytes(10_000_000),)))
    assert child.poll(0.3) is None
    child.kill()
    assert time.monotonic() - begun < 5.0


def test_it_dies_with_its_supervisor() -> None:
    script = (
        "import os, sys, time\n"
        "from workers.childprocess import Child\n"
        "from workers.sandbox import Confinement, Limits\n"
        "child = Child(limits=Limits(), readable=[], confinement=Confinement(None))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    deadline = time.monotonic() + 30.0
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def _modules(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.split())


def test_supervisor_and_app_never_import_torch() -> None:
    modules = _modules(
        "import workers.supervisor, workers.app\n"
        "from workers.questions import table\n"
        "for kind in table.kinds(): table.supervising(kind)"
    )
    assert "workers.steps.tile" in modules
    assert {f"workers.questions.{kind}.supervising" for kind in table.kinds()} <= modules
    assert not {m for m in modules if m == "torch" or m.startswith(("torch.", "workers.engine"))}


def test_the_child_imports_nothing_that_could_reach_a_server() -> None:
    halves = [table.computing(kind).module for kind in table.kinds()]
    modules = _modules(
        f"import workers.child, workers.session, {', '.join(halves)}; workers.session.warm_up()"
    )
    assert {"torch", *halves} <= modules
    forbidden = (
        "service.ledger",
        "service.store",
        "service.settings",
        "celery",
        "minio",
        "psycopg",
    )
    assert not {m for m in modules if m.startswith((*forbidden, "sqlalchemy", "kombu"))}


_ELSEWHERE = '''
"""A kind of question that is registered at run time, outside the workers' package."""
import numpy as np
from workers.computation.grid import GridHalf
from workers.protocol import MessagePart

class Wanted(MessagePart):
    number: int

class ToyHalf(GridHalf):
    tile_part = Wanted

    def attachments(self, request):
        return {"toy.number": np.array(request.of(Wanted).number)}

HALF = ToyHalf
'''


class Number(MessagePart):
    number: int


def test_a_half_outside_the_workers_is_found_where_the_supervisor_says(tmp_path: Path) -> None:
    package = tmp_path / "plugged" / "kindofmine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "computing.py").write_text(_ELSEWHERE)
    module = nn.Linear(3, 2)
    direction = Direction({name: torch.ones_like(p) for name, p in module.named_parameters()})
    targets = torch.tensor([0, 1, 1, 0, 1])
    job = Job(tmp_path / "job", module, torch.ones(5, 3), targets, {"x": direction})
    half = Half(module="kindofmine.computing", folder=str(package.parent))
    with Child(limits=Limits(), readable=[tmp_path], confinement=_BARE) as child:
        job.ingest(child)
        ask(child, job.opening("float64").model_copy(update={"half": half}))
        points = ((0.0, 0.0), (0.0, 0.0))
        tile = job.tile({"batch_size": 4}, points).model_copy(update={"part": Number(number=7)})
        answer = Tile.from_npz(ask(child, tile).blobs[0])
    assert int(answer.attachments["toy.number"]) == 7
    assert answer.index.tolist() == [0, 1]
