"""Modules exported as users export them, read by our own reader and bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from service.programs import Graph, read_program
from tests.support.module_network import point_of
from workers.engine.network import Point
from workers.program.binder import BoundNetwork
from workers.program.canonical import constants_of


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    """What a module makes of literals and whole numbers, it makes in this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def save(
    module: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, dynamic: bool = True
) -> Path:
    """Exports in evaluation mode with the first dimension free, and saves."""
    batch = Dim("batch")
    shapes = tuple({0: batch} for _ in inputs) if dynamic else None
    torch.export.save(torch.export.export(module.eval(), inputs, dynamic_shapes=shapes), path)
    return path


def read(path: Path) -> tuple[Graph, dict[str, Tensor]]:
    """The checked graph of an archive and its constants."""
    with read_program(path) as program:
        return program.graph, constants_of(program.graph, program.contiguous)


@dataclass(frozen=True)
class Case:
    """A module, inputs for some samples, and the same module read back as a program."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    graph: Graph
    constants: dict[str, Tensor]

    @property
    def point(self) -> Point:
        """The module's weights, those under the names that the program keeps."""
        found = point_of(self.module)
        kept = {spec.name for spec in self.graph.tensors}
        return Point(
            {n: t for n, t in found.parameters.items() if n in kept},
            {
                spec.name: found.buffers[spec.name]
                for spec in self.graph.tensors
                if spec.role == "buffer"
            },
        )

    def network(self, *, fold: bool = True) -> BoundNetwork:
        return BoundNetwork(self.graph, self.constants, fold=fold)

    def eager(self, *inputs: Tensor) -> Tensor:
        out = self.module(*(inputs or self.inputs))
        assert isinstance(out, Tensor)
        return out


def exported(make: Callable[[], nn.Module], inputs: tuple[Tensor, ...], folder: Path) -> Case:
    """Exports with two samples; the case keeps all that are given."""
    module = make()
    graph, constants = read(save(module, tuple(t[:2] for t in inputs), folder / "program.pt2"))
    return Case(module, inputs, graph, constants)
