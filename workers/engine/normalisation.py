"""How a direction is scaled against the weights it starts from.

Owns the rules `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `none`, what is ignored, and the
two conventions for tensors of one dimension or none. Filter normalisation is that of Li et al.,
"Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, section 4.

Let d be the direction's tensor and θ the parameter's. Tensors with more than one dimension:

    filter   each slice i along the output dimension: d_i · ‖θ_i‖ / (‖d_i‖ + 1e-10)
    layer    the whole tensor as one such slice
    weight   d ⊙ θ
    dfilter  each slice: d_i / (‖d_i‖ + 1e-10)
    dlayer   the whole tensor as one such slice
    none     d

Tensors of one dimension or none are zero where `ignore` names them. Otherwise, in our convention,
they are scaled by the same rule as one slice; in `li2018` they are copies of θ, for every rule,
`none` included, as in the code that was published with the paper.
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
from workers.engine.network import Network, Point

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
    """Whose rule holds for tensors of one dimension or none."""

    LOSSATLAS = "lossatlas"
    LI2018 = "li2018"


class Kind(StrEnum):
    """What a parameter is, as far as `ignore` and `exclude` care."""

    WEIGHT = "weight"
    BIAS = "bias"
    NORM = "norm"


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
                1 if name in network.transposed_parameters else 0,
                rule,
            )
            for name in network.parameters
        },
        direction.buffers,
    )


def _normalise_one(d: Tensor, theta: Tensor, kind: Kind, output_dim: int, rule: Rule) -> Tensor:
    if kind in rule.ignore:
        return torch.zeros_like(theta)
    if kind is not Kind.WEIGHT and rule.convention is Convention.LI2018:
        return theta.clone()
    by_slice = kind is Kind.WEIGHT
    match rule.normalisation:
        case Normalisation.FILTER | Normalisation.LAYER:
            whole = rule.normalisation is Normalisation.LAYER or not by_slice
            return d * (
                _norms(theta, output_dim, whole) / (_norms(d, output_dim, whole) + _EPSILON)
            )
        case Normalisation.DFILTER | Normalisation.DLAYER:
            whole = rule.normalisation is Normalisation.DLAYER or not by_slice
            return d / (_norms(d, output_dim, whole) + _EPSILON)
        case Normalisation.WEIGHT:
            return d * theta
        case Normalisation.NONE:
            return d.clone()


def _norms(tensor: Tensor, output_dim: int, whole: bool) -> Tensor:
    """Frobenius norms, shaped to multiply `tensor`: one per output slice, or one in all."""
    others = None if whole else [dim for dim in range(tensor.dim()) if dim != output_dim]
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=others, keepdim=True)
    return norms


def _word(kind: type[_E], word: str, what: str) -> _E:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise InputInvalid(f"unknown {what} {word!r}; known are {known}") from None
