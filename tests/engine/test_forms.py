"""No derivative of another function than the one whose losses are shown."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.problems import KINDS
from tests.engine.cases import BY_NAME, CASES, Case
from tests.engine.dense_hessian import objective
from tests.support.halves import half, prepare, tile_of
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.computation.context import JobContext
from workers.computation.directions import make_direction
from workers.computation.failures import judge
from workers.engine.datasets import Dataset
from workers.engine.errors import FormsDiffer
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.objective import Objective
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

Change = Callable[[Tensor], Tensor]
ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])


class TwoForms(ModuleNetwork):
    """Its inference form gives what `change` makes of the differentiable form's outputs."""

    def __init__(self, module: nn.Module, change: Change) -> None:
        super().__init__(module)
        self._change = change

    def at(self, parameters: Any, buffers: Any) -> Callable[..., Tensor]:
        return lambda *inputs: self._change(self(parameters, buffers, *inputs))


def two_forms(change: Change, name: str = "mlp") -> Case:
    case = BY_NAME[name]
    return replace(case, network=TwoForms(case.module, change))


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_form_agrees_with_itself(case: Case, precision: Precision) -> None:
    found = objective(case, precision=precision).forms
    assert found.largest <= 1e-13 if precision is Precision.FLOAT64 else found.largest <= 1e-5
    assert found.differentiable == pytest.approx(found.inference, rel=1e-6)


@BOTH
@pytest.mark.parametrize("share", [1.0, 1e-2, 1e-3, 3e-4])
def test_outputs_that_are_others_are_said(precision: Precision, share: float) -> None:
    case = two_forms(lambda outputs: outputs * (1 + share))
    with pytest.raises(FormsDiffer, match="over data set 'mlp' the loss is 1") as caught:
        objective(case, precision=precision)
    assert "another function" in caught.value.detail


@BOTH
def test_a_mean_does_not_hide_it(precision: Precision) -> None:
    """One sample of a ragged last batch of 31, and two whose differences cancel."""

    def alone(outputs: Tensor) -> Tensor:
        changed = outputs.clone()
        if len(outputs) == 7:
            changed[6, 0] += 0.01
        return changed

    with pytest.raises(FormsDiffer, match=r"\(sample 30:"):
        objective(two_forms(alone), precision=precision)

    def cancelling(outputs: Tensor) -> Tensor:
        changed = outputs.clone()
        changed[0] += 0.25
        changed[1] -= 0.25
        return changed

    with pytest.raises(FormsDiffer):
        objective(two_forms(cancelling, "mse"), precision=precision)


def test_rounding_of_a_badly_conditioned_network_is_told_from_a_difference() -> None:
    """In float32 its two forms differ by far more than units in the last place; in float64 not."""

    class Cancelling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.w)[:, None]

    module = seeded(Cancelling)
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    data = Dataset("d", (x,), torch.zeros(40, 1))

    def made(change: Change) -> Objective:
        setting = Setting(TwoForms(module, change), Loss.named("mse"), 16)
        return Objective(setting, point_of(module), data)

    shifted = made(lambda outputs: (outputs + 3e4) - 3e4).forms
    assert shifted.rounding
    assert shifted.largest > 1e-4
    assert not made(lambda outputs: outputs).forms.rounding
    with pytest.raises(FormsDiffer):
        made(lambda outputs: (outputs * 1.001 + 3e4) - 3e4)


@BOTH
def test_what_is_not_finite_is_a_status_where_both_forms_have_it(precision: Precision) -> None:
    case = BY_NAME["mlp"]
    sick = Point({n: t * torch.nan for n, t in case.origin.parameters.items()}, {})
    setting = Setting(case.network, case.loss, 8, precision)
    assert Objective(setting, sick, case.dataset).forms.largest == 0

    def one(outputs: Tensor) -> Tensor:
        changed = outputs.clone()
        changed[-1] = torch.nan
        return changed

    with pytest.raises(FormsDiffer, match="nan"):
        objective(two_forms(one), precision=precision)


