"""A child's memory when nobody set a limit, and what its job's owner hears beyond it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.benchmarks.children import Job
from workers import sandbox
from workers.childprocess import Child
from workers.computation.failures import judge
from workers.confinement import memory
from workers.engine.direction import Direction
from workers.frames import Frame
from workers.sandbox import Limits

_GIB = 1 << 30


@given(workers=st.integers(1, 256), total=st.integers(4 * _GIB, 4096 * _GIB))
def test_all_children_together_stay_below_the_machine(workers: int, total: int) -> None:
    limit = memory.default_limit(workers, total)
    if limit > memory.LEAST:
        assert workers * limit < total - workers * (256 << 20)
    # and none of it is given away for nothing
    if total >= workers * 4 * _GIB:
        assert workers * limit >= 0.6 * total


def test_the_machine_or_its_container_says_how_much_there_is() -> None:
    assert 0 < memory.default_limit(1) < memory.machine_bytes()
    assert memory.default_limit(2) < memory.default_limit(1)


def test_memory_beyond_the_limit_is_refused_to_the_child_and_told(tmp_path: Path) -> None:
    """A data set larger than the limit: the child says so, and is there still."""
    module = nn.Linear(3, 2)
    direction = Direction({name: torch.ones_like(p) for name, p in module.named_parameters()})
    job = Job(tmp_path / "job", module, torch.ones(4, 3), torch.zeros(4).long(), {"x": direction})
    limits = Limits(threads=1, memory_bytes=1 * _GIB)
    with Child(limits=limits, readable=[job.folder], confinement=sandbox.describe()) as child:
        job.ingest(child)
        _write_large_data(job.folder / "data", samples=200_000_000)
        child.send(job.opening("float32").frame())
        answer = child.poll(120.0)
        assert answer is not None
        assert answer.type == "failed"
        assert answer.body["problem"]["code"] == "out_of_memory"
        child.send(Frame("ping"))
        assert child.poll(120.0) == Frame("done")


def _write_large_data(path: Path, *, samples: int) -> None:
    """Zeros that take no room on the disk."""
    inputs = 4 * 3 * samples
    tensors = {
        "inputs": {"dtype": "F32", "shape": [samples, 3], "data_offsets": [0, inputs]},
        "targets": {
            "dtype": "I64",
            "shape": [samples],
            "data_offsets": [inputs, inputs + 8 * samples],
        },
    }
    header = json.dumps(tensors).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + inputs + 8 * samples)


def test_an_allocation_that_is_refused_is_out_of_memory_wherever_it_happens() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    failed = judge(caught.value)
    assert failed.problem.code == "out_of_memory"
    assert failed.retry
    assert judge(MemoryError()).problem.code == "out_of_memory"
