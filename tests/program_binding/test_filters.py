"""Filters, found out by moving weights: those that move one output channel are one filter.

Every operator with weights is in one program, each with outputs of its own, so that one pass moves
a weight of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from service.programs import canonical
from service.programs.graph import Filters, Graph, InputSpec, Node, TensorRef, TensorSpec
from service.programs.roles import with_roles
from tests.program_binding.exported import read
from workers.engine.direction import Direction
from workers.engine.directions import random_direction
from workers.engine.network import Point
from workers.engine.normalisation import Rule, normalise
from workers.program.architectures import ArchitectureNetwork
from workers.program.binder import BoundNetwork

SPATIAL = (5, 4, 4)
FEATURES = 4 * 80


@dataclass(frozen=True)
class Case:
    """An operator applied to one weight.

    Attributes:
        shape: the weight's.
        apply: (inputs of shape (batch, FEATURES), weight) to the outputs, batch first.
        channels: dimensions of the outputs that count output channels.
    """

    name: str
    shape: tuple[int, ...]
    apply: Callable[[Tensor, Tensor], Tensor]
    channels: tuple[int, ...]


def _image(x: Tensor, dims: int) -> Tensor:
    sizes = SPATIAL[:dims]
    return x[:, : 4 * torch.Size(sizes).numel()].reshape(-1, 4, *sizes)


def _applied(call: Any, dims: int, groups: int) -> Callable[[Tensor, Tensor], Tensor]:
    def apply(x: Tensor, w: Tensor) -> Tensor:
        result = call(_image(x, dims), w, groups=groups)
        assert isinstance(result, Tensor)
        return result

    return apply


def _convolutions() -> list[Case]:
    plain: list[Any] = [F.conv1d, F.conv2d, F.conv3d]
    flipped: list[Any] = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]
    kinds = [(dims, (3, 2, 2), *kind) for dims in (1, 2, 3) for kind in ((1, 3), (2, 6), (4, 4))]
    kinds += [(1, (1,), 2, 6), (2, (1, 1), 4, 8), (2, (1, 3), 1, 1), (3, (2, 1, 2), 2, 2)]
    cases = []
    for dims, kernel, groups, outputs in kinds:
        size = kernel[:dims]
        for call, shape in (
            (plain[dims - 1], (outputs, 4 // groups, *size)),
            (flipped[dims - 1], (4, outputs // groups, *size)),
        ):
            name = f"{call.__name__} {size} groups {groups} outputs {outputs}"
            cases.append(Case(name, shape, _applied(call, dims, groups), (1,)))
    return cases


def _convolution(transposed: bool, groups: int) -> Case:
    return Case(
        f"convolution transposed {transposed} groups {groups}",
        (4, 4 // groups, 3, 2),
        lambda x, w: torch.convolution(
            _image(x, 2), w, None, (2, 1), (0, 1), (1, 1), transposed, (0, 0), groups
        ),
        (1,),
    )


def _rows(x: Tensor) -> Tensor:
    return x[:, :4]


def _matrix(x: Tensor) -> Tensor:
    return x[:, :12].reshape(-1, 3, 4)


def _packed(x: Tensor, parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return torch.cat([F.linear(_rows(x), part) for part in parts], 1)


CASES = [
    *_convolutions(),
    *(_convolution(transposed, groups) for transposed in (False, True) for groups in (1, 2, 4)),
    Case(
        "conv1d same",
        (6, 2, 3),
        lambda x, w: F.conv1d(_image(x, 1), w, None, 1, "same", 1, 2),
        (1,),
    ),
    Case(
        "conv2d same",
        (6, 2, 3, 1),
        lambda x, w: F.conv2d(_image(x, 2), w, padding="same", groups=2),
        (1,),
    ),
    Case(
        "conv3d same", (2, 4, 1, 1, 1), lambda x, w: F.conv3d(_image(x, 3), w, padding="same"), (1,)
    ),
    Case("linear", (5, 4), lambda x, w: F.linear(_rows(x), w), (1,)),
    Case("linear of the transposed", (4, 5), lambda x, w: F.linear(_rows(x), w.t()), (1,)),
    Case("linear, weight as input", (3, 4), lambda x, w: F.linear(w, _rows(x)).t(), (1,)),
    Case(
        "addmm", (4, 5), lambda x, w: torch.addmm(torch.ones(5, dtype=w.dtype), _rows(x), w), (1,)
    ),
    Case("mm", (4, 5), lambda x, w: torch.mm(_rows(x), w), (1,)),
    Case("mm, one output", (4, 1), lambda x, w: torch.mm(_rows(x), w), (1,)),
    Case("mm of the transposed", (5, 4), lambda x, w: torch.mm(_rows(x), w.t()), (1,)),
    Case("mm from the left", (5, 4), lambda x, w: torch.mm(w, _rows(x).t()).t(), (1,)),
    Case("matmul", (4, 5), lambda x, w: _matrix(x) @ w, (2,)),
    Case("matmul of the transposed", (5, 4), lambda x, w: _matrix(x) @ w.mT, (2,)),
    Case("matmul from the left", (5, 3), lambda x, w: w @ _matrix(x), (1,)),
    Case("matmul by head", (2, 4, 3), lambda x, w: _matrix(x)[:, None] @ w, (1, 3)),
    Case(
        "bmm",
        (3, 4, 2),
        lambda x, w: torch.bmm(_matrix(x).transpose(0, 1), w).transpose(0, 1),
        (1, 2),
    ),
    Case(
        "bmm of the transposed",
        (3, 2, 4),
        lambda x, w: torch.bmm(_matrix(x).transpose(0, 1), w.transpose(1, 2)).transpose(0, 1),
        (1, 2),
    ),
    Case(
        "bmm of the expanded",
        (4, 5),
        lambda x, w: torch.bmm(_matrix(x), w.expand(x.shape[0], 4, 5)),
        (2,),
    ),
    Case(
        "baddbmm",
        (3, 4, 2),
        lambda x, w: torch.baddbmm(
            torch.ones(1, 1, 1, dtype=w.dtype), _matrix(x).transpose(0, 1), w
        ).transpose(0, 1),
        (1, 2),
    ),
    Case(
        "addbmm",
        (3, 4, 2),
        lambda x, w: torch.addbmm(torch.ones(1, 1, dtype=w.dtype), _matrix(x).transpose(0, 1), w),
        (1,),
    ),
    Case(
        "tensordot", (4, 3, 2), lambda x, w: torch.tensordot(_matrix(x), w, ([2, 1], [0, 1])), (1,)
    ),
    Case("inner", (5, 4), lambda x, w: torch.inner(_rows(x), w), (1,)),
    Case("mv", (5, 4), lambda x, w: torch.mv(w, _rows(x).sum(0)).expand(x.shape[0], 5), (1,)),
    Case(
        "einsum by head",
        (4, 2, 3),
        lambda x, w: torch.einsum("bnd,dhk->bhnk", _matrix(x), w),
        (1, 3),
    ),
    Case(
        "einsum, heads first",
        (2, 4, 3),
        lambda x, w: torch.einsum("bnd,hdk->bhnk", _matrix(x), w),
        (1, 3),
    ),
    Case(
        "einsum by place",
        (5, 3, 4),
        lambda x, w: torch.einsum("b...d,o...d->bo...", _matrix(x), w),
        (1, 2),
    ),
    Case(
        "einsum over heads",
        (2, 3, 5),
        lambda x, w: torch.einsum("bhk,hko->bo", x[:, :6].reshape(-1, 2, 3), w),
        (1,),
    ),
    Case(
        "einsum of three",
        (5, 4, 3),
        lambda x, w: torch.einsum("bi,oij,bj->bo", _rows(x), w, x[:, 4:7]),
        (1,),
    ),
    Case(
        "einsum, one output",
        (4, 3),
        lambda x, w: torch.einsum("bi,ij,bj->b", _rows(x), w, x[:, 4:7])[:, None],
        (1,),
    ),
    Case("bilinear", (5, 4, 3), lambda x, w: F.bilinear(_rows(x), x[:, 4:7], w), (1,)),
    Case(
        "embedding, a look-up for a channel",
        (3, 4),
        lambda x, w: F.embedding((x[:, :1] * 0).long() + torch.arange(3), w),
        (1,),
    ),
    Case("cdist", (1, 5, 4), lambda x, w: torch.cdist(_matrix(x), w), (2,)),
    Case("packed, in chunks", (6, 4), lambda x, w: _packed(x, w.chunk(3)), (1,)),
    Case("packed, split", (6, 4), lambda x, w: _packed(x, w.split([4, 2])), (1,)),
    Case("packed, stacked", (3, 2, 4), lambda x, w: _packed(x, w.unbind()), (1,)),
    Case("packed, by index", (3, 2, 4), lambda x, w: _packed(x, [w[0], w[1], w[2]]), (1,)),
    Case(
        "packed, [in, out] in slices",
        (4, 6),
        lambda x, w: torch.cat([_rows(x) @ w[:, :4], _rows(x) @ w[:, 4:]], 1),
        (1,),
    ),
    Case("summed in slices", (8, 3), lambda x, w: _rows(x) @ w[:4] + x[:, 4:8] @ w[4:], (1,)),
    Case("reshaped to [in, out]", (2, 2, 3), lambda x, w: _rows(x) @ w.view(4, 3), (1,)),
    Case("reshaped from [in, heads, …]", (4, 2, 3), lambda x, w: _rows(x) @ w.flatten(1), (1,)),
    Case(
        "a wide one reshaped by head",
        (4, 6),
        lambda x, w: torch.einsum("bnd,dhk->bhnk", _matrix(x), w.view(4, 2, 3)),
        (1, 3),
    ),
    Case(
        "permuted and reshaped",
        (2, 4, 3),
        lambda x, w: _rows(x) @ w.permute(1, 0, 2).reshape(4, 6),
        (1,),
    ),
    Case(
        "joined",
        (4, 3),
        lambda x, w: (_rows(x) @ torch.cat([w, torch.ones(4, 2, dtype=w.dtype)], 1))[:, :3],
        (1,),
    ),
    Case("flipped", (4, 3), lambda x, w: _rows(x) @ w.flip(0), (1,)),
    Case("scaled", (4, 3), lambda x, w: _rows(x) @ (w * 0.5), (1,)),
    Case(
        "masked", (4, 3), lambda x, w: _rows(x) @ (w * torch.full((4, 3), 2.0, dtype=w.dtype)), (1,)
    ),
    Case(
        "kernels from the left of the channels",
        (3, 2, 4),
        lambda x, w: F.conv1d(_image(x, 1), w.permute(1, 2, 0)),
        (1,),
    ),
    Case(
        "transposed, channels first",
        (6, 4, 3),
        lambda x, w: F.conv_transpose1d(_image(x, 1), w.transpose(0, 1)),
        (1,),
    ),
    Case(
        "transposed by groups, apart",
        (2, 2, 3, 2),
        lambda x, w: F.conv_transpose1d(_image(x, 1), w.flatten(0, 1), groups=2),
        (1,),
    ),
]


class Bank(nn.Module):
    """Every case beside the others."""

    def __init__(self, cases: list[Case]) -> None:
        super().__init__()
        self.cases = cases
        self.weights = nn.ParameterList(
            torch.rand(c.shape, dtype=torch.float64) + 0.5 for c in cases
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [case.apply(x, w).flatten(1) for case, w in zip(self.cases, self.weights, strict=True)],
            1,
        )


def _exported(module: nn.Module, folder: Path, inputs: Tensor, *, decomposed: bool = False) -> Any:
    """The graph and its constants."""
    program = torch.export.export(module.eval(), (inputs,), dynamic_shapes=({0: Dim("batch")},))
    path = folder / "program.pt2"
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    return read(path)


@dataclass(frozen=True)
class Found:
    """A case after every weight was moved: which of its output channels each moves."""

    case: Case
    name: str
    moves: Tensor


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[BoundNetwork, list[Found]]:
    torch.manual_seed(0)
    module = Bank(CASES)
    inputs = torch.rand(3, FEATURES, dtype=torch.float64) + 0.5
    network = BoundNetwork(*_exported(module, tmp_path_factory.mktemp("filters"), inputs[:2]))
    weights = {name: p.detach() for name, p in module.named_parameters()}
    names = list(weights)
    channels, starts = [], [0]
    for case, weight in zip(CASES, weights.values(), strict=True):
        out = case.apply(inputs, weight)
        of = [out.shape[d] if d in case.channels else 1 for d in range(1, out.dim())]
        numbers = torch.arange(torch.Size(of).numel()).reshape(of)
        channels.append(numbers.expand(out.shape[1:]).flatten())
        starts.append(starts[-1] + channels[-1].numel())
    moves = [
        torch.zeros(int(c.max()) + 1, w.numel(), dtype=torch.bool)
        for c, w in zip(channels, weights.values(), strict=True)
    ]
    with torch.inference_mode():
        before = network(weights, {}, inputs)
        for element in range(max(w.numel() for w in weights.values())):
            moved = {n: w.clone() for n, w in weights.items()}
            for weight in moved.values():
                if element < weight.numel():
                    weight.view(-1)[element] += 0.25
            changed = ((network(moved, {}, inputs) - before).abs() > 1e-9).any(0)
            for index, weight in enumerate(weights.values()):
                if element < weight.numel():
                    own = changed[starts[index] : starts[index + 1]]
                    moves[index][channels[index][own], element] = True
    found = [Found(c, n, m) for c, n, m in zip(CASES, names, moves, strict=True)]
    return network, found


def _numbered(filters: Filters | None, shape: tuple[int, ...]) -> Tensor:
    """The number of the filter that each weight belongs to."""
    view, dims = (shape, (0,)) if filters is None else (filters.view, filters.dims)
    sizes = [size if d in dims else 1 for d, size in enumerate(view)]
    return torch.arange(torch.Size(sizes).numel()).reshape(sizes).expand(view).flatten()


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_the_weights_that_move_one_output_channel_are_one_filter(
    bank: tuple[BoundNetwork, list[Found]], index: int
) -> None:
    network, every = bank
    found = every[index]
    assert found.moves.any(0).all(), "every weight matters"
    number = _numbered(network.filters.get(found.name), found.case.shape)
    ours = {frozenset((number == n).nonzero().flatten().tolist()) for n in number.unique()}
    assert {frozenset(row.nonzero().flatten().tolist()) for row in found.moves} == ours


@pytest.mark.parametrize("rule", ["filter", "dfilter"])
def test_what_moves_one_channel_has_the_norm_of_the_weights_that_do(
    bank: tuple[BoundNetwork, list[Found]], rule: str
) -> None:
    """Channel scales of 100, 1, 0.01 and 0: a dead channel stays where it is."""
    network, every = bank
    torch.manual_seed(1)
    theta, raw = {}, {}
    for found in every:
        scale = torch.tensor([100.0, 1.0, 0.01, 0.0], dtype=torch.float64)
        # Of weights that several channels share, the last one's.
        weight = torch.randn(found.case.shape, dtype=torch.float64).flatten()
        for channel, own in enumerate(found.moves):
            weight[own] *= scale[channel % 4] / weight[own].norm()
        theta[found.name] = weight.reshape(found.case.shape)
        raw[found.name] = torch.randn(found.case.shape, dtype=torch.float64)
    scaled = normalise(Direction(raw), Point(theta, {}), network, Rule.from_words(rule)).parameters
    for found in every:
        for own in found.moves:
            norm = scaled[found.name].flatten()[own].norm()
            length = raw[found.name].flatten()[own].norm()
            wanted = theta[found.name].flatten()[own].norm() if rule == "filter" else 1.0
            wanted = wanted * length / (length + 1e-10)
            assert torch.allclose(norm, wanted, rtol=1e-12, atol=0), found.case.name


def test_the_filters_are_the_same_in_core_operators(
    bank: tuple[BoundNetwork, list[Found]], tmp_path: Path
) -> None:
    """`run_decompositions` spells products as permutations, reshapes and `bmm`."""
    kept = {
        "conv_transpose2d (3, 2) groups 2 outputs 6",
        "einsum by head",
        "einsum by place",
        "matmul by head",
        "tensordot",
        "addmm",
        "bmm of the expanded",
        "packed, in chunks",
    }
    cases = [case for case in CASES if case.name in kept]
    graph, _ = _exported(Bank(cases), tmp_path, torch.rand(2, FEATURES).double(), decomposed=True)
    assert "aten.einsum.default" not in {node.operator for node in graph.nodes}
    plain = {found.case.name: bank[0].filters.get(found.name) for found in bank[1]}
    assert len(cases) == len(kept)
    for case, spec in zip(cases, graph.tensors, strict=False):
        assert spec.filters == plain[case.name], case.name


class Read(nn.Module):
    """Weights whose filters are not those of one operator on one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = (nn.Parameter(torch.rand(s)) for s in ((6, 2), (2, 5)))
        self.tied = nn.Parameter(torch.rand(6, 6))
        self.head = nn.Embedding(6, 6)
        self.twice = nn.Parameter(torch.rand(6, 4))
        self.places = nn.Parameter(torch.rand(1, 6))
        self.latents, self.mixing = (nn.Parameter(torch.rand(s)) for s in ((3, 6), (6, 4)))
        self.normed = nn.utils.spectral_norm(nn.ConvTranspose1d(6, 4, 1, groups=2))
        self.direction, self.length = (nn.Parameter(torch.rand(s)) for s in ((6, 4), (1, 4)))
        self.square = nn.Parameter(torch.rand(6, 6))
        self.taps = nn.Parameter(torch.rand(3, 3, 4))
        self.register_buffer("basis", torch.rand(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(self.direction, dim=0, keepdim=True)
        ids = (x[:, 0] * 0).long()
        mixed = (self.latents @ self.mixing).t().mean(0, keepdim=True).expand(6, 3)
        parts = [
            x @ (self.down @ self.up),
            torch.relu(x @ self.tied) @ self.tied.t(),
            F.linear(self.head(ids), self.head.weight),
            x @ self.twice + (x + 1) @ self.twice,
            x + self.places,
            (x @ self.basis.t()) @ mixed,
            self.normed(x[..., None])[..., 0],
            x @ (self.direction * (self.length / length)),
            x @ (self.square + self.square.t()),
            torch.einsum("bhd,hde->be", x.view(-1, 2, 3), self.taps[:2]),
        ]
        return torch.cat(parts, 1)


def test_what_is_read_and_what_is_dimension_0(tmp_path: Path) -> None:
    graph, constants = _exported(Read(), tmp_path, torch.rand(2, 6))
    assert BoundNetwork(graph, constants).filters == {
        # Used twice in one role.
        "twice": Filters((6, 4), (1,)),
        # Scaled by numbers made of themselves: the filters of the weight they become.
        "normed.weight_orig": Filters((2, 3, 2, 1), (0, 2)),
        "direction": Filters((6, 4), (1,)),
        "length": Filters((1, 4), (1,)),
        # Summed over the parts that are used.
        "taps": Filters((3, 3, 4), (2,)),
        # Not read, so by dimension 0: factors of a weight, a weight in two roles, both dimensions
        # at once, tables that are added. Embeddings and heads are stored by row.
    }


def test_the_stored_form_says_nothing_of_filters_and_gives_the_same(tmp_path: Path) -> None:
    """Programs that were stored before there were filters have theirs, and keep their digest."""
    graph, _ = _exported(nn.ConvTranspose1d(4, 6, 3, groups=2), tmp_path, torch.rand(2, 4, 5))
    data = canonical.encode(graph)
    bare = replace(graph, tensors=tuple(replace(t, filters=None) for t in graph.tensors))
    assert canonical.encode(bare) == data
    assert all(set(t) == {"name", "shape", "dtype", "role"} for t in json.loads(data)["tensors"])
    (weight,) = [t for t in canonical.decode(data).tensors if t.name == "weight"]
    assert weight.filters == Filters((2, 2, 3, 3), (0, 2))


@pytest.mark.parametrize("convention", ["lossatlas", "li2018"])
def test_a_dead_channel_of_a_depthwise_transposed_convolution(
    convention: str, tmp_path: Path
) -> None:
    """Kernels of norms 100, 1, 0.01 and 0, as a program and as a module of an architecture."""
    module = nn.ConvTranspose2d(4, 4, 3, groups=4, bias=False).requires_grad_(False)
    scale = torch.tensor([100.0, 1.0, 0.01, 0.0])
    module.weight *= (scale / module.weight.flatten(1).norm(dim=1))[:, None, None, None]
    inputs = torch.rand(2, 4, 5, 4)
    spec = InputSpec("x", "float32", (None, 4, 5, 4), (2, 4, 5, 4))
    for network in (
        BoundNetwork(*_exported(module, tmp_path, inputs)),
        ArchitectureNetwork(module, (spec,)),
    ):
        origin = Point({"weight": module.weight}, {})
        rule = Rule.from_words("filter", convention=convention)
        d = normalise(random_direction(network, 1, "x"), origin, network, rule).parameters["weight"]
        assert torch.allclose(d.flatten(1).norm(dim=1), scale.double(), rtol=1e-6)


def test_the_published_code_takes_indices_of_dimension_0_for_filters(
    bank: tuple[BoundNetwork, list[Found]],
) -> None:
    network, every = bank
    torch.manual_seed(2)
    theta, raw = ({f.name: torch.randn(f.case.shape).double() for f in every} for _ in range(2))
    rule = Rule.from_words("filter", convention="li2018")
    scaled = normalise(Direction(raw), Point(theta, {}), network, rule).parameters
    for name, weight in theta.items():
        for d, w in zip(scaled[name], weight, strict=True):
            assert torch.allclose(d.norm(), w.norm(), rtol=1e-6)


def test_a_weight_that_an_architectures_modules_share_in_two_roles_goes_by_dimension_0() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose1d(4, 6, 3, groups=2)
            self.again = nn.ConvTranspose1d(4, 6, 3, groups=2)
            self.again.weight = self.up.weight
            self.back = nn.ConvTranspose1d(4, 6, 3)
            self.down = nn.Conv1d(6, 4, 3)
            self.down.weight = self.back.weight

    network = ArchitectureNetwork(Shared(), ())
    assert network.filters == {"up.weight": Filters((2, 2, 3, 3), (0, 2))}


def test_a_graph_whose_sizes_do_not_fit_has_no_filters_and_no_error() -> None:
    """Stored bytes may have been changed: rules of form pass them on, the run refuses them."""
    tensor, far = TensorRef(0), 2**40
    spoilt: list[tuple[str, dict[str, Any]]] = [
        ("permute.default", {"dims": (5, 5)}),
        ("transpose.int", {"dim0": 7, "dim1": 0}),
        ("movedim.int", {"source": 0, "destination": 9}),
        ("view.default", {"size": (-1, -1, 5)}),
        ("view.default", {"size": (far, far)}),
        ("expand.default", {"size": (far,)}),
        ("unflatten.int", {"dim": 3, "sizes": (2, -1)}),
        ("squeeze.dim", {"dim": 8}),
        ("chunk.default", {"chunks": 0}),
        ("split.Tensor", {"split_size": 0, "dim": 0}),
        ("split.Tensor", {"split_size": 1, "dim": far}),
        ("slice.Tensor", {"dim": 0, "start": 0, "end": far, "step": 0}),
        ("select.int", {"dim": -9, "index": 0}),
        ("narrow.default", {"dim": 0, "start": 0, "length": far}),
        ("flip.default", {"dims": (4,)}),
        ("linalg_vector_norm.default", {"dim": (6,)}),
        ("mul.Tensor", {"other": TensorRef(1)}),
    ]
    for name, rest in spoilt:
        nodes = (
            Node(f"aten.{name}", (("self", tensor), *rest.items()), (3,)),
            Node("aten.matmul.default", (("self", TensorRef(2)), ("other", TensorRef(3))), (4,)),
        )
        graph = Graph(
            (
                TensorSpec("w", (6, 4), "float32", "parameter"),
                TensorSpec("other", (5, 3), "float32", "constant"),
            ),
            (InputSpec("x", "float32", (None, 6), (2, 6)),),
            nodes,
            4,
        )
        assert {spec.filters for spec in with_roles(graph).tensors[1:]} == {None}, name
