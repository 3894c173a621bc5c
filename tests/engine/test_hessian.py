"""Gradients and Hessian-vector products against dense float64 derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.engine.cases import Case, reference_losses
from tests.engine.dense_hessian import CURVED, classifying, dense_hessian, objective
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.datasets import Dataset
from workers.engine.errors import (
    CurvatureUnsupported,
    InputInvalid,
    MemoryExceeded,
    PrecisionUnavailable,
)
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator, choose_form, preferred_forms
from workers.engine.losses import Loss
from workers.engine.normalisation import Kind
from workers.engine.objective import Objective
from workers.engine.operators import dense, gaussian_block, rademacher_block
from workers.engine.precision import Precision

NETS = CURVED
each_net = pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())


@each_net
@pytest.mark.parametrize("batch_size", [4, 64])
def test_products_are_those_of_the_dense_hessian_for_every_batching(
    case: Case, batch_size: int
) -> None:
    local = objective(case, batch_size).at(case.origin)
    operator = HessianOperator(local, block=2)
    expected = dense_hessian(case)
    assert operator.layout.size == len(expected)
    block = gaussian_block(operator, 3, 1, "test")
    # Rounding of sums over samples and parameters: 1e-12 of the size of the result.
    error = (operator.apply(block) - block @ expected).abs().max()
    assert error <= 1e-12 * (block @ expected).abs().max()


@pytest.mark.parametrize("name", ["two inputs", "attention"])
def test_the_dense_reference_is_the_derivative_of_the_gradient(name: str) -> None:
    """Layer norms are where PyTorch's vmapped derivatives have been seen to be wrong."""
    case = NETS[name]
    chosen = objective(case)
    expected, step = dense_hessian(case), 1e-5
    for column in range(0, len(expected), 7):
        ends = []
        for sign in (1, -1):
            local = chosen.at(case.origin)
            local.vector[column] += sign * step
            ends.append(local.gradient().vector)
        slope = (ends[0] - ends[1]) / (2 * step)
        assert torch.allclose(slope, expected[:, column], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("form", "retain"),
    [
        (HessianForm.SWEPT, True),
        (HessianForm.VMAPPED, False),
        (HessianForm.VMAPPED, True),
        (HessianForm.FORWARD, False),
    ],
)
@pytest.mark.parametrize("name", ["mlp", "convnet", "attention", "sequence", "two inputs"])
def test_every_form_gives_the_same_matrix(name: str, form: HessianForm, retain: bool) -> None:
    case = NETS[name]
    operator = HessianOperator(objective(case).at(case.origin), form=form, retain=retain)
    block = rademacher_block(operator, 9 if retain else 2, 1, "test")
    expected = block @ dense_hessian(case)
    first, second = operator.apply(block), operator.apply(block)
    assert torch.equal(first, second)
    assert torch.allclose(first, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_a_product_does_not_depend_on_its_block_when_swept() -> None:
    case = NETS["mlp"]
    operator = HessianOperator(objective(case).at(case.origin), block=3)
    block = gaussian_block(operator, 7, 1, "test")
    together = operator.apply(block)
    assert all(torch.equal(together[i], operator.apply(block[i : i + 1])[0]) for i in range(7))


@each_net
def test_gradient_and_loss(case: Case) -> None:
    got = objective(case).at(case.origin).gradient()
    assert got.loss == pytest.approx(reference_losses(case).mean(), rel=1e-13)
    # a loss may be made of other operators where it is differentiated: their last bits differ
    assert objective(case).at(case.origin).loss() == pytest.approx(got.loss, rel=1e-14)
    step = 1e-6
    direction = gaussian_block(HessianOperator(objective(case).at(case.origin)), 1, 3, "test")[0]
    moved = [
        objective(case)
        .at(
            type(case.origin)(
                {
                    n: t.double() + sign * step * got.layout.views(direction)[n]
                    for n, t in case.origin.parameters.items()
                },
                case.origin.buffers,
            )
        )
        .loss()
        for sign in (1, -1)
    ]
    slope = (moved[0] - moved[1]) / (2 * step)
    # Central differences: step² of curvature's change and 1e-16/step of rounding.
    assert float(direction @ got.vector) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (frozenset({Kind.BIAS, Kind.NORM}), ["0.weight", "3.weight", "7.weight"]),
        (
            frozenset({Kind.NORM}),
            ["0.weight", "0.bias", "3.weight", "7.weight", "7.bias"],
        ),
    ],
)
def test_excluded_parameters_are_held_fixed(exclude: frozenset[Kind], left: list[str]) -> None:
    case = NETS["convnet"]
    chosen = objective(case, exclude=exclude)
    assert list(chosen.layout.names) == left
    got = dense(HessianOperator(chosen.at(case.origin), retain=True))
    assert torch.allclose(got, dense_hessian(case, left), rtol=0, atol=1e-12)


