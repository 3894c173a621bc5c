"""A PyTorch without some of oneDNN's private operators: the same values, another way."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.networks import ResNet
from tests.program_binding.exported import Case, exported
from tests.program_binding.test_folding import _operators
from tests.support.module_network import seeded
from workers.engine.network import Point
from workers.program import onednn
from workers.program.onednn import PrivateOperator

OPERATORS = {
    name: value for name, value in vars(onednn).items() if isinstance(value, PrivateOperator)
}


class Wide(nn.Module):
    """Everything that oneDNN's operators serve: few and many channels, a skip, a stride, a map."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(160, 160, 3, padding=1) for _ in range(2))
        self.c = nn.Conv2d(160, 96, 3, stride=2, padding=1, bias=False)
        self.d = nn.Conv2d(96, 96, 3, padding=1)
        self.head = nn.Linear(96 * 9, 700)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.a(x))
        second = F.relu(self.c(F.relu(self.b(first.tanh()) + first)))
        third = self.d(second.sigmoid()) + second.tanh()
        result: Tensor = self.head(third.flatten(1))
        return result


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    generator = torch.Generator().manual_seed(11)
    wide = torch.randn(5, 160, 6, 6, generator=generator)
    images = torch.randn(5, 3, 32, 32, generator=generator)
    return {
        "wide": exported(lambda: seeded(Wide), (wide,), tmp_path_factory.mktemp("wide")),
        "resnet": exported(
            lambda: seeded(lambda: ResNet(14)), (images,), tmp_path_factory.mktemp("resnet")
        ),
    }


def _computed(case: Case, dtype: torch.dtype) -> tuple[Tensor, list[str]]:
    point = Point(
        {n: t.to(dtype) for n, t in case.point.parameters.items()},
        {n: t.to(dtype) if t.is_floating_point() else t for n, t in case.point.buffers.items()},
    )
    images = case.inputs[0].to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        infer = case.network().at(point.parameters, point.buffers)
        infer(images)
        found = infer(images).float().clone()
    return found, _operators(case.network(), point, images)


def _hide(monkeypatch: pytest.MonkeyPatch, name: str, how: str) -> str:
    """Replaces an operator by one that this PyTorch lacks; its qualified name."""
    operator = OPERATORS[name]
    lacking = {
        "gone": replace(operator, name=operator.name + "_of_another_release"),
        "overload gone": replace(operator, overload="of_another_release"),
        "arguments changed": replace(operator, arguments=(*operator.arguments, "more")),
    }[how]
    monkeypatch.setattr(onednn, name, lacking)
    return f"mkldnn.{operator.name}.{operator.overload}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("network", ["wide", "resnet"])
@pytest.mark.parametrize("hidden", [*OPERATORS, "all"])
def test_without_an_operator_the_values_are_the_fused_ways(
    hidden: str,
    network: str,
    dtype: torch.dtype,
    cases: dict[str, Case],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = cases[network]
    fused, _ = _computed(case, dtype)
    names = list(OPERATORS) if hidden == "all" else [hidden]
    lacking = {_hide(monkeypatch, name, "gone") for name in names}
    found, called = _computed(case, dtype)
    assert not lacking & set(called)
    assert bool(found.isfinite().all())
    scale = float(fused.abs().max())
    assert float((found - fused).abs().max()) <= scale * (1e-5 if dtype is torch.float32 else 3e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_of_them_are_in_use_here(dtype: torch.dtype, cases: dict[str, Case]) -> None:
    """So that what hides them hides something."""
    _, called = _computed(cases["wide"], dtype)
    wanted = {f"mkldnn.{o.name}.{o.overload}" for o in OPERATORS.values()}
    assert wanted - set(called) <= {"mkldnn._reorder_convolution_weight.default"}
    assert all(operator.found is not None for operator in OPERATORS.values())


@pytest.mark.parametrize("how", ["overload gone", "arguments changed"])
@pytest.mark.parametrize("name", OPERATORS)
def test_another_overload_or_signature_counts_as_none(
    name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide(monkeypatch, name, how)
    assert getattr(onednn, name).found is None


def test_binding_needs_none_of_them_to_be_imported() -> None:
    program = """
import torch

class Lacking:
    def __getattr__(self, name):
        raise AttributeError(name)

torch.ops.mkldnn = Lacking()
from workers.program import binder, fusing
x, weight = torch.randn(64, 256), torch.randn(128, 256)
assert torch.equal(fusing.linear(x, weight), torch.nn.functional.linear(x, weight))
print("computed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("computed\n", 0), done.stderr


def test_no_other_file_names_them() -> None:
    root = Path(onednn.__file__).parents[1]
    naming = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"ops\.(mkldnn|onednn)", path.read_text())
    }
    assert naming == {"program/onednn.py"}
