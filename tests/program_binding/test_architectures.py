"""Named architectures, registered as an installed package would register them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workers.computation.failures import judge
from workers.engine.activations import peak_activation_bytes
from workers.program.architectures import ArchitectureUnusable, build_architecture

_PACKAGE = """
import torch
from torch import nn
from torch.nn import functional as F

class Small(nn.Module):
    def __init__(self, width: int = 8, *, depth: int = 1):
        super().__init__()
        if width < 1:
            raise ValueError("width must be positive")
        self.layers = nn.ModuleList([nn.Linear(6, width)])
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("shift", torch.ones(width), persistent=False)
        self.head = nn.Linear(width, 3)
        self.example_inputs = torch.zeros(2, 6)

    def forward(self, features):
        x = self.norm(self.layers[0](features)) + self.shift
        q = x[:, None, None]
        return self.head(F.scaled_dot_product_attention(q, q, q)[:, 0, 0])

class Hard(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 4)
        self.gates = nn.Hardsigmoid(), nn.Hardsigmoid(inplace=True)
        self.centres = nn.Parameter(torch.randn(3, 4))
        self.example_inputs = torch.zeros(2, 6)

    def forward(self, x):
        hidden = self.gates[0](self.first(x))
        hidden = self.second(hidden)
        kept = hidden.clone()
        self.gates[1](kept)
        heads = kept.view(len(x), 1, 4).expand(-1, 2, -1)
        seen = torch.tensor([[True, False], [True, True]])
        mixed = F.scaled_dot_product_attention(heads, heads * hidden[:, None], heads, seen)
        return torch.cdist(mixed.mean(1), self.centres)

ready = Small(4)

class Mute(nn.Module):
    def forward(self, x):
        return x

def number():
    return 3
"""
_ENTRIES = """
[lossatlas.architectures]
small = brought:Small
hard = brought:Hard
ready = brought:ready
mute = brought:Mute
number = brought:number
gone = brought:Absent
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    info = folder / "brought-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "brought.py").write_text(_PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRIES)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "brought", raising=False)
    return folder


def test_a_process_that_finds_the_package_builds_and_ingests_it(package: Path) -> None:
    body = {
        "loss": "cross_entropy",
        "device": "cpu",
        "architecture": {"name": "small", "config": {"width": 5}},
    }
    code = (
        f"import sys, json; sys.path.insert(0, {str(package)!r}); "
        "from workers.computation.ingest import ingest; from workers.protocol import Ingest; "
        f"answer, blobs = ingest(Ingest(**{body!r})); "
        "print(json.dumps([answer.model_dump(), len(blobs)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    answer: tuple[dict[str, Any], int] = json.loads(done.stdout)
    signature = answer[0]["signature"]
    assert answer[1] == 0
    assert signature["inputs"] == [
        {"name": "features", "dtype": "float32", "shape": [None, 6], "sample": [2, 6]}
    ]
    assert signature["outputs"] == [{"name": "output", "dtype": "float32", "shape": [None, 3]}]
    named = {item["name"]: item for item in signature["parameters"]}
    assert named["layers.0.weight"]["shape"] == [5, 6]
    assert named["norm.weight"]["normalisation"] is True
    assert {item["name"] for item in signature["buffers"]} == {
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }


def test_its_network_is_the_modules_function(package: Path) -> None:
    network = build_architecture("small", {"width": 5})
    module: nn.Module = sys.modules["brought"].Small(5).eval()
    parameters = {n: p.detach() for n, p in module.named_parameters()}
    buffers = {n: b for n, b in module.named_buffers() if n in network.buffers}
    x = torch.randn(4, 6)
    with torch.inference_mode():
        assert torch.equal(network.at(parameters, buffers)(x), module(x))
    double = {n: p.double() for n, p in parameters.items()}
    state = {n: b.double() if b.is_floating_point() else b for n, b in buffers.items()}
    found = network(double, state, x.double())
    assert found.dtype == torch.float64
    assert torch.allclose(found.float(), module(x), atol=1e-6)

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return network(weights, state, x.double()).square().sum()

    v = {n: torch.ones_like(p) for n, p in double.items()}
    _, product = torch.func.jvp(torch.func.grad(loss), (double,), (v,))
    assert all(bool(t.isfinite().all()) for t in product.values())
    assert peak_activation_bytes(network.at(parameters, buffers), (x,)) > 0


def test_its_second_derivative_is_that_of_the_modules_function(package: Path) -> None:
    """Of functions for which PyTorch has none: central differences of the module's gradient."""
    network = build_architecture("hard", {})
    module: nn.Module = sys.modules["brought"].Hard().double()
    parameters = {n: p.detach() for n, p in module.named_parameters()}
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    v = {n: torch.randn(p.shape, generator=generator).double() for n, p in parameters.items()}
    with torch.inference_mode():
        values = network.at(parameters, {})(x)
    assert torch.allclose(network(parameters, {}, x), values, rtol=1e-12)

    def ours(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return network(weights, {}, x).square().sum()

    def gradient(step: float) -> dict[str, torch.Tensor]:
        leaves = {n: (p + step * v[n]).requires_grad_() for n, p in parameters.items()}
        out = torch.func.functional_call(module, leaves, (x,)).square().sum()
        return dict(zip(leaves, torch.autograd.grad(out, list(leaves.values())), strict=True))

    found, back = torch.func.vjp(torch.func.grad(ours), parameters)
    ahead, behind, here = gradient(1e-5), gradient(-1e-5), gradient(0.0)
    for name, product in back(v)[0].items():
        assert torch.allclose(found[name], here[name], rtol=1e-6, atol=1e-6)
        wanted = (ahead[name] - behind[name]) / 2e-5
        assert torch.allclose(product, wanted, rtol=1e-5, atol=1e-5)


def test_a_module_that_is_registered_itself(package: Path) -> None:
    assert build_architecture("ready", {}).parameters["head.weight"].shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "config", "code", "words"),
    [
        (
            "smal",
            {},
            "architecture_unknown",
            "installed here: gone, hard, mute, number, ready, small",
        ),
        ("gone", {}, "architecture_unknown", "cannot be imported"),
        ("small", {"widht": 3}, "not_supported", "width (default 8), depth (default 1)"),
        ("small", {"width": -1}, "not_supported", "width must be positive"),
        ("small", {"width": "wide"}, "not_supported", "cannot be built"),
        ("ready", {"width": 3}, "not_supported", "takes no arguments"),
        ("number", {}, "not_supported", "makes a int"),
        ("mute", {}, "not_supported", "example_inputs"),
    ],
)
def test_what_cannot_be_built_and_why(
    package: Path, name: str, config: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(ArchitectureUnusable) as caught:
        build_architecture(name, config)
    assert caught.value.code == code
    assert words in caught.value.detail
    failure = judge(caught.value)
    assert failure.problem.code == code
    assert words in failure.problem.detail
    assert not failure.retry