def test_a_group_of_parameters_is_a_diagonal_block() -> None:
    case = NETS["mlp"]
    got = dense(HessianOperator(objective(case).at(case.origin, names=["2.weight", "2.bias"])))
    assert torch.allclose(got, dense_hessian(case)[-45:, -45:], rtol=0, atol=1e-12)
    with pytest.raises(InputInvalid, match=r"'3\.weight' is no parameter"):
        objective(case).at(case.origin, names=["3.weight"])
    with pytest.raises(InputInvalid, match="no parameter is named"):
        objective(case).at(case.origin, names=[])


def test_float32_is_close_to_float64() -> None:
    case = NETS["convnet"]
    operator = HessianOperator(objective(case, precision=Precision.FLOAT32).at(case.origin))
    block = rademacher_block(operator, 3, 1, "test")
    expected = block.double() @ dense_hessian(case)
    # Some tens of roundings of 6e-8 along each chain of operators.
    assert (operator.apply(block) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert operator.apply(block).dtype is torch.float32


def test_probes_of_a_parameter_do_not_depend_on_the_others() -> None:
    case = NETS["mlp"]
    whole = HessianOperator(objective(case).at(case.origin))
    part = HessianOperator(objective(case).at(case.origin, names=["2.weight"]))
    for source in (gaussian_block, rademacher_block):
        a = whole.layout.views(source(whole, 2, 5, "probe")[1])["2.weight"]
        assert torch.equal(a.reshape(-1), source(part, 2, 5, "probe")[1])
        assert torch.equal(source(whole, 3, 5, "probe")[:2], source(whole, 2, 5, "probe"))


def test_the_form_follows_from_the_device_and_the_block_and_works() -> None:
    local = objective(NETS["convnet"]).at(NETS["convnet"].origin)
    assert preferred_forms(torch.device("cuda"), 8) == (HessianForm.VMAPPED, HessianForm.SWEPT)
    for device, block in (("cuda", 1), ("cpu", 1), ("cpu", 8)):
        assert preferred_forms(torch.device(device), block) == (HessianForm.SWEPT,)
    assert choose_form(local) is HessianForm.SWEPT
    for form in HessianForm:
        assert choose_form(local, block=3, forms=(form, HessianForm.SWEPT)) is form


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("view size is not compatible with input tensor's size and stride"),
        NotImplementedError("forward mode"),
        IndexError("vmap"),
        AssertionError(),
        MemoryExceeded("vmapped needs more", batch_size=8),
        CurvatureUnsupported("no such derivative"),
        KeyError("anything"),
    ],
)
@pytest.mark.parametrize("samples", [8, 5])
def test_a_form_that_fails_in_whatever_way_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, error: Exception, samples: int
) -> None:
    """Also where it fails in the ragged last batch alone: 21 samples in batches of 8."""
    local = objective(NETS["convnet"]).at(NETS["convnet"].origin)
    plain = HessianOperator.apply

    def apply(self: HessianOperator, block: Tensor) -> Tensor:
        batch = self._objective._batches[0]
        if self._form is HessianForm.VMAPPED and batch.stop - batch.start == samples:
            raise error
        return plain(self, block)

    monkeypatch.setattr(HessianOperator, "apply", apply)
    forms = (HessianForm.VMAPPED, HessianForm.FORWARD, HessianForm.SWEPT)
    assert choose_form(local, forms=forms) is HessianForm.FORWARD
    assert choose_form(local, forms=forms[:1]) is HessianForm.SWEPT


