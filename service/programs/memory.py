"""Which names share memory: what makes it safe to replace writing in place by computing anew.

A `Cell` is one tensor of the original program. Writing into it gives the cell a new value, under
every name it has. Other cells over the same memory would have changed too: they become stale, and
reading a stale cell is refused rather than answered with the old numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Owner = Literal["parameter", "buffer", "constant", "input"]


@dataclass(eq=False)
class Memory:
    """Memory that one or more cells look at.

    Attributes:
        owner: whose it is when the graph did not make it: then nothing may write there.
    """

    cells: list[Cell] = field(default_factory=list)
    owner: Owner | None = None


@dataclass(eq=False)
class Cell:
    """A tensor of the original program.

    Attributes:
        value: the number of its present value.
        overwritten_at: the node that changed its memory through another view, if one did.
    """

    value: int
    memory: Memory
    overwritten_at: int | None = None


def new_cell(value: int, owner: Owner | None = None) -> Cell:
    """A tensor with memory of its own."""
    cell = Cell(value, Memory(owner=owner))
    cell.memory.cells.append(cell)
    return cell


def view_of(value: int, sources: list[Cell]) -> Cell:
    """A tensor that may share the memory of each of `sources`."""
    memory = sources[0].memory
    for source in sources[1:]:
        memory = _join(memory, source.memory)
    cell = Cell(value, memory)
    memory.cells.append(cell)
    return cell


def overwrite(cell: Cell, value: int, node: int) -> None:
    """Gives the cell a new value; whatever else looks at its memory becomes stale."""
    for other in cell.memory.cells:
        if other is not cell:
            other.overwritten_at = node
    cell.memory.cells = [cell]
    cell.value = value


def _join(one: Memory, other: Memory) -> Memory:
    if one is other:
        return one
    small, large = sorted((one, other), key=lambda memory: len(memory.cells))
    for cell in small.cells:
        cell.memory = large
    large.cells += small.cells
    large.owner = large.owner or small.owner
    return large