def _context(change: Change, precision: Precision) -> JobContext:
    case = two_forms(change)
    return JobContext(
        job="job_1",
        network=case.network,
        loss=case.loss,
        precision=precision,
        buffers=BufferPolicy.FROZEN,
        device=torch.device("cpu"),
        origin=case.origin,
        points={"ckp_1": case.origin},
        datasets=(case.dataset,),
        dataset_ids=("dst_a",),
    )


def _question(*, mapped: bool, along: int) -> dict[str, Any]:
    axis = {"min": -1, "max": 1, "num": 3}
    plane = {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 1}}
    return {
        "kind": "curvature",
        "origin": f"ckp_{ID}",
        "datasets": [f"dst_{ID}"],
        "map": {"directions": plane, "grid": {"x": axis, "y": axis}} if mapped else None,
        "along": [{"kind": "random", "seed": 1}] * along,
        "max_products": 50,
    }


ID = "0" * 26
RANDOM = {"kind": "random", "seed": 1, "normalize": "filter", "ignore": [], "axis": None}
GRADIENT = {"kind": "gradient", "dataset": "dst_a", "normalize": "none", "ignore": []}
EIGENVECTOR = {
    "kind": "eigenvector",
    "which": "largest",
    "dataset": "dst_a",
    "exclude": [],
    "seed": 0,
    "tolerance": 1e-4,
    "normalize": "none",
    "ignore": [],
}


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        (kind, precision)
        for kind in ("point", "along", "map", "gradient", "eigenvector")
        for precision in (Precision.FLOAT32, Precision.FLOAT64, Precision.BF16)
        # curvature has no reduced precision
        if kind in ("gradient", "eigenvector") or precision is not Precision.BF16
    ],
)
def test_every_job_that_differentiates_compares_first(kind: str, precision: Precision) -> None:
    def work(change: Change) -> None:
        context = _context(change, precision)
        if kind in ("gradient", "eigenvector"):
            make_direction(context, "x", GRADIENT if kind == "gradient" else EIGENVECTOR, None)
            return
        axes = {"point": (), "along": ("along0",), "map": ("x", "y")}[kind]
        asked = {
            "asked": _question(mapped=kind == "map", along=int(kind == "along")),
            "memory_bytes": 1 << 28,
        }
        directions = {axis: {"spec": {**RANDOM, "axis": axis[:1]}} for axis in axes}
        request = {"directions": directions, "orthogonalise": False, "part": asked}
        prepare(context, request, "curvature")

    work(lambda outputs: outputs)
    with pytest.raises(FormsDiffer):
        work(lambda outputs: outputs * 1.001)


def test_tiles_compare_too() -> None:
    """Another worker may have another build of the library than the one that prepared."""
    context = _context(lambda outputs: outputs * 1.01, Precision.FLOAT64)
    way = {
        "form": "swept",
        "retain": True,
        "tolerance": 1e-3,
        "max_products": 50,
        "probes_at_once": 1,
        "steps": 50,
    }
    part = {"asked": _question(mapped=False, along=0), "way": way}
    opened = half("curvature", context)
    request = {"indices": [0], "points": [[0.0, 0.0]], "part": part, "batch_size": 8}
    with pytest.raises(FormsDiffer):
        opened.tile(tile_of(request, opened.tile_part), lambda _done: None)


def test_the_problem_is_of_the_catalogue_and_is_not_tried_again() -> None:
    failure = judge(FormsDiffer("the loss is 1 and 2"))
    assert failure.problem.code == FormsDiffer.code in KINDS
    assert not failure.retry
    assert not failure.broken


def test_derivatives_are_taken_of_objectives_alone() -> None:
    """So that whoever differentiates next is compared too."""
    allowed = {"objective.py", "hessian.py"}
    found = set()
    for folder in ("engine", "computation", "steps", "sampling"):
        for path in (ROOT / "workers" / folder).glob("*.py"):
            tree = ast.parse(path.read_text())
            names = {
                name
                for node in ast.walk(tree)
                for name in (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [ast.unparse(node)]
                    if isinstance(node, ast.Attribute)
                    else []
                )
            }
            if any(
                name.startswith(("torch.func", "torch.autograd", "functorch"))
                or name.endswith((".backward", ".requires_grad_"))
                for name in names
            ):
                found.add(path.name)
    assert found == allowed
