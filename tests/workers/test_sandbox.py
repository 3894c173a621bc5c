"""How a child is confined: by what it is given, and by bubblewrap where that works."""

from __future__ import annotations

import shutil
from pathlib import Path

from workers import sandbox
from workers.childprocess import describe_death
from workers.sandbox import Confinement, Limits


def test_the_environment_is_made_from_nothing() -> None:
    outer = {
        "PATH": "/evil",
        "S3_SECRET_KEY": "s",
        "PYTHONPATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    inner = sandbox.environment(Limits(threads=3), outer)
    assert inner["OMP_NUM_THREADS"] == "3"
    assert inner["CUDA_VISIBLE_DEVICES"] == "1"
    assert "evil" not in "".join(inner.values())
    assert not {"S3_SECRET_KEY", "PYTHONPATH", "LD_PRELOAD"} & inner.keys()


def test_bubblewrap_shows_only_what_is_needed(tmp_path: Path) -> None:
    wrapped = sandbox.command(
        "workers.child",
        ["4", "5"],
        limits=Limits(),
        confinement=Confinement("/usr/bin/bwrap"),
        readable=[tmp_path],
    )
    bound = [wrapped[i + 1] for i, word in enumerate(wrapped) if word == "--ro-bind"]
    assert str(tmp_path) in bound
    assert "/" not in bound
    assert str(Path.home()) not in bound
    assert {"--unshare-net", "--unshare-pid", "--die-with-parent"} <= set(wrapped)
    assert wrapped[-7:-3] == ["-I", "-B", "-m", "workers.child"]
    assert wrapped[-2:] == ["4", "5"]


def test_what_is_described_is_what_is_usable() -> None:
    found = sandbox.describe()
    assert sandbox.why_not(found) is None
    assert "resource limits" in found.words
    assert found.bubblewrap in (None, shutil.which("bwrap"))


def test_deaths_are_told_in_words() -> None:
    limits = Limits(1, 512 << 20)
    killed = describe_death(-9, "", limits)
    assert "SIGKILL" in killed
    assert "512 MiB" in killed
    assert "SIGSEGV" in describe_death(139, "", limits)
    ended = describe_death(1, "Traceback …\n\nValueError: no such file\n", limits)
    assert "exit status 1" in ended
    assert ended.count("Traceback") == 0
    assert "ValueError: no such file" in ended
