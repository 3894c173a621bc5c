"""What ends is started again, at once the first time and ever later when it does not live."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path

import pytest

from service.embedded.processes import Child, Program
from service.embedded.tending import Tended, tend
from tests.embedded import machine


class Enough(Exception):
    """The test has seen what it wanted."""


def test_one_that_always_fails_is_started_ever_more_rarely(tmp_path: Path) -> None:
    program = Program(
        name="fails", arguments=[shutil.which("false") or "/bin/false"], log=tmp_path / "log"
    )
    starts: list[float] = []

    def start() -> Child:
        starts.append(time.monotonic())
        return Child(program)

    tended = Tended("fails", start, start())

    def pause(seconds: float) -> None:
        if len(starts) == 5:
            raise Enough
        time.sleep(min(seconds, 0.01))

    with pytest.raises(Enough):
        tend([tended], pause)
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(wait >= least for wait, least in zip(waits, (0.2, 0.4, 0.8, 1.6), strict=True))
    machine.until("the end", tended.child.ended)
    tended.child.reap()


def test_one_that_cannot_even_be_started_is_tried_again(tmp_path: Path) -> None:
    program = Program(
        name="away", arguments=[shutil.which("false") or "/bin/false"], log=tmp_path / "log"
    )
    tries = 0

    def start() -> Child:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise OSError("no more processes")
        return Child(program)

    tended = Tended("away", start, start())

    def pause(seconds: float) -> None:
        if tries == 3:
            raise Enough
        time.sleep(min(seconds, 0.01))

    with pytest.raises(Enough):
        tend([tended], pause)
    tended.child.reap()
