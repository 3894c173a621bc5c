"""What a mean was over, in results of today and of before, and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.domain.cells import CellStatus
from service.domain.counted import Counted, counted_provenance, samples_in_words
from service.domain.losses import Reduction
from service.domain.plan import LINE_ANCHORS, JobPlan
from service.domain.results import DatasetTile, GridResult, Tile, assemble, decode_npz, encode_npz

NBSP = "\u00a0"


def counted(reduction: str, *numbers: int) -> Counted:
    samples, positions, ignored_samples, ignored_positions = numbers
    return Counted(
        reduction=Reduction(reduction),
        samples=samples,
        positions=positions,
        ignored_samples=ignored_samples,
        ignored_positions=ignored_positions,
        effective_samples=float(samples),
    )


TOKENS = counted("position", 20, 99, 3, 62)


def plan(**more: Any) -> JobPlan:
    return JobPlan.model_validate(
        {
            "x": (0.0, 1.0),
            "y": None,
            "anchors": LINE_ANCHORS,
            "directions": (),
            "cosine": None,
            "orthogonalised": False,
            "precision": "float32",
            "buffers": "frozen",
            "batch_size": 4,
            "threads": 1,
            "cell_seconds": 0.1,
            "tile_cells": 2,
            "device": "cpu",
            **more,
        }
    )


def line(of: JobPlan) -> GridResult:
    values = np.array([1.0, 2.0])
    status = np.full(2, CellStatus.OK, dtype=np.int8)
    tile = Tile(np.arange(2), (DatasetTile(values, values, None, status),))
    return assemble(of, ["tokens"], [23], [tile])


def test_what_the_plan_counted_is_in_every_form_of_the_result() -> None:
    asked = JobPlan.model_validate_json(plan(counted=(TOKENS,)).model_dump_json())
    result = line(asked)
    (grid,) = result.datasets
    assert (grid.samples, grid.counted) == (20, TOKENS)
    arrays = decode_npz(encode_npz(result.to_arrays()))
    assert int(arrays["d0.samples"]) == 20
    assert str(arrays["d0.reduction"]) == "position"
    assert GridResult.from_arrays(arrays).datasets[0].counted == TOKENS
    body = result.to_json()["datasets"]["tokens"]
    rest = {key: value for key, value in body.items() if key not in ("loss", "status")}
    assert rest == {
        "samples": 20,
        "reduction": "position",
        "positions": 99,
        "ignored": {"samples": 3, "positions": 62},
        "effective_samples": 20.0,
    }
    assert Counted.of_json(20, body) == TOKENS


def test_results_of_before_are_read_as_they_were() -> None:
    result = line(plan())
    (grid,) = result.datasets
    assert (grid.samples, grid.counted) == (23, None)
    arrays = result.to_arrays()
    assert {key for key in arrays if key.startswith("d0.")} == {
        *("d0.loss", "d0.stderr", "d0.status", "d0.samples"),
        *("d0.anchor.loss", "d0.anchor.stderr", "d0.anchor.status"),
    }
    body = GridResult.from_arrays(arrays).to_json()["datasets"]["tokens"]
    assert set(body) == {"loss", "samples", "status"}


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (counted("sample", 1, 1, 0, 0), "1_sample"),
        (counted("position", 1000, 1000, 0, 0), "1,000_samples"),
        # as many positions each: both reductions are one number
        (counted("sample", 20, 140, 0, 0), "20_samples"),
        (counted("sample", 20, 20, 3, 3), "20_samples; 3 without a target left out"),
        (
            counted("sample", 20, 99, 0, 41),
            "20_samples, each the mean of its positions (99 in all)",
        ),
        (counted("position", 20, 140, 0, 0), "140_positions of 20_samples, each position alike"),
        (
            TOKENS,
            "99_positions of 20_samples, each position alike; 3 without a target left out",
        ),
    ],
)
def test_in_words(of: Counted, words: str) -> None:
    assert samples_in_words(of.samples, of) == words.replace("_", NBSP)


def test_of_results_of_before_nothing_more_is_said() -> None:
    assert samples_in_words(1234, None) == f"1,234{NBSP}samples"


def test_a_provenance_names_each_data_set() -> None:
    other = counted("position", 5, 5, 0, 0)
    assert counted_provenance(["a", "b"], [TOKENS, other]) == {
        "samples": {"a": 20, "b": 5},
        "counted": {"a": TOKENS.to_json(), "b": other.to_json()},
    }
