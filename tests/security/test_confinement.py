"""A program in the child's place tries to get out, in every confinement that works here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from service.domain.digests import digest_bytes
from tests.benchmarks.children import Job, ask
from tests.support.bubblewrap import bubblewrap
from workers import sandbox
from workers.childprocess import Child
from workers.confinement import landlock, limits, seccomp
from workers.engine.direction import Direction
from workers.inputs import InputFolder, sweep
from workers.protocol import Open
from workers.questions import table
from workers.runner import Asking, Runner
from workers.sandbox import Confinement, ConfinementLacking, Limits

_ROOT = Path(__file__).resolve().parents[2]
_CAPTIVE = _ROOT / "tests" / "security" / "captive.py"
#: By its file: an isolated Python finds no module that is not installed.
_RUN = f"import runpy; runpy.run_path({str(_CAPTIVE)!r}, run_name='__main__')"
_LIMITS = Limits(threads=1, memory_bytes=2 << 30, cpu_seconds=3600.0)
_SECRET = "hunter2-of-the-supervisor"


@pytest.fixture(scope="module")
def confinements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Confinement]:
    """Those in which real children work here, by name; what this machine chooses among them."""
    full = Confinement(landlock=landlock.version() > 0, seccomp=seccomp.available())
    wanted = {"as it is": full, "namespace": replace(full, namespace=True)}
    program = bubblewrap(tmp_path_factory.mktemp("bubblewrap"))
    if program is not None:
        wanted["bubblewrap"] = replace(full, bubblewrap=program)
    if os.geteuid() == 0:
        user = replace(full, first_user=sandbox.FIRST_USER)
        wanted["own root"] = replace(user, own_root=True)
        wanted["own root and namespace"] = replace(user, own_root=True, namespace=True)
        wanted["own root without Landlock"] = replace(user, own_root=True, landlock=False)
        if program is not None:
            wanted["user in bubblewrap"] = replace(user, bubblewrap=program)
    usable = {name: one for name, one in wanted.items() if sandbox.why_not(one) is None}
    return {"chosen": sandbox.describe(), **usable}


@pytest.fixture(scope="module")
def attacked(confinements: dict[str, Confinement]) -> dict[str, Confinement]:
    """Boundaries among them; and, where we are root, a user of its own, which the captive can
    have even where this machine's Python is closed to others."""
    found = {name: one for name, one in confinements.items() if not one.lacking}
    if os.geteuid() == 0:
        full = Confinement(landlock=landlock.version() > 0, seccomp=seccomp.available())
        found["user"] = replace(full, first_user=sandbox.FIRST_USER)
    return found


@dataclass(frozen=True)
class _Place:
    """What there is to get at."""

    data: Path
    given: Path
    task: dict[str, Any]


@pytest.fixture(scope="module")
def place() -> Iterator[_Place]:
    with ExitStack() as stack:
        # not below a folder that only its owner can enter
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="captive-"))) / "data"
        cache = data / "cache"
        cache.mkdir(parents=True)
        data.parent.chmod(0o755)
        secrets = [data / "endpoint.json", data / "key", cache / "another-projects"]
        for path in (*secrets, cache / "given"):
            path.write_text(_SECRET if path.name != "given" else "given")
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(str(data / "socket"))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0captive-{os.getpid()}")
        for one in (named, abstract):
            one.listen()
        task = {
            "port": listening.getsockname()[1],
            "socket": str(data / "socket"),
            "abstract": f"captive-{os.getpid()}",
            "secret": [*map(str, secrets), "/etc/passwd", "/etc/shadow"],
            "closed": [str(data), str(cache), "/", "/etc", "/home", str(Path.home()), "/tmp"],
            "writable": [
                *("/", "/tmp", "/dev/shm", "/dev", "/var/tmp", "/run", "/proc", "/sys", "."),
                *map(str, (Path.home(), data, cache, _ROOT / "workers", sys.prefix)),
            ],
            "given": "given",
        }
        yield _Place(data, cache / "given", task)


@dataclass
class _Captive:
    process: subprocess.Popen[bytes]
    report: dict[str, Any]


