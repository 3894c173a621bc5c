"""Sizes are found without PyTorch's compiler, whose import takes seconds, for every operator."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import sys
import torch
from tests.program_binding.operators import TABLE
seen, slow = set(), []
for case in TABLE:
    if case.operator in seen:
        continue
    seen.add(case.operator)
    point = {"anchor": torch.zeros(1), **case.point(torch.float32)}
    for differentiable in (False, True):
        with torch.inference_mode(not differentiable):
            case.bound().at(point, {})(torch.zeros(2, 1))
    loaded = [name for name in ("sympy", "torch._dynamo") if name in sys.modules]
    if loaded:
        slow.append(case.operator)
        break
print(len(seen), slow)
"""


def test_no_operator_loads_the_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CODE],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    count, _, slow = done.stdout.strip().partition(" ")
    assert int(count) > 200
    assert slow == "[]"
