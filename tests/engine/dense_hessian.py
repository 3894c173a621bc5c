"""Dense float64 Hessians of the shared cases: the plain reference of the curvature tests.

One straight function of one flat vector, differentiated column by column: no batches, no layouts
of the engine's, no products, and no vmap. (`torch.func.hessian` and `jacrev(jacrev(...))` give
matrices that are not even symmetric for a layer norm in torch 2.13; differences of gradients side
with the plain loops, which a test shows.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from tests.engine.cases import BY_NAME, Case
from tests.support.module_network import ModuleNetwork, point_of, seeded
from tests.support.reference import ROOT
from workers.engine.datasets import Dataset
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.objective import Objective
from workers.engine.precision import Precision


class Attention(nn.Module):
    """One block of two-headed attention with a residual, then a mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 18)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, positions, width = x.shape
        q, k, v = (
            t.reshape(n, positions, 2, width // 2).transpose(1, 2)
            for t in self.mix(self.norm(x)).chunk(3, -1)
        )
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.head((x + mixed.transpose(1, 2).reshape(x.shape)).mean(1))
        return out


def small_convnet() -> nn.Module:
    """Convolutions, batch norms and a linear head: 343 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def classifying(name: str, make: Callable[[], nn.Module], samples: int, *shape: int) -> Case:
    """A case of three classes on random inputs of this shape."""
    module = seeded(make, seed=20)
    g = torch.Generator().manual_seed(20)
    return Case(
        name,
        module,
        ModuleNetwork(module),
        point_of(module),
        Dataset(name, (torch.randn(samples, *shape, generator=g),), torch.arange(samples) % 3),
        Loss.named("cross_entropy"),
        lambda o, t: nn.functional.cross_entropy(o, t, reduction="none"),
    )


#: Twice differentiable, of fewer than 350 parameters. In the sequence's, samples and positions
#: are without a target.
CURVED = {
    **{
        name: BY_NAME[name]
        for name in ("mlp", "probabilities", "mse", "huber", "binary", "two inputs")
    },
    **{name: BY_NAME[name] for name in ("sequence", "program")},
    "attention": classifying("attention", Attention, 17, 5, 6),
    "convnet": classifying("convnet", small_convnet, 21, 1, 8, 8),
}

_known: dict[str, Tensor] = {}


def dense_hessian(case: Case, names: list[str] | None = None, point: Point | None = None) -> Tensor:
    """∇²L in float64, shape (P, P), over `names` (all by default) in the module's order."""
    if point is not None:
        whole = _differentiate(case, point)
    elif case.name in _known:
        whole = _known[case.name]
    else:
        whole = _known[case.name] = _differentiate(case, case.origin)
    kept = torch.cat(
        [
            torch.full((spec.numel(),), names is None or name in names)
            for name, spec in case.origin.parameters.items()
        ]
    )
    return whole[kept][:, kept]


def _differentiate(case: Case, point: Point) -> Tensor:
    chosen = list(case.network.parameters)
    fixed = {
        n: t.double() if t.is_floating_point() else t
        for n, t in {**point.parameters, **point.buffers}.items()
    }
    inputs = tuple(t.double() if t.is_floating_point() else t for t in case.dataset.inputs)
    targets = case.dataset.targets
    targets = targets.double() if targets.is_floating_point() else targets
    shapes = [fixed[n].shape for n in chosen]
    sizes = [shape.numel() for shape in shapes]

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split(sizes)
        moved = {n: p.reshape(s) for n, p, s in zip(chosen, parts, shapes, strict=True)}
        arguments = (*inputs, targets) if case.loss.takes_targets else inputs
        outputs = functional_call(case.module, {**fixed, **moved}, arguments)
        return case.reference(outputs, targets).mean()

    vector = torch.cat([fixed[n].reshape(-1) for n in chosen])
    with sdpa_kernel(SDPBackend.MATH):
        matrix: Tensor = hessian(loss, vector)
    assert torch.allclose(matrix, matrix.T, rtol=0, atol=1e-12)
    return matrix


def objective(
    case: Case,
    batch_size: int = 8,
    precision: Precision = Precision.FLOAT64,
    exclude: frozenset = frozenset(),  # type: ignore[type-arg]
) -> Objective:
    """The engine's objective of a case; 8 does not divide any of the cases' sample counts."""
    setting = Setting(case.network, case.loss, batch_size, precision)
    return Objective(setting, case.origin, case.dataset, exclude=exclude)


def digits() -> tuple[Objective, Point]:
    """The trained reference network of tests/data/reference/digits_mlp, and its final weights."""
    root = ROOT / "digits_mlp"
    weights = load_file(sorted(root.glob("checkpoint_*.safetensors"))[-1])
    data = load_file(root / "data.safetensors")
    module = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    # The file's names are its program's; the shapes are all different.
    by_shape = {tuple(t.shape): t for t in weights.values()}
    assert len(by_shape) == 4
    point = Point({n: by_shape[tuple(p.shape)] for n, p in module.named_parameters()}, {})
    dataset = Dataset("digits", (data["inputs"].flatten(1),), data["targets"])
    loss = Loss.named("cross_entropy")
    setting = Setting(ModuleNetwork(module), loss, 512, Precision.FLOAT64)
    return Objective(setting, point, dataset), point
