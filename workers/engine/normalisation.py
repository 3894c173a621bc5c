"""How a direction is scaled against the weights it starts from.

Owns the rules `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `none`, what is ignored, and the
two conventions for tensors of one dimension or none. Filter normalisation is that of Li et al.,
"Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, section 4.

Let d be the direction's tensor and θ the parameter's. Tensors with more than one dimension:

    filter   each filter i: d_i · ‖θ_i‖ / (‖d_i‖ + 1e-10)
    layer    the whole tensor as one filter
    weight   d ⊙ θ
    dfilter  each filter: d_i / (‖d_i‖ + 1e-10)
    dlayer   the whole tensor as one filter
    none     d

A filter is the weights that one output channel depends on: what the network's `filters` say, else
one index of dimension 0. In `li2018` it is one index of dimension 0 for every tensor, as in the
code that was published with the paper.

Tensors of one dimension or none are zero where `ignore` names them. Otherwise, in our convention,
they are scaled by the same rule as one filter; in `li2018` they are copies of θ, for every rule,
`none` included, as in that code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import torch
from torch import Tensor

from workers.engine.direction import Direction
from workers.engine.errors import InputInvalid
from workers.engine.network import Filters, Network, Point

# Keeps a slice of zeros at zero instead of dividing by nothing; the paper's code has the same.
_EPSILON = 1e-10


_E = TypeVar("_E", bound=StrEnum)


class Normalisation(StrEnum):
    """Named as on the wire."""

    FILTER = "filter"
    LAYER = "layer"
    WEIGHT = "weight"
    DFILTER = "dfilter"
    DLAYER = "dlayer"
    NONE = "none"


class Convention(StrEnum):
    """Whose rule holds for filters and for tensors of one dimension or none."""

    LOSSATLAS = "lossatlas"
    LI2018 = "li2018"


class Kind(StrEnum):
    """What a parameter is, as far as `ignore` and `exclude` care."""

    WEIGHT = "weight"
    BIAS = "bias"
    NORM = "norm"


_BY_FILTER = frozenset({Normalisation.FILTER, Normalisation.DFILTER})
IGNORABLE = frozenset({Kind.BIAS, Kind.NORM})


@dataclass(frozen=True)
class Rule:
    """How to scale a direction. `ignore` holds `Kind.BIAS`, `Kind.NORM`, both or neither."""

    normalisation: Normalisation = Normalisation.FILTER
    ignore: frozenset[Kind] = IGNORABLE
    convention: Convention = Convention.LOSSATLAS

    @classmethod
    def from_words(
        cls,
        normalisation: str = "filter",
        ignore: Iterable[str] = ("bias", "norm"),
        convention: str = "lossatlas",
    ) -> Rule:
        """The rule named by the wire's words.

        Raises:
            InputInvalid: a word is unknown.
        """
        return cls(
            _word(Normalisation, normalisation, "normalisation"),
            ignorable(ignore),
            _word(Convention, convention, "convention"),
        )


def ignorable(words: Iterable[str]) -> frozenset[Kind]:
    """The kinds named by `words`, each "bias" or "norm".

    Raises:
        InputInvalid: a word is neither.
    """
    kinds = frozenset(_word(Kind, word, "kind of parameter to ignore") for word in words)
    if not kinds <= IGNORABLE:
        raise InputInvalid("only 'bias' and 'norm' can be ignored")
    return kinds


def parameter_kind(network: Network, name: str) -> Kind:
    """`WEIGHT` for more than one dimension; else `NORM` or `BIAS`, as the network says."""
    if len(network.parameters[name].shape) > 1:
        return Kind.WEIGHT
    return Kind.NORM if name in network.normalisation_parameters else Kind.BIAS


def normalise(direction: Direction, origin: Point, network: Network, rule: Rule) -> Direction:
    """`direction` scaled against `origin` by `rule`, in float64. Buffers stay as they are."""
    return Direction(
        {
            name: _normalise_one(
                direction.parameters[name].detach().to("cpu", torch.float64),
                origin.parameters[name].detach().to("cpu", torch.float64),
                parameter_kind(network, name),
                None if rule.convention is Convention.LI2018 else network.filters.get(name),
                rule,
            )
            for name in network.parameters
        },
        direction.buffers,
    )


def _normalise_one(
    d: Tensor, theta: Tensor, kind: Kind, filters: Filters | None, rule: Rule
) -> Tensor:
    if kind in rule.ignore:
        return torch.zeros_like(theta)
    if kind is not Kind.WEIGHT and rule.convention is Convention.LI2018:
        return theta.clone()
    view = tuple(theta.shape)
    dims: tuple[int, ...] = ()
    if kind is Kind.WEIGHT and rule.normalisation in _BY_FILTER:
        view, dims = (view, (0,)) if filters is None else (filters.view, filters.dims)
    match rule.normalisation:
        case Normalisation.FILTER | Normalisation.LAYER:
            own = d.reshape(view)
            ratio = _norms(theta.reshape(view), dims) / (_norms(own, dims) + _EPSILON)
            return (own * ratio).reshape(d.shape)
        case Normalisation.DFILTER | Normalisation.DLAYER:
            own = d.reshape(view)
            return (own / (_norms(own, dims) + _EPSILON)).reshape(d.shape)
        case Normalisation.WEIGHT:
            return d * theta
        case Normalisation.NONE:
            return d.clone()


def _norms(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Frobenius norms, shaped to multiply `tensor`: one for each index along `dims`."""
    others = [dim for dim in range(tensor.dim()) if dim not in dims]
    if dims and not others:
        return tensor.abs()
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=others if dims else None, keepdim=True)
    return norms


def _word(kind: type[_E], word: str, what: str) -> _E:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise InputInvalid(f"unknown {what} {word!r}; known are {known}") from None
