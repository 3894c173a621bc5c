"""Data sets against programs and losses."""

from __future__ import annotations

import pytest

from service.domain.losses import LossName
from service.inputs.columns import Column, Port, input_faults, target_faults

IMAGE = Port("x", "float32", (None, 1, 8, 8))
TOKENS = Port("tokens", "int64", (None, None))
LOGITS = Port("output", "float32", (None, 10))
PIXELS = Port("output", "float32", (None, 10, 8, 8))


def test_one_input_needs_no_name() -> None:
    assert input_faults([IMAGE], {"": Column("float32", (1, 8, 8))}) == []
    assert input_faults([IMAGE], {"x": Column("float64", (1, 8, 8))}) == []


def test_whole_numbers_may_feed_a_real_input() -> None:
    assert input_faults([IMAGE], {"": Column("uint8", (1, 8, 8))}) == []


@pytest.mark.parametrize(
    ("ports", "columns", "said"),
    [
        ([IMAGE], {"": Column("float32", (8, 8))}, "shape [8, 8]"),
        ([IMAGE], {"": Column("float32", (1, 8, 9))}, "takes [1, 8, 8]"),
        ([IMAGE, TOKENS], {"": Column("float32", (1, 8, 8))}, "inputs.x, inputs.tokens"),
        ([IMAGE, TOKENS], {"x": Column("float32", (1, 8, 8))}, "inputs.tokens is missing"),
        ([IMAGE], {"x": Column("float32", (1, 8, 8)), "z": Column("float32", ())}, "inputs.z"),
        ([TOKENS], {"": Column("float32", (16,))}, "takes int64"),
    ],
)
def test_inputs_that_do_not_fit(ports: list[Port], columns: dict[str, Column], said: str) -> None:
    faults = input_faults(ports, columns)
    assert len(faults) == 1
    assert said in faults[0]


def test_a_size_that_may_vary_takes_any() -> None:
    assert input_faults([TOKENS], {"": Column("int32", (16,))}) == []


@pytest.mark.parametrize(
    ("loss", "output", "targets"),
    [
        (LossName.CROSS_ENTROPY, LOGITS, Column("int64", (), 0, 9)),
        (LossName.CROSS_ENTROPY, LOGITS, Column("int64", (1,), 0, 9)),
        (LossName.CROSS_ENTROPY, PIXELS, Column("int64", (8, 8), 0, 9)),
        (LossName.CROSS_ENTROPY, LOGITS, Column("float32", (10,))),
        (LossName.CROSS_ENTROPY, None, Column("int64", (), 0, 99)),
        (LossName.MSE, LOGITS, Column("float32", (10,))),
        (LossName.BCE_WITH_LOGITS, Port("o", "float32", (None, 1)), Column("float32", ())),
        (LossName.PROGRAM, Port("o", "float32", (None,)), Column("float32", (3, 4))),
    ],
)
def test_targets_that_suit(loss: LossName, output: Port | None, targets: Column) -> None:
    assert target_faults(loss, output, targets) == []


@pytest.mark.parametrize(
    ("loss", "output", "targets", "said"),
    [
        (LossName.CROSS_ENTROPY, LOGITS, Column("int64", (), 0, 10), "between 0 and 9"),
        (LossName.CROSS_ENTROPY, LOGITS, Column("int64", (), -1, 3), "between -1 and 3"),
        (LossName.CROSS_ENTROPY, LOGITS, Column("bool", ()), "integers"),
        (LossName.CROSS_ENTROPY, LOGITS, Column("int64", (8,), 0, 9), "shape [8]"),
        (LossName.NLL, LOGITS, Column("float32", (10,)), "integer"),
        (LossName.MSE, LOGITS, Column("int64", (), 0, 9), "one-hot"),
        (LossName.L1, LOGITS, Column("float32", (3,)), "shape [3]"),
        (LossName.NLL, Port("o", "float32", (None,)), Column("int64", (), 0, 1), "classes"),
    ],
)
def test_targets_that_do_not(loss: LossName, output: Port, targets: Column, said: str) -> None:
    faults = target_faults(loss, output, targets)
    assert len(faults) == 1
    assert said in faults[0]
