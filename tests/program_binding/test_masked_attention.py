"""Small transformers with every kind of mask, exported by the client, against autograd in float64.

What a mask hides is not small: with half of the keys hidden, or a query that sees none, a mask that
is added instead of obeyed shows in every number.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import torch
from lossatlas import export_model
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.program_binding.exported import Case, computing_in, read
from tests.support.module_network import seeded
from workers.engine.evaluation import cast_point

_WIDTH: Final = 8
_LENGTH: Final = 6


class Masked(nn.Module):
    """Tokens, two blocks of attention by `rule`, a mean over the tokens that are none of padding.

    `rule` is given the block, queries, keys and values of shape (samples, heads, tokens, size), and
    which tokens are none of padding, shape (samples, tokens).
    """

    def __init__(self, rule: Callable[..., Tensor], kv_heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, _WIDTH)
        self.place = nn.Parameter(torch.randn(_LENGTH, _WIDTH))
        size = _WIDTH // 4
        self.q = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(2))
        self.kv = nn.ModuleList(nn.Linear(_WIDTH, 2 * kv_heads * size) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(2))
        self.bias = nn.Parameter(torch.randn(4, _LENGTH, _LENGTH))
        self.head = nn.Linear(_WIDTH, 3)
        self.rule, self.kv_heads = rule, kv_heads

    def forward(self, tokens: Tensor) -> Tensor:
        seen = tokens != 0
        x = self.embed(tokens) + self.place
        for q, kv, out in zip(self.q, self.kv, self.out, strict=True):
            queries = q(x).unflatten(-1, (4, -1)).transpose(1, 2)
            keys, values = kv(x).unflatten(-1, (2, self.kv_heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = self.rule(self, queries, keys, values, seen)
            x = x + torch.tanh(out(mixed.transpose(1, 2).flatten(2)))
        weights = seen.to(x.dtype).unsqueeze(-1)
        return self.head((x * weights).sum(1) / weights.sum(1).clamp(min=1))


def _padding(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, seen[:, None, None, :])


def _padding_and_causal(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """As `transformers` makes it: queries before the first token of a sample see nothing."""
    causal = torch.ones(_LENGTH, _LENGTH, dtype=torch.bool).tril()
    return F.scaled_dot_product_attention(q, k, v, causal & seen[:, None, None, :])


def _added(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    hidden = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, hidden[:, None, None, :], scale=0.9)


def _least(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    hidden = (1.0 - seen[:, None, None, :].to(q.dtype)) * torch.finfo(q.dtype).min
    return F.scaled_dot_product_attention(q, k, v, hidden)


def _causal(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _fewer_queries(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    part = F.scaled_dot_product_attention(q[:, :, :4], k, v, is_causal=True)
    return torch.cat((part, q[:, :, 4:]), 2)


def _learned(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, m.bias)


def _learned_and_padding(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    mask = m.bias.masked_fill(~seen[:, None, None, :], -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, mask)


def _grouped(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    mask = seen[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)


def _grouped_causal(m: Masked, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


class Encoder(nn.Module):
    """PyTorch's own layers, with a mask for tokens and one for padding.

    Every query sees something: of one that does not, the layers' own kernel says NaN in inference.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, _WIDTH)
        layer = nn.TransformerEncoderLayer(_WIDTH, 2, 12, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(_WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        later = torch.ones(_LENGTH, _LENGTH, dtype=torch.bool).triu(3)
        hidden = self.layers(self.embed(tokens), mask=later, src_key_padding_mask=tokens == 0)
        return self.head(hidden[:, 2])


NETWORKS: Final[dict[str, Callable[[], nn.Module]]] = {
    **{
        rule.__name__.strip("_"): lambda rule=rule: Masked(rule)  # type: ignore[misc]
        for rule in (
            *(_padding, _padding_and_causal, _added, _least, _causal, _fewer_queries),
            *(_learned, _learned_and_padding),
        )
    },
    "grouped": lambda: Masked(_grouped, 2),
    "grouped_causal": lambda: Masked(_grouped_causal, 2),
    "encoder": Encoder,
}


def _tokens() -> Tensor:
    """Padding after a sample, and before one."""
    tokens = torch.randint(1, 20, (3, _LENGTH), generator=torch.Generator().manual_seed(7))
    tokens[1, 3:], tokens[2, :2] = 0, 0
    return tokens


def _case(name: str, folder: Path) -> Case:
    module = seeded(NETWORKS[name]).eval()
    path = export_model(module, _tokens()[:2], folder / "program.pt2")
    return Case(module, (_tokens(),), *read(path))


def _losses(case: Case) -> tuple[Callable[..., Tensor], Callable[..., Tensor], dict[str, Tensor]]:
    """Of the program, and of the module with the public operator; the parameters in float64."""
    point = cast_point(case.point, torch.float64, torch.device("cpu"))
    network, module = case.network(), copy.deepcopy(case.module).double()
    targets = torch.tensor([0, 2, 1])

    def ours(parameters: dict[str, Tensor]) -> Tensor:
        outputs = network(parameters, point.buffers, *case.inputs)
        return F.cross_entropy(outputs, targets)

    def eager(parameters: dict[str, Tensor]) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH), computing_in(torch.float64):
            outputs = functional_call(module, parameters, case.inputs)
        return F.cross_entropy(outputs, targets)

    return ours, eager, dict(point.parameters)


def _agree(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    size = max(float(tensor.abs().max()) for tensor in wanted.values())
    assert size > 1e-3
    for name, tensor in wanted.items():
        assert float((found[name] - tensor).abs().max()) <= 1e-10 * size, name


@pytest.mark.parametrize("name", NETWORKS)
def test_both_derivatives_are_eager_pytorchs(name: str, tmp_path: Path) -> None:
    case = _case(name, tmp_path)
    ours, eager, parameters = _losses(case)
    assert torch.allclose(ours(parameters), eager(parameters), rtol=1e-12)

    leaves = {n: tensor.clone().requires_grad_() for n, tensor in parameters.items()}
    first = torch.autograd.grad(
        eager(leaves), list(leaves.values()), create_graph=True, allow_unused=True
    )
    used = {n: g for n, g in zip(leaves, first, strict=True) if g is not None}
    generator = torch.Generator().manual_seed(1)
    vector = {
        n: torch.randn(t.shape, generator=generator, dtype=t.dtype) for n, t in parameters.items()
    }
    along = sum(((g * vector[n]).sum() for n, g in used.items()), torch.zeros(()))
    second = torch.autograd.grad(along, list(leaves.values()), allow_unused=True)
    product = {
        n: torch.zeros_like(tensor) if part is None else part
        for (n, tensor), part in zip(parameters.items(), second, strict=True)
    }

    gradient, back = vjp(grad(ours), parameters)
    _agree(gradient, {n: g.detach() for n, g in used.items()})
    _agree(back(vector)[0], product)
    _agree(jvp(grad(ours), (parameters,), (vector,))[1], product)
    pair = {n: torch.stack((t, -t)) for n, t in vector.items()}
    _agree({n: t[0] for n, t in vmap(back)(pair)[0].items()}, product)


@pytest.mark.parametrize("name", ["padding", "padding_and_causal", "grouped", "learned", "encoder"])
def test_values_for_inference_are_the_modules(name: str, tmp_path: Path) -> None:
    case = _case(name, tmp_path)
    point = case.point
    with torch.inference_mode():
        found = case.network().at(point.parameters, point.buffers)(*case.inputs)
        assert torch.allclose(found, case.eager(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["padding_and_causal", "causal", "learned"])
def test_a_program_exported_with_its_operators_taken_apart(name: str, tmp_path: Path) -> None:
    """What attention is then called depends on the machine that exported: it is the same."""
    module = seeded(NETWORKS[name]).eval()
    exported = torch.export.export(module, (_tokens(),), dynamic_shapes=({0: Dim("batch")},))
    path = tmp_path / "program.pt2"
    torch.export.save(exported.run_decompositions({}), path)
    case = Case(module, (_tokens(),), *read(path))
    ours, eager, parameters = _losses(case)
    _agree(grad(ours)(parameters), grad(eager)(parameters))
