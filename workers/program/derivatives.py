"""Operators composed of others, where PyTorch's own lack a derivative or have a wrong one.

Every form gives the values of the operator that it stands for but for rounding, and derivatives of
any order, forward and reverse, batched or not; of whole numbers it gives whole numbers.
`tests/program_binding/test_operators.py` compares each with the public operator. What was found
wanting in PyTorch's own:

    scaled_dot_product_attention         fused kernels have no second derivative
    hardsigmoid, cdist, multi_margin     the backward pass has no derivative; hardsigmoid's own has
                                         1/6 in float32 whatever the type
    floor_divide                         no derivative at all, where division that rounds has zero
    native_layer_norm, native_group_norm mean and 1/σ, when they are read, count as constants
    logaddexp, logaddexp2                second derivative NaN where the arguments lie far apart
    mish                                 second derivative NaN in float32 far out
    logit with an eps, sinc              second derivative NaN at 0 or 1, and at 0
    pow of tensors                       second derivative NaN where both are 0
    scatter of part of a source          no derivative
    scatter_reduce of products           forward over reverse silently wrong
    logcumsumexp                         forward over reverse silently wrong far apart
    group_norm                           no forward over reverse of images in channels-last order
    nll_loss_nd, nll_loss2d              no derivative in channels-last order
    norm                                 no forward over reverse

At kinks the derivative is PyTorch's: that of the side on which its first derivative is zero.

Owns these forms; which of them is bound, `operators` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

#: Of |πx| below which sin(πx)/(πx) is computed by its series, which is exact in float64 with fewer.
_SERIES_RANGE: Final = 1.0
_SERIES_TERMS: Final = 10


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention as products and a softmax: all derivatives, and batching, come with those.

    Args:
        attn_mask: broadcast to (…, queries, keys). Of truths: which keys a query sees; of numbers:
            added to its scores. A query that sees none has the result zero, as the public operator
            has it, and no derivative.
    """
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        # the kernel adds its mask, whatever its type
        seen, unseen = query.new_zeros(()), query.new_full((), -math.inf)
        attn_mask = torch.where(attn_mask, seen, unseen)
    output: Tensor = torch.ops.aten._scaled_dot_product_attention_math.default(
        query, key, value, attn_mask, 0.0, is_causal, None, scale=scale, enable_gqa=enable_gqa
    )[0]
    return output


def hardsigmoid(x: Tensor) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return functional.hardtanh(x + 3.0, 0.0, 6.0) / 6.0


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """‖x1ᵢ − x2ⱼ‖_p: shapes (…, n, size) and (…, m, size) → (…, n, m).

    Points that coincide by chance have no second derivative, and NaN says so. Of one set of points
    a point's distance from itself is zero wherever it goes.
    """
    differences = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if x1 is not x2:
        return _norms(differences, p)
    same = torch.eye(x1.shape[-2], dtype=torch.bool, device=x1.device)
    norms = _norms(torch.where(same.unsqueeze(-1), 1.0, differences), p)
    return torch.where(same, differences.sum(-1), norms)  # x − x, which is NaN where x is


def _norms(differences: Tensor, p: float) -> Tensor:
    result: Tensor = torch.linalg.vector_norm(differences, p, dim=-1)
    return result


