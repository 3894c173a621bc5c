"""Directions as a caller names them: a saved one, its id, or a spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lossatlas.errors import InputError
from lossatlas.values import Checkpoint, Direction

#: A saved direction, the id of one, a checkpoint to go towards, or a spec as the API takes it.
DirectionLike = Direction | Checkpoint | str | Mapping[str, Any]


def random_directions(seed: int, normalize: str, ignore: Iterable[str]) -> dict[str, Any]:
    """A random direction's spec; each axis draws its own numbers from the seed."""
    return {
        "kind": "random",
        "seed": seed,
        "normalize": normalize,
        "ignore": sorted(set(ignore)),
    }


def direction_spec(direction: DirectionLike) -> str | dict[str, Any]:
    """What a job takes. Raises InputError for anything else."""
    if isinstance(direction, Direction):
        return direction.id
    if isinstance(direction, Checkpoint):
        return {"kind": "between", "target": direction.id}
    if isinstance(direction, str):
        return direction
    if isinstance(direction, Mapping) and "kind" in direction:
        return dict(direction)
    raise InputError(
        "a direction is a saved one, its id, a checkpoint, or a spec such as "
        '{"kind": "random", "seed": 1}'
    )