def _captive(stack: ExitStack, one: Confinement, place: _Place, pids: dict[str, int]) -> _Captive:
    inputs = InputFolder(place.data / "cache")
    stack.callback(inputs.close)
    inputs.give(place.given)
    said = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    reading, writing = os.pipe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "_entry", lambda _module: ["-c", _RUN])
        process = sandbox.start(
            "captive",
            [json.dumps({**place.task, "pids": pids}), str(writing)],
            limits=_LIMITS,
            descriptors=(writing,),
            stderr=said,
            # a real child sees none of it
            readable=[_CAPTIVE],
            confinement=one,
            folder=inputs.path,
        )
    os.close(writing)
    stack.callback(process.wait)
    stack.callback(os.killpg, process.pid, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    said.seek(0)
    assert text, said.read().decode()
    return _Captive(process, json.loads(text))


@pytest.fixture(scope="module")
def captives(attacked: dict[str, Confinement], place: _Place) -> Iterator[dict[str, _Captive]]:
    """One in each confinement, tried against its supervisor and the one before it."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("S3_SECRET_KEY", _SECRET)
        found: dict[str, _Captive] = {}
        pids = {"supervisor": os.getpid()}
        for name, one in attacked.items():
            found[name] = _captive(stack, one, place, pids)
            # whoever is tried first is tried against another of its own kind
            if "other child" not in pids:
                pids["other child"] = found[name].process.pid
                found[name] = _captive(stack, one, place, pids)
        yield found


def test_every_way_out_is_refused(captives: dict[str, _Captive]) -> None:
    assert captives
    for name, captive in captives.items():
        outcomes = captive.report["outcomes"]
        assert len(outcomes) > 150
        got = {what: came for what, came in outcomes.items() if not _is_harmless(what, came)}
        assert not got, f"{name}: {got}"


def _is_harmless(what: str, came: str) -> bool:
    """Refused; or a folder of a file system of its own, where nothing is that it is not to see."""
    hidden = ("endpoint.json", "key", "another-projects", "socket", "passwd", "lossatlas")
    return came.startswith("refused") or (
        what.startswith("list ") and not any(name in came for name in hidden)
    )


def test_every_call_of_the_tables_is_refused_by_its_number(captives: dict[str, _Captive]) -> None:
    for name, captive in captives.items():
        assert captive.report["sweep"] == {}, name


def test_it_reads_what_it_was_given(captives: dict[str, _Captive]) -> None:
    for name, captive in captives.items():
        assert captive.report["given"] == "got b'given'", name


def test_it_is_nobody_with_no_right_at_all(captives: dict[str, _Captive]) -> None:
    for name, captive in captives.items():
        status = dict(
            line.split(":\t", 1) for line in captive.report["status"].splitlines() if ":\t" in line
        )
        assert "0" not in status["Uid"].split(), name
        assert "0" not in status["Gid"].split(), name
        kinds = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
        # an ordinary user without a namespace cannot drop what no program may bring it anyway
        if os.geteuid() == 0 or name in ("namespace", "bubblewrap"):
            kinds.append("CapBnd")
        for kind in kinds:
            assert int(status[kind], 16) == 0, f"{name}: {kind}"
        assert status["NoNewPrivs"] == "1", name
        assert status["Seccomp"] == "2", name


def test_its_limits_hold(captives: dict[str, _Captive]) -> None:
    for name, captive in captives.items():
        given = captive.report["limits"]
        assert given["CORE"] == [0, 0], name
        assert given["DATA"] == [2 << 30, 2 << 30], name
        assert given["FSIZE"][1] <= 16 << 20, name
        assert given["NOFILE"][1] <= 1024, name
        assert 0 < given["CPU"][0] < 1 << 40, name
        assert 0 < given["NPROC"][1] <= 10_000, name
        assert captive.report["oom"] == "1000", name


def test_its_threads_are_bounded_where_the_kernel_counts_them(
    captives: dict[str, _Captive], attacked: dict[str, Confinement]
) -> None:
    """It counts nobody's whom it takes for root, whatever the namespace: hence another user."""
    counted = 0
    for name, one in attacked.items():
        alone = one.first_user is not None or one.namespace or one.bubblewrap is not None
        if alone and (one.first_user is not None or os.geteuid() != 0):
            assert captives[name].report["threads"] < limits.most_threads(1), name
            counted += 1
    assert counted


def test_nothing_of_the_supervisors_is_in_its_environment(captives: dict[str, _Captive]) -> None:
    for captive in captives.values():
        assert _SECRET not in json.dumps(captive.report)


def test_what_was_attacked_is_as_it_was(captives: dict[str, _Captive], place: _Place) -> None:
    assert captives
    assert place.given.read_text() == "given"
    for path in (place.data / "key", place.data / "cache" / "another-projects"):
        assert path.read_text() == _SECRET
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19


@pytest.mark.parametrize("code", [b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"])
def test_calls_by_the_numbers_of_another_architecture_end_it(
    attacked: dict[str, Confinement], code: bytes
) -> None:
    """On x86_64 `getpid` by the 32-bit gate; elsewhere those bytes are no code at all."""
    program = (
        "import ctypes, mmap, sys\n"
        "from workers.confinement import applied, terms\n"
        "applied.confine(terms.Terms(filtered=True))\n"
        "page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,"
        " prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        f"page.write({code!r})\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(at)()\n"
    )
    assert attacked
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode < 0, done.stderr.decode()


def test_results_have_the_same_bits_in_every_confinement(
    confinements: dict[str, Confinement], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 3)
    )
    direction = Direction({n: torch.randn_like(p) for n, p in module.named_parameters()})
    targets = torch.randint(3, (7,))
    points = ((0.0, 0.0), (0.5, 0.0), (-0.25, 0.0))
    job = Job(tmp_path / "job", module, torch.randn(7, 2, 8, 8), targets, {"x": direction})
    digests = {}
    named = ("chosen", "namespace", "bubblewrap", "user in bubblewrap")
    chosen = {name: confinements[name] for name in named if name in confinements}
    for name, one in {"bare": Confinement(), **chosen}.items():
        limited = Limits(threads=2, memory_bytes=4 << 30, cpu_seconds=600.0)
        with Child(limits=limited, readable=[job.folder], confinement=one) as child:
            if name == "bare":
                job.ingest(child)
            ask(child, job.opening("float64"))
            plan = {"batch_size": 7}
            digests[name] = digest_bytes(ask(child, job.tile(plan, points)).blobs[0])
    assert len(digests) > 1
    assert len(set(digests.values())) == 1, digests


_IMPORTING = """
import sys
from importlib import import_module
import service.domain.problems
from workers.confinement.applied import confine
from workers.confinement.terms import Terms
confine(Terms.of(sys.argv[1]))
for name in sys.argv[2:]:
    import_module(name)
"""


def test_everything_that_a_question_may_import_can_be_imported(
    confinements: dict[str, Confinement],
) -> None:
    """Torch's compiler among it, which some kinds import only when they differentiate."""
    modules = ["workers.session", "workers.computation.ingest", "torch._dynamo", "torch.func"]
    modules += [table.computing(kind).module for kind in table.kinds()]
    chosen = confinements["chosen"]
    command = sandbox.command("M", modules, limits=_LIMITS, confinement=chosen, readable=[])
    place = command.index("-m")
    command[place : place + 2] = ["-c", _IMPORTING]
    done = subprocess.run(
        command,
        env=sandbox.environment(_LIMITS, os.environ),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_child_reads_only_what_it_was_given_for_its_job(tmp_path: Path) -> None:
    """By the runner, as a supervisor gives it: files under their bare names."""
    module = nn.Linear(3, 2)
    direction = Direction({n: torch.ones_like(p) for n, p in module.named_parameters()})
    inputs = torch.ones(4, 3)
    job = Job(tmp_path / "job", module, inputs, torch.tensor([0, 1, 1, 0]), {"x": direction})
    with Child(limits=Limits(), readable=[job.folder], confinement=sandbox.describe()) as child:
        job.ingest(child)
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    runner = Runner(limits=Limits(), readable=[], confinement=sandbox.describe(), inputs=cache)
    asking = Asking(seconds=120.0, check=lambda: None)
    try:
        runner.warm()
        absolute = job.opening("float64")
        relative = _renamed(absolute, runner, "job_1")
        runner.open("job_1", relative, asking)
        assert runner.serves("job_1")
        with pytest.raises(Exception, match="graph") as caught:
            runner.open("job_2", absolute, asking)
        assert str(tmp_path) not in str(caught.value)
    finally:
        runner.close()
    assert list(cache.iterdir()) == []
    assert (job.folder / "weights").exists()


def _renamed(opening: Open, runner: Runner, job: str) -> Open:
    """The request with every file given to the child of the job."""

    def give(path: str) -> str:
        return str(runner.give(job, Path(path)))

    body = opening.model_dump()
    body["weights"] = {name: give(path) for name, path in body["weights"].items()}
    for dataset in body["datasets"]:
        dataset["path"] = give(dataset["path"])
    for kind in ("graph", "constants"):
        body["model"][kind] = body["model"][kind] and give(body["model"][kind])
    return Open.model_validate(body)


def test_folders_of_dead_supervisors_are_swept_and_others_stay(tmp_path: Path) -> None:
    living = InputFolder(tmp_path)
    dead = tmp_path / ".given-dead"
    dead.mkdir()
    (dead / "file").write_text("left behind")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [living.path]
    living.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_boundary_is_refused_where_one_is_required(
    attacked: dict[str, Confinement],
) -> None:
    for one in attacked.values():
        assert sandbox.required(one) is one
    full = Confinement(namespace=True, landlock=True, seccomp=True)
    assert not full.lacking
    for lacking in (
        Confinement(),
        replace(full, landlock=False),
        replace(full, seccomp=False),
        Confinement(bubblewrap="/usr/bin/bwrap"),
    ):
        with pytest.raises(ConfinementLacking, match="best-effort"):
            sandbox.required(lacking)
        assert "lacking" in lacking.words
