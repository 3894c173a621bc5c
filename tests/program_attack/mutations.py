"""Calls and archives changed at random, by seed: the same seed is the same attack.

Owns what is changed: integers, fractions, shapes, places and types of a case of the table of
operators; and in an archive, operators put in with whatever arguments, and its JSON.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.schema import Parameter, Schema, schema_of
from tests.program_attack.calls import FRACTIONS, NUMBERS, Call
from tests.program_binding.operators import TABLE
from tests.program_binding.operators.case import Drawn
from tests.programs.archive import Archive
from tests.programs.test_allowlist import ALLOWED
from tests.support.reference import ROOT

#: Sizes that operators' own checks let through more often than those of `NUMBERS`.
_SMALL: Final = (-3, -2, -1, 0, 0, 1, 1, 2, 3, 4, 5, 7, 9, 16, 33, 255, 1023, 4097, 65_536)
_DTYPES: Final = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.float32, torch.float64)
_WORDS: Final = ("none", "mean", "sum", "same", "valid", "tanh", "floor", "trunc", "reflect",
                 "constant", "circular", "replicate", "amax", "prod", "ij", "xy", "ij,jk->ik",
                 "...i,...i", "ii->i", "")  # fmt: skip
#: Networks that archives are made from.
_BASES: Final = ("digits_mlp", "digits_convnet")


def call(seed: int) -> Call:
    """A case of the table with some of its arguments changed."""
    draw = random.Random(seed)
    case = draw.choice(TABLE)
    schema = schema_of(case.operator)
    assert schema is not None
    given = dict(case.arguments)
    for parameter in schema.parameters:
        if draw.random() < 0.35:
            changed = _changed(parameter, given.get(parameter.name), draw)
            if changed is not None:
                given[parameter.name] = changed
    arguments = tuple((p.name, given[p.name]) for p in schema.parameters if p.name in given)
    drawn = dict(case.drawn)
    for name, value in arguments:
        if isinstance(value, Drawn):
            drawn[name] = value
    other = replace(case, arguments=arguments)
    return Call(other, arguments, f"mutation {seed}")


def _changed(parameter: Parameter, given: Any, draw: random.Random) -> Any:
    if isinstance(given, Drawn):
        return replace(given, shape=_shape(given.shape, draw), special=())
    if isinstance(given, Tensor):
        return _tensor(given, draw)
    if parameter.base == "int":
        if parameter.is_list:
            length = len(given) if isinstance(given, tuple) else draw.randrange(4)
            length = max(0, length + draw.choice((0, 0, 0, 0, -1, 1)))
            return tuple(_number(draw) for _ in range(length))
        return _number(draw)
    if parameter.base in {"float", "scalar"} and not parameter.is_list:
        return draw.choice((*FRACTIONS, _number(draw)))
    if parameter.base == "bool":
        return draw.random() < 0.5
    if parameter.base == "string":
        return draw.choice(_WORDS)
    return None


def _number(draw: random.Random) -> int:
    return draw.choice(_SMALL) if draw.random() < 0.8 else draw.choice(NUMBERS)


def _shape(shape: tuple[int, ...], draw: random.Random) -> tuple[int, ...]:
    sizes = list(shape)
    for _ in range(draw.randint(1, 2)):
        kind = draw.randrange(4)
        if kind == 0 and sizes:
            sizes.pop(draw.randrange(len(sizes)))
        elif kind == 1 and len(sizes) < 7:
            sizes.insert(draw.randint(0, len(sizes)), draw.choice((0, 1, 2, 3, 17)))
        elif sizes:
            sizes[draw.randrange(len(sizes))] = draw.choice((0, 1, 1, 2, 3, 5, 17, 64))
    return tuple(sizes)


def _tensor(given: Tensor, draw: random.Random) -> Tensor:
    kind = draw.randrange(3)
    if kind == 0 or given.is_floating_point():
        return given.to(draw.choice(_DTYPES))
    if kind == 1:
        return torch.full_like(given, draw.choice((-1, 0, 1, 7, 100, 255)))
    shape = _shape(tuple(given.shape), draw)
    return torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(1)).to(given.dtype)


@cache
def _base(name: str) -> Archive:
    return Archive.of(ROOT / name / "program.pt2")


def archive(seed: int) -> bytes:
    """A network with some operators put in before its result, or with its JSON changed."""
    draw = random.Random(seed)
    changed = copy.deepcopy(_base(draw.choice(_BASES)))
    for _ in range(draw.randint(1, 3)):
        _insert(changed, draw)
    if draw.random() < 0.3:
        _damage(changed, draw)
    return changed.to_bytes()


def _insert(archive: Archive, draw: random.Random) -> None:
    """An operator of the list; its result is added to the program's, so that it is computed."""
    schema = schema_of(draw.choice(sorted(ALLOWED)))
    assert schema is not None
    outputs = archive.module["graph"]["outputs"]
    result = outputs[0].get("as_tensor", {}).get("name")
    if result is None or schema.mutates or not schema.returns or "tensors" in schema.returns:
        return
    names = sorted({name for name in archive.values if isinstance(name, str)})
    new = f"put{len(archive.nodes)}"
    made = [f"{new}_{i}" for i in range(len(schema.returns))]
    _append(archive, schema.name, _arguments(schema, names, draw), made)
    summed, scaled, total = (f"{new}_{word}" for word in ("sum", "scaled", "total"))
    _append(archive, "aten.sum.default", [("self", _of(made[0]))], [summed])
    _append(
        archive,
        "aten.mul.Scalar",
        [("self", _of(summed)), ("other", {"as_float": 0.0})],
        [scaled],
    )
    _append(archive, "aten.add.Tensor", [("self", _of(result)), ("other", _of(scaled))], [total])
    for name in (*made, summed, scaled, total):
        archive.values[name] = copy.deepcopy(archive.values[result])
    archive.module["graph"]["outputs"] = [_of(total)]
    for spec in archive.module["signature"]["output_specs"]:
        if "user_output" in spec:
            spec["user_output"]["arg"] = _of(total)


