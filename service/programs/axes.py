"""Where a parameter's indices go when it is reshaped, transposed, cut and joined before its use.

Owns the arithmetic of it: a value's dimensions as factors, each with the axes of the parameter
that an index along it moves over. Knows sizes only, never numbers, and no operator. Pure.

The elements of a parameter, in row-major order, are numbered from 0. An `Axis` is `extent` elements
of that order, `stride` apart: the rows of a 4 × 3 parameter are Axis(3, 4), its columns Axis(1, 3).
Reshaping a dimension of 4 to 2 × 2 divides its axis into Axis(6, 2) and Axis(3, 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Axis:
    """`extent` elements of a parameter, `stride` apart in its row-major order."""

    stride: int
    extent: int


@dataclass(frozen=True)
class Factor:
    """A factor of a dimension's size, and the axes that an index along it moves over.

    `whole` where the index along it is the index along its one axis, from the first to the last: it
    can then be divided as the axis can. `size` is None where it is known only when the graph runs.
    """

    size: int | None
    axes: tuple[Axis, ...]
    whole: bool = False


Dim = tuple[Factor, ...]


@dataclass(frozen=True)
class Seen:
    """One parameter as a value of the graph shows it.

    `fixed` holds the axes along which the value is one index out of several (`W[0]`).
    """

    dims: tuple[Dim, ...]
    fixed: frozenset[Axis] = frozenset()


def as_stored(shape: Sequence[int]) -> Seen:
    """A parameter as it is."""
    dims = []
    stride = math.prod(shape)
    for size in shape:
        stride = stride // size if size else 0
        dims.append((Factor(size, (Axis(stride, size),), True),) if size != 1 else ())
    return Seen(tuple(dims))


def of_sizes(sizes: Sequence[int | None]) -> Seen:
    """A value of these sizes that shows no parameter."""
    return Seen(tuple((Factor(size, ()),) for size in sizes))


def size_of(dim: Dim) -> int | None:
    """The size of a dimension; None where it is known only when the graph runs."""
    size = 1
    for factor in dim:
        if factor.size is None:
            return None
        size *= factor.size
    return size


def axes_of(dims: Iterable[Dim]) -> frozenset[Axis]:
    """Every axis that some index along these dimensions moves over."""
    return frozenset(axis for dim in dims for factor in dim for axis in factor.axes)


def permuted(seen: Seen, order: Sequence[int]) -> Seen:
    """Dimension i of the result is dimension `order[i]`."""
    return Seen(tuple(seen.dims[index] for index in order), seen.fixed)


def cut(seen: Seen, dim: int, size: int | None) -> Seen:
    """A part of `size` indices along `dim`, in any order."""
    axes = tuple(sorted(axes_of([seen.dims[dim]])))
    dims = list(seen.dims)
    dims[dim] = (Factor(size, axes),)
    return Seen(tuple(dims), seen.fixed)


def without(seen: Seen, dim: int) -> Seen:
    """One index along `dim`, which goes."""
    dims = seen.dims[:dim] + seen.dims[dim + 1 :]
    return Seen(dims, seen.fixed | axes_of([seen.dims[dim]]))


def with_new(seen: Seen, dim: int) -> Seen:
    """A dimension of one before `dim`."""
    return Seen((*seen.dims[:dim], (), *seen.dims[dim:]), seen.fixed)


def spread(seen: Seen, sizes: Sequence[int | None]) -> Seen:
    """Broadcast to `sizes`: the last dimensions are those of the value."""
    missing = len(sizes) - len(seen.dims)
    dims = [()] * missing + list(seen.dims)
    return Seen(
        tuple(
            (*dim, Factor(size, ())) if size_of(dim) == 1 and size != 1 else dim
            for dim, size in zip(dims, sizes, strict=True)
        ),
        seen.fixed,
    )


def united(one: Seen, other: Seen) -> Seen:
    """What two values of equal sizes show of one parameter, taken together."""
    if one == other:
        return one
    return Seen(
        tuple(
            (Factor(size_of(a), tuple(sorted(axes_of([a, b])))),)
            for a, b in zip(one.dims, other.dims, strict=True)
        ),
        one.fixed | other.fixed,
    )


def reshaped(seen: Seen, sizes: Sequence[int | None]) -> Seen | None:
    """The same elements in row-major order under other sizes, None for sizes not known.

    Nothing where it cannot be said which index goes where.
    """
    old, new = list(seen.dims), list(sizes)
    same: list[Dim] = []
    while old and new and new[-1] is not None and size_of(old[-1]) == new[-1]:
        same.insert(0, old.pop())
        new.pop()
    if not old and not new:
        return Seen(tuple(same), seen.fixed)
    if any(size_of(dim) is None for dim in old) or None in new:
        if len(new) != 1:
            return None
        return Seen(((Factor(None, tuple(sorted(axes_of(old)))),), *same), seen.fixed)
    factors = [factor for dim in old for factor in dim]
    dims = _grouped(factors, [size for size in new if size is not None])
    if dims is None:
        return None
    # Factors of one that no dimension took.
    return Seen((*dims, *same), seen.fixed | axes_of([tuple(factors)]))


def _grouped(factors: list[Factor], sizes: list[int]) -> list[Dim] | None:
    """Dimensions of `sizes`, from the first of `factors` on; takes them from the list."""
    dims = []
    for size in sizes:
        dim: list[Factor] = []
        left = size
        while left > 1:
            if not factors:
                return None
            factor = factors.pop(0)
            own = factor.size
            if not own:
                return None
            if own > left:
                if own % left:
                    return None
                factor, rest = _divided(factor, own, left)
                factors.insert(0, rest)
                own = left
            if left % own:
                return None
            dim.append(factor)
            left //= own
        dims.append(tuple(dim))
    return dims if all(factor.size == 1 for factor in factors) else None


def _divided(factor: Factor, size: int, first: int) -> tuple[Factor, Factor]:
    second = size // first
    if not factor.whole:
        return Factor(first, factor.axes), Factor(second, factor.axes)
    stride = factor.axes[0].stride
    return (
        Factor(first, (Axis(stride * second, first),), True),
        Factor(second, (Axis(stride, second),), True),
    )
