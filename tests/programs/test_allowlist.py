"""The allow-list against the PyTorch that is installed: every line, to the letter."""

from __future__ import annotations

import pytest
import torch

from service.programs import schema
from service.programs.targets import _ANEW, anew

#: Every line of the list, by `aten.name.overload`.
ALLOWED = schema._lines()


def _installed(operator: str) -> str:
    _, name, overload = operator.split(".")
    return str(getattr(getattr(torch.ops.aten, name), overload)._schema).removeprefix("aten::")


@pytest.mark.parametrize("operator", ALLOWED)
def test_line_is_pytorchs(operator: str) -> None:
    assert ALLOWED[operator] == _installed(operator)


@pytest.mark.parametrize("operator", ALLOWED)
def test_parsed_schema_is_pytorchs(operator: str) -> None:
    _, name, overload = operator.split(".")
    theirs = getattr(getattr(torch.ops.aten, name), overload)._schema
    ours = schema.schema_of(operator)
    assert ours is not None
    assert [p.name for p in ours.parameters] == [a.name for a in theirs.arguments]
    assert [p.required for p in ours.parameters] == [
        not a.has_default_value() for a in theirs.arguments
    ]
    assert [p.mutated for p in ours.parameters] == [
        a.alias_info is not None and a.alias_info.is_write for a in theirs.arguments
    ]
    assert ours.mutates == theirs.is_mutable
    assert len(ours.returns) == len(theirs.returns)


@pytest.mark.parametrize("operator", [name for name in ALLOWED if "(a!)" in ALLOWED[name]])
def test_in_place_has_its_like(operator: str) -> None:
    """What is written in place can be computed anew, with the same arguments."""
    if "dropout" in operator:
        return
    mutating, pure = schema.schema_of(operator), schema.schema_of(anew(operator))
    assert mutating is not None
    assert pure is not None
    assert not pure.mutates
    if operator != "aten.fill_.Scalar":
        ours = [p.name for p in mutating.parameters]
        assert ours == [p.name for p in pure.parameters][: len(ours)]
    assert all(not parameter.required for parameter in pure.parameters[len(mutating.parameters) :])


def test_special_names_are_of_the_list() -> None:
    assert set(_ANEW) <= set(ALLOWED)


@pytest.mark.parametrize(
    "word",
    ["rand", "empty", "resize", "set_", "from_file", "as_strided", "bernoulli", "multinomial"],
)
def test_list_has_none_of(word: str) -> None:
    assert not [name for name in ALLOWED if name.split(".")[1].startswith(word)]
