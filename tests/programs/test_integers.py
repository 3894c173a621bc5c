"""The table of integer arguments against the operators' schemas, and its bounds."""

from __future__ import annotations

import re

import pytest

from service.programs import integers, limits
from service.programs.integers import IntegerTooLarge
from tests.programs.test_allowlist import ALLOWED

#: An integer, or a list of them, in the words of PyTorch's schemas; optional or not.
_WHOLE = re.compile(r"(?:Sym)?[Ii]nt(?:\[\d*\])?\??(?:\[\d*\])?\?? (\w+)")

NAMED = [(op, name) for op, named in integers.kinds().items() for name in named]


def _whole(line: str) -> list[str]:
    """Names of a schema line's integer parameters, read by no parser of ours."""
    parameters = line.partition("(")[2].rpartition(" -> ")[0]
    return [m[1] for part in parameters.split(", ") if (m := _WHOLE.match(part.strip()))]


def test_every_integer_argument_is_classified_and_nothing_else() -> None:
    wanted = {op: names for op, line in ALLOWED.items() if (names := _whole(line))}
    assert {op: [*named] for op, named in integers.kinds().items()} == wanted


def test_the_schemas_reading_by_hand_finds_each_sort() -> None:
    """The pattern is a test's own: it must not overlook a sort of integer."""
    line = (
        "x(Tensor self, SymInt a, int b=1, int[2] c=[1, 1], SymInt[]? d=None, int? e=None, "
        "Tensor?[] t, *, ScalarType? f=None, int[1]? g=None) -> Tensor"
    )
    assert _whole(line) == ["a", "b", "c", "d", "e", "g"]


def test_every_kind_has_bounds() -> None:
    kinds = {kind for named in integers.kinds().values() for kind in named.values()}
    assert kinds - {"choice", "unread"} == set(integers._RANGES)
    choices = {n for named in integers.kinds().values() for n, k in named.items() if k == "choice"}
    assert choices == set(integers._CHOICES)


@pytest.mark.parametrize(("operator", "name"), NAMED)
def test_no_argument_takes_what_no_network_has(operator: str, name: str) -> None:
    kind = integers.kinds()[operator][name]
    if kind in {"unread", "index"}:
        return  # an index is any number of 64 bits: the ends of slices are the largest
    for number in (2**40, -(2**40), 2**63 - 1, -(2**63)):
        with pytest.raises(IntegerTooLarge, match=re.escape(f"{operator}: {name!r}")):
            integers.check(operator, name, [number])
    integers.check(operator, name, [1])


@pytest.mark.parametrize("kind", ["size", "told", "factor"])
def test_products_are_bounded_though_each_number_is_small(kind: str) -> None:
    operator, name = next(
        (op, n) for op, named in integers.kinds().items() for n, k in named.items() if k == kind
    )
    with pytest.raises(IntegerTooLarge, match="product"):
        integers.check(operator, name, [1 << 15, 1 << 15, 1 << 15])
    integers.check(operator, name, [4, 1, 0, 4])
    assert limits.MAX_ENLARGEMENT < limits.MAX_TENSOR_ELEMENTS
