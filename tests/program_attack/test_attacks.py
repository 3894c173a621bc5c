"""No call of an operator and no archive ends the process that it is tried in.

A call that an uploaded program makes is refused, fails with a sentence, or has PyTorch's own
numbers. Every integer argument of every operator is tried at the ends of what integers are, alone
and with others whose product wraps; so is every fraction, and every tensor of places. Some of
each here, by a fixed seed; all of them, or others, by

    LOSSATLAS_ATTACKS=all pytest tests/program_attack
    LOSSATLAS_ATTACKS=5000 LOSSATLAS_ATTACK_SEED=7 pytest tests/program_attack
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.program_attack.arena import Report, attack
from tests.program_attack.calls import chosen, sample

_ASKED: Final = os.environ.get("LOSSATLAS_ATTACKS", "")
_SEED: Final = int(os.environ.get("LOSSATLAS_ATTACK_SEED", "13"))
#: Of mutations of each sort.
_COUNT: Final = int(_ASKED) if _ASKED.isdigit() else 2_000 if _ASKED else 60


def _require_harmless(report: Report) -> None:
    assert report.deaths == []
    assert report.wrong == []


def test_integers_at_their_ends_reach_no_kernel() -> None:
    numbers = sample(0 if _ASKED == "all" else 2, _SEED)
    report = attack("calls", numbers)
    _require_harmless(report)
    assert report.outcomes["values"] > len(numbers) // 20, report
    assert report.outcomes["failed"] > len(numbers) // 10, report


#: What an attack once ended the process by.
_REACHED: Final = (
    # oneDNN's offsets of 32 bits
    "conv2d.default-strided stride=[1] 65535",
    "conv3d.default-strided stride=[2] 65536",
    "conv2d.default stride=65536 padding=65536",
    # sizes whose product is the input's to 64 bits
    "native_group_norm.default-1 wrapped",
)


def test_what_once_ended_the_process() -> None:
    names = {str(chosen(number)): number for number in sample(0, 0)}
    report = attack("calls", [names[words] for words in _REACHED])
    _require_harmless(report)
    assert set(report.outcomes) == {"failed", "literal_too_large"}, report


@pytest.mark.parametrize("kind", ["call", "archive"])
def test_mutations_are_refused_or_computed(kind: str) -> None:
    first = _SEED * 1_000_000
    report = attack(kind, range(first, first + _COUNT))
    _require_harmless(report)
    assert len(report.outcomes) > 2, report