def _append(
    archive: Archive, operator: str, arguments: list[tuple[str, Any]], outputs: list[str]
) -> None:
    archive.nodes.append(
        {
            "target": f"torch.ops.{operator}",
            "inputs": [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments],
            "outputs": [_of(name) for name in outputs],
            "metadata": {},
        }
    )


def _of(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


def _arguments(schema: Schema, names: list[str], draw: random.Random) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for parameter in schema.parameters:
        if not parameter.required and draw.random() < 0.6:
            continue
        if parameter.optional and draw.random() < 0.3:
            found.append((parameter.name, {"as_none": True}))
            continue
        value = _literal(parameter, names, draw)
        if value is not None:
            found.append((parameter.name, value))
    return found


def _literal(parameter: Parameter, names: list[str], draw: random.Random) -> Any:
    base, several = parameter.base, parameter.is_list
    count = draw.randrange(5)
    if base == "tensor":
        if several:
            return {"as_tensors": [{"name": draw.choice(names)} for _ in range(count)]}
        return _of(draw.choice(names))
    if base == "int":
        if several:
            return {"as_ints": [_number(draw) for _ in range(count)]}
        return {"as_int": _number(draw)}
    if base in {"float", "scalar"}:
        fractions = [x for x in FRACTIONS if x == x and abs(x) != float("inf")]
        if several:
            return {"as_floats": [draw.choice(fractions) for _ in range(count)]}
        return {"as_float": draw.choice(fractions)}
    if base == "bool":
        return {"as_bool": draw.random() < 0.5}
    if base == "string":
        return {"as_string": draw.choice(_WORDS)}
    if base == "dtype":
        return {"as_scalar_type": draw.randrange(1, 14)}
    return None


def _damage(archive: Archive, draw: random.Random) -> None:
    """A number, a name or a piece of the graph's JSON, replaced by another one of it."""
    places = _places(archive.graph["graph_module"]["graph"], ())
    at, other = draw.choice(places), draw.choice(places)
    holder: Any = archive.graph["graph_module"]["graph"]
    for key in at[:-1]:
        holder = holder[key]
    value: Any = archive.graph["graph_module"]["graph"]
    for key in other:
        value = value[key]
    if type(holder[at[-1]]) is int:
        holder[at[-1]] = draw.choice(NUMBERS)
    else:
        holder[at[-1]] = json.loads(json.dumps(value))


def _places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        if key != "metadata":
            found += _places(item, (*path, key))
    return found


def written(seed: int, folder: Path) -> Path:
    """The archive of a seed as a file."""
    path = folder / "program.pt2"
    path.write_bytes(archive(seed))
    return path