def multi_margin_loss(
    x: Tensor,
    target: Tensor,
    p: float = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """Σ_{j ≠ y} w_y max(0, margin − x_y + x_j)^p / classes, for each sample of `x`.

    Args:
        x: shape (samples, classes) or (classes,).
        reduction: 0 none, 1 mean over samples, 2 sum.
    """
    rows, classes = x.reshape(-1, x.shape[-1]), target.reshape(-1, 1)
    own = torch.arange(rows.shape[1], device=x.device) == classes
    excess = torch.relu(margin - rows.gather(1, classes) + rows)
    if p == 2:
        excess = excess * excess
    if weight is not None:
        excess = excess * weight[classes]
    losses: Tensor = torch.where(own, 0.0, excess).sum(1) / rows.shape[1]
    if reduction == 0:
        return losses.reshape(target.shape)
    return losses.mean() if reduction == 1 else losses.sum()


def floor_divide(x: Tensor, other: Tensor | float) -> Tensor:
    """⌊x / other⌋, whose derivative is zero."""
    return torch.div(x, other, rounding_mode="floor")


def layer_norm_with_statistics(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """A layer norm, the means and 1/σ that it divides by; the last two with dimensions kept."""
    over = tuple(range(-len(normalized_shape), 0))
    variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    return torch.layer_norm(x, normalized_shape, weight, bias, eps), mean, scale


def group_norm_with_statistics(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    samples: int,
    channels: int,
    positions: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """A group norm, the means and 1/σ that it divides by, both of shape (samples, groups)."""
    require_sizes(x, samples, channels, positions)
    grouped = x.reshape(samples, groups, -1)
    variance, mean = torch.var_mean(grouped, 2, correction=0)
    return group_norm(x, groups, weight, bias, eps), mean, torch.rsqrt(variance + eps)


def require_sizes(x: Tensor, samples: int, channels: int, positions: int) -> None:
    """Holds the sizes that a kernel is told against those that there are.

    PyTorch compares their product alone, in 64 bits, which it can leave.

    Raises:
        ValueError: they differ.
    """
    there = (*x.shape[:2], math.prod(x.shape[2:])) if x.dim() >= 2 else tuple(x.shape)
    if there != (samples, channels, positions):
        raise ValueError(
            f"a group norm is told of {samples} × {channels} × {positions} numbers; its input is "
            f"{list(x.shape)}"
        )


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """A group norm of images in whatever order: its derivative knows the plain one alone."""
    return torch.group_norm(x.contiguous(), groups, weight, bias, eps, cudnn_enabled)


def logaddexp(x: Tensor, other: Tensor) -> Tensor:
    """log(eˣ + eᵒ)."""
    both = torch.stack(torch.broadcast_tensors(x, other))  # type: ignore[no-untyped-call]
    nothing = (both == -math.inf).all(0)
    # of two minus infinities the derivative would be that of ∞ − ∞
    return torch.where(nothing, -math.inf, torch.logsumexp(torch.where(nothing, 0.0, both), 0))


def logaddexp2(x: Tensor, other: Tensor) -> Tensor:
    """log₂(2ˣ + 2ᵒ)."""
    return logaddexp(x * math.log(2), other * math.log(2)) / math.log(2)


def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """log Σ_{j ≤ i} e^(x_j), by doubling the number of terms."""
    reached = 1
    while x.dim() > 0 and reached < x.shape[dim]:
        rest = x.shape[dim] - reached
        joined = logaddexp(x.narrow(dim, reached, rest), x.narrow(dim, 0, rest))
        x = torch.cat((x.narrow(dim, 0, reached), joined), dim)
        reached *= 2
    return x


def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 − x)), of x clamped to [eps, 1 − eps] where an eps is given."""
    inside = x if eps is None else x.clamp(eps, 1 - eps)
    return torch.log(inside / (1 - inside))


def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + eˣ))."""
    return x * torch.tanh(functional.softplus(x))


def power(x: Tensor, exponent: Tensor) -> Tensor:
    """x^exponent; constantly 1 where the exponent is 0."""
    return torch.pow(torch.where((x == 0) & (exponent == 0), 1, x), exponent)


def sinc(x: Tensor) -> Tensor:
    """sin(πx) / (πx), and 1 at zero."""
    angle = x * math.pi
    near = angle.abs() < _SERIES_RANGE
    square = torch.where(near, angle * angle, 0.0)
    series = torch.ones_like(square)
    for term in range(_SERIES_TERMS, 0, -1):  # by Horner's rule
        series = 1 - square / (2 * term * (2 * term + 1)) * series
    far = torch.where(near, 1.0, angle)
    return torch.where(near, series, torch.sin(far) / far)


def scatter(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """PyTorch's, of no more of `src` than `index` names."""
    return torch.scatter(x, dim, index, _indexed(src, index))


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """PyTorch's, of no more of `src` than `index` names."""
    return torch.scatter_add(x, dim, index, _indexed(src, index))


def _indexed(src: Tensor, index: Tensor) -> Tensor:
    """The part of `src` that an index of a smaller shape goes with."""
    return src[tuple(slice(size) for size in index.shape)]


def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    """PyTorch's, except for products."""
    src = _indexed(src, index)
    if reduce != "prod" or x.dim() == 0:
        return torch.scatter_reduce(x, dim, index, src, reduce, include_self=include_self)
    dim %= x.dim()
    places = torch.arange(x.shape[dim], device=x.device)
    # entries of `index` along dim + 1, the places that they may name along dim
    named = index.unsqueeze(dim) == places.reshape(-1, *[1] * (x.dim() - dim))
    factors = torch.where(named, src.unsqueeze(dim), 1).prod(dim + 1, dtype=src.dtype)
    touched = named.any(dim + 1)
    beyond: list[int] = []
    for size, reached in zip(reversed(x.shape), reversed(factors.shape), strict=True):
        beyond += [0, size - reached]
    factors = functional.pad(factors, beyond, value=1)
    touched = functional.pad(touched, beyond, value=False)
    return x * factors if include_self else torch.where(touched, factors, x)


def nll_loss2d(x: Tensor, *rest: Any, **named: Any) -> Tensor:
    """PyTorch's, of log-probabilities in whatever order."""
    result: Tensor = torch.ops.aten.nll_loss2d.default(x.contiguous(), *rest, **named)
    return result


def nll_loss_nd(x: Tensor, *rest: Any, **named: Any) -> Tensor:
    """PyTorch's, of log-probabilities in whatever order."""
    result: Tensor = torch.ops.aten.nll_loss_nd.default(x.contiguous(), *rest, **named)
    return result


def nll_loss2d_with_weight(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """PyTorch's, of log-probabilities in whatever order, and what the mean is divided by."""
    result: tuple[Tensor, Tensor] = torch.ops.aten.nll_loss2d_forward.default(x.contiguous(), *rest)
    return result


def norm(x: Tensor, p: float = 2) -> Tensor:
    """(Σ |x|^p)^(1/p) over all."""
    result: Tensor = torch.linalg.vector_norm(x, p)
    return result


#: The forms by the operator that each stands for, with its parameters in the schema's order.
FORMS: Final[Mapping[str, Callable[..., Any]]] = {
    "aten.scaled_dot_product_attention.default": attention,
    "aten.hardsigmoid.default": hardsigmoid,
    "aten.cdist.default": cdist,
    "aten.multi_margin_loss.default": multi_margin_loss,
    "aten.floor_divide.default": floor_divide,
    "aten.floor_divide.Scalar": floor_divide,
    "aten.native_layer_norm.default": layer_norm_with_statistics,
    "aten.native_group_norm.default": group_norm_with_statistics,
    "aten.group_norm.default": group_norm,
    "aten.logaddexp.default": logaddexp,
    "aten.logaddexp2.default": logaddexp2,
    "aten.logcumsumexp.default": logcumsumexp,
    "aten.logit.default": logit,
    "aten.mish.default": mish,
    "aten.pow.Tensor_Tensor": power,
    "aten.sinc.default": sinc,
    "aten.scatter.src": scatter,
    "aten.scatter_add.default": scatter_add,
    "aten.scatter_reduce.two": scatter_reduce,
    "aten.nll_loss2d.default": nll_loss2d,
    "aten.nll_loss_nd.default": nll_loss_nd,
    "aten.nll_loss2d_forward.default": nll_loss2d_with_weight,
    "aten.norm.Scalar": norm,
}
