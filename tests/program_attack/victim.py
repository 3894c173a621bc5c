"""The process that attacks are tried in: one line before each, one after it.

    python -m tests.program_attack.victim KIND NUMBER…

Reads nothing but its arguments: `calls` and the numbers of calls, or `call` or `archive` and seeds.
Owns its limits. It ends by a signal where an attack reaches through; the line before says which.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from service.domain.problems import Problem
from service.programs.refusal import ProgramRefused
from service.programs.validation import validate
from tests.program_attack import mutations
from tests.program_attack.calls import Call, chosen
from tests.program_attack.numbers import same
from workers.computation.ingest import ingest
from workers.engine.errors import EngineError
from workers.program.binder import BoundNetwork
from workers.program.failures import OperatorFailed
from workers.protocol import Ingest

#: What an attack may hold beside the process itself.
MEMORY_BYTES: Final = 3 << 30
#: What a program's values may, so that the largest that pass are soon done.
PROGRAM_BYTES: Final = 256 << 20


def main(kind: str, numbers: list[int]) -> None:
    torch.set_num_threads(1)
    faulthandler.enable()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            if kind == "archive":
                print(f"> {number} archive", flush=True)
                print(f"< {_ingested(mutations.written(number, Path(folder)))}", flush=True)
                continue
            for call in _calls(kind, number):
                for differentiable in (False, True):
                    form = "derivative" if differentiable else "values"
                    print(f"> {number} {call}, {form}", flush=True)
                    print(f"< {_called(call, differentiable)}", flush=True)
    print("end", flush=True)


def _calls(kind: str, number: int) -> Iterator[Call]:
    if kind == "call":
        yield mutations.call(number)
    else:
        yield chosen(number)


def _called(call: Call, differentiable: bool) -> str:
    """As an uploaded program's operator is: checked, bound, run, and differentiated."""
    try:
        graph, constants = call.network()
        validate(graph, lambda node: node.operator)
        network = BoundNetwork(graph, constants, memory_bytes=PROGRAM_BYTES)
        point = {"anchor": torch.zeros(1), **call.point()}
        with torch.inference_mode(not differentiable):
            leaves = {n: t.clone().requires_grad_(differentiable) for n, t in point.items()}
            found = network.at(leaves, {})(torch.zeros(2, 1))
        if differentiable and found.requires_grad:
            found.sum().backward()
        elif not differentiable and not same(call, found):
            return "wrong numbers"
    except ProgramRefused as refusal:
        return refusal.code
    except OperatorFailed as failure:
        return f"failed {failure.reason[:80]}"
    except (MemoryError, RuntimeError, NotImplementedError) as error:
        return f"failed {type(error).__name__} {error}"[:80].replace("\n", " ")
    return "values"


def _ingested(path: Path) -> str:
    try:
        ingest(
            Ingest(
                loss="cross_entropy", device="cpu", archive=str(path), memory_bytes=PROGRAM_BYTES
            )
        )
    except Problem as problem:
        reason = (problem.extra or {}).get("reason") or {}
        return str(reason.get("code", problem.code))
    except (EngineError, MemoryError) as error:
        return f"memory {error}"[:80].replace("\n", " ")
    return "ready"


if __name__ == "__main__":
    main(sys.argv[1], [int(word) for word in sys.argv[2:]])
