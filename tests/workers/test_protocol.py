"""Messages are read as they were said, and a child that says something else is not believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from service.domain.problems import Problem
from service.domain.questions.table import kinds as kinds_of_questions
from workers import protocol
from workers.childprocess import ChildDied
from workers.frames import Frame, ProtocolError
from workers.protocol import Message, MessagePart
from workers.questions import table
from workers.questions.curvature.messages import Chosen
from workers.questions.trajectory.messages import FoundPath
from workers.runner import Asking, Runner, UnitFailed
from workers.sandbox import Confinement, Limits

PREPARED: dict[str, Any] = {
    "axes": ["x"],
    "own": [],
    "norms": {"x": 1.5},
    "about": {"x": {"converged": True, "products": 7, "eigenvalue": 2.0}},
    "cosine": None,
    "orthogonalised": False,
    "batch_size": 8,
    "channels_last": True,
    "combine_first": False,
    "recalibration": None,
    "cell_seconds": 0.25,
    "memory": {"estimated_bytes": None, "measured_bytes": 1, "halvings": 0},
    "precision_error": None,
    "device": "cpu",
    "networks": [],
    "counted": [],
    "part": None,
}
CHOSEN = {
    "form": "swept",
    "retain": True,
    "tolerance": 1e-5,
    "max_products": 3,
    "probes_at_once": 1,
    "steps": 3,
    "memory_bytes": 9,
}
PATH = {
    "coordinates": [[0.5, 0.25], [0.0, 0.0]],
    "residuals": [0.0, 0.0],
    "distances": [1.0, 0.0],
    "explained_variance": [1.0],
    "share": 1.0,
    "random_shares": [],
    "extent": [[-1.0, 1.0], [-1.0, 1.0]],
    "excluded": [],
}
NAN = float("nan")


def _prepared(**changes: Any) -> Frame:
    return Frame("done", PREPARED | changes)


def test_a_message_is_read_as_it_was_said() -> None:
    read = protocol.Prepared.read(_prepared())
    assert read.frame().body == PREPARED
    assert {name: type(value) for name, value in read.about["x"].items()} == {
        "converged": bool,
        "products": int,
        "eigenvalue": float,
    }
    with_part = protocol.Prepared.read(_prepared(part=CHOSEN), Chosen)
    assert with_part.of(Chosen).steps == 3
    assert with_part.frame().body["part"] == CHOSEN


def test_a_problem_arrives_with_all_its_members() -> None:
    reason = {"code": "bad_output", "detail": "no", "pointer": "a#/b"}
    told = Problem("program_refused", "no", pointer="/program", extra={"reason": reason})
    failed = protocol.Failed(problem=protocol.ToldProblem.of(told), retry=False)
    read = protocol.Failed.read(failed.frame())
    assert read.problem.to_problem().to_json() == told.to_json()


@pytest.mark.parametrize(
    ("reads", "frame", "part"),
    [
        (protocol.Prepared, _prepared(surprise=1), None),
        (protocol.Prepared, Frame("done", {}), None),
        (protocol.Prepared, Frame("ready", PREPARED), None),
        (protocol.Prepared, _prepared(norms={"x": NAN}), None),
        (protocol.Prepared, _prepared(norms=[["x", 1.0]]), None),
        (protocol.Prepared, _prepared(cell_seconds=-1.0), None),
        (protocol.Prepared, _prepared(batch_size=0), None),
        (protocol.Prepared, _prepared(memory={"measured_bytes": 1}), None),
        (protocol.Prepared, _prepared(networks=[{"role": "origin"}]), None),
        (protocol.Prepared, _prepared(about={"x": {"loss": [1]}}), None),
        (protocol.Prepared, _prepared(part=CHOSEN), None),
        (protocol.Prepared, _prepared(), Chosen),
        (protocol.Prepared, _prepared(part={**CHOSEN, "steps": 0}), Chosen),
        (protocol.Prepared, _prepared(part={**CHOSEN, "tolerance": NAN}), Chosen),
        (protocol.Prepared, _prepared(part=CHOSEN), FoundPath),
        (protocol.Prepared, _prepared(part={**PATH, "extent": [[0.0, 1.0]]}), FoundPath),
        (protocol.Prepared, _prepared(part={**PATH, "share": NAN}), FoundPath),
        (protocol.Ingested, Frame("done", {"signature": [1]}), None),
        (protocol.Computed, Frame("done", {"cells": -1, "peak_memory_bytes": 1}), None),
        (protocol.Progress, Frame("progress", {"cells_done": "many"}), None),
        (protocol.Progress, Frame("progress", {"cells_done": 2**31}), None),
        (protocol.Prepared, _prepared(part={**CHOSEN, "steps": 2**31}), Chosen),
        (protocol.Failed, Frame("failed", {"retry": True}), None),
        (
            protocol.Failed,
            Frame("failed", {"problem": {"code": "odd", "detail": ""}, "retry": True}),
            None,
        ),
        (protocol.Done, Frame("done", {"signature": {}}), None),
    ],
)
def test_what_is_no_such_message_is_refused(
    reads: type[Message], frame: Frame, part: type[MessagePart] | None
) -> None:
    with pytest.raises(ProtocolError):
        reads.read(frame, part)


def test_a_part_of_another_kind_is_not_taken_for_ones_own() -> None:
    read = protocol.Prepared.read(_prepared(part=PATH), FoundPath)
    with pytest.raises(ProtocolError, match="another kind's part"):
        read.of(Chosen)


def test_what_stood_there_is_not_repeated() -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.Progress.read(Frame("progress", {"cells_done": "s3cret" * 1000}))
    assert "cells_done" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_every_kind_of_question_has_its_halves() -> None:
    assert set(table.kinds()) == set(kinds_of_questions())
    for kind in table.kinds():
        assert table.supervising(kind) is table.supervising(kind)
        assert table.computing(kind).folder is None
    assert table.folders() == []
    with pytest.raises(ValueError, match="no halves"):
        table.computing("dance")


def test_a_kind_is_registered_once_and_its_folder_is_told() -> None:
    with pytest.raises(ValueError, match="already"):
        table.register("line", "tests.lines")
    table.register("toy of this test", "tests.toys.one")
    try:
        half = table.computing("toy of this test")
        (folder,) = table.folders()
    finally:
        del table._TABLE["toy of this test"]
    assert half.module == "tests.toys.one.computing"
    assert folder.name == "tests"
    assert str(folder.parent) == half.folder


class Says:
    """A child that answers every request with the same frames."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self.pid = os.getpid()
        self.killed = False
        self.left: Iterator[Frame] = iter(())

    def send(self, _frame: Frame) -> None:
        self.left = iter(self._frames)

    def poll(self, _timeout: float) -> Frame | None:
        return next(self.left, None)

    def kill(self) -> None:
        self.killed = True