@pytest.mark.parametrize("wrong", [1.01, torch.nan])
@pytest.mark.parametrize("vectors", [8, 2])
def test_a_form_with_other_products_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, wrong: float, vectors: int
) -> None:
    local = objective(NETS["mlp"]).at(NETS["mlp"].origin)
    plain = HessianOperator.apply

    def apply(self: HessianOperator, block: Tensor) -> Tensor:
        off = self._form is HessianForm.VMAPPED and len(block) == vectors
        return plain(self, block) * (wrong if off else 1.0)

    monkeypatch.setattr(HessianOperator, "apply", apply)
    forms = (HessianForm.VMAPPED, HessianForm.SWEPT)
    assert choose_form(local, forms=forms) is HessianForm.SWEPT


def test_a_convolution_with_group_norm_in_float64_has_products_in_a_form() -> None:
    """PyTorch's forward mode fails on it."""
    case = classifying(
        "group norm",
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(16, 3)
        ),
        11,
        1,
        4,
        4,
    )
    local = objective(case).at(case.origin)
    with pytest.raises(RuntimeError, match="view size"):
        HessianOperator(local, form=HessianForm.FORWARD).apply(torch.ones(1, local.layout.size))
    forms = (HessianForm.FORWARD, HessianForm.SWEPT)
    assert choose_form(local, forms=forms) is HessianForm.SWEPT
    got = dense(HessianOperator(local))
    assert torch.allclose(got, dense_hessian(case), rtol=0, atol=1e-11 * float(got.abs().max()))


def test_named_forms() -> None:
    assert HessianForm.named("vmapped") is HessianForm.VMAPPED
    with pytest.raises(InputInvalid, match="'swept', 'vmapped', 'forward'"):
        HessianForm.named("backwards")


class _Once(torch.autograd.Function):
    """An operator with a first derivative only, as fused kernels are."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.square()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        raise NotImplementedError("no derivative")


class _Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Once.apply(self.linear(x))
        return out


def test_a_program_without_derivatives_is_refused() -> None:
    module = seeded(_Fused)
    network, point = ModuleNetwork(module), point_of(module)
    data = Dataset("d", (torch.ones(4, 3),), torch.ones(4, 2))
    chosen = Objective(Setting(network, Loss.named("mse"), 4), point, data)
    with pytest.raises(CurvatureUnsupported, match="differentiated twice"):
        HessianOperator(chosen.at(point)).apply(torch.ones(1, 8))


def test_what_cannot_be_is_refused_by_name() -> None:
    case = NETS["mlp"]
    with pytest.raises(PrecisionUnavailable, match="not in bf16"):
        objective(case, precision=Precision.BF16)
    module = seeded(lambda: nn.LayerNorm(5))
    data = Dataset("d", (torch.ones(4, 5),), torch.ones(4, 5))
    with pytest.raises(InputInvalid, match="every parameter"):
        Objective(
            Setting(ModuleNetwork(module), Loss.named("mse"), 4),
            point_of(module),
            data,
            exclude=frozenset({Kind.BIAS, Kind.NORM}),
        )
    operator = HessianOperator(objective(case).at(case.origin))
    with pytest.raises(InputInvalid, match=r"\(k, 149\)"):
        operator.apply(torch.ones(1, 3))
    with pytest.raises(InputInvalid, match="at least one vector"):
        HessianOperator(objective(case).at(case.origin), block=0)