def _ask(monkeypatch: pytest.MonkeyPatch, says: Says, read: Callable[[Frame], Any]) -> Any:
    monkeypatch.setattr("workers.runner.Child", lambda **_: says)
    runner = Runner(limits=Limits(), readable=[], confinement=Confinement(None))
    return runner.request("job_1", protocol.Ping(), read, Asking(5.0, lambda: None))


@pytest.mark.parametrize(
    "frame",
    [
        Frame("done", {"part": 1}),
        Frame("progress", {}),
        Frame("failed", {"problem": "no", "retry": False}),
        Frame("dance"),
    ],
)
def test_a_child_that_says_something_else_is_replaced(
    monkeypatch: pytest.MonkeyPatch, frame: Frame
) -> None:
    says = Says([frame])
    with pytest.raises(ChildDied, match="broke the protocol"):
        _ask(monkeypatch, says, partial(protocol.Prepared.read, part=Chosen))
    assert says.killed


def test_a_failure_that_makes_sense_leaves_the_child_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = protocol.ToldProblem(code="weights_invalid", detail="they do not fit")
    says = Says([protocol.Progress(cells_done=2).frame(), _failed(told)])
    with pytest.raises(UnitFailed) as failure:
        _ask(monkeypatch, says, protocol.Done.read)
    assert failure.value.problem == Problem("weights_invalid", "they do not fit").to_json()
    assert not says.killed


def _failed(told: protocol.ToldProblem) -> Frame:
    return protocol.Failed(problem=told, retry=False).frame()
