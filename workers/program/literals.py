"""Literals of a graph as the values that operators take, for one element type and device.

Owns the meaning of "the program's own type": a literal type equal to the one the program was
exported in stands for the type that the evaluation computes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from service.programs.graph import Arg, Dtype, Graph, MemoryFormat

_MEMORY_FORMATS: Final[Mapping[str, torch.memory_format]] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
    "channels_last_3d": torch.channels_last_3d,
    "preserve": torch.preserve_format,
}
#: What PyTorch makes of a tensor of numbers whose type is not said.
_DEFAULT: Final = "float32"


@dataclass(frozen=True)
class Situation:
    """In what type and where a program computes.

    Attributes:
        exported: the floating type that the program was exported in.
        dtype: the floating type it computes in now.
        device: where its inputs are.
        differentiable: whether every operator must have all derivatives and be batchable.
    """

    exported: str
    dtype: torch.dtype
    device: torch.device
    differentiable: bool

    @classmethod
    def of(
        cls, graph: Graph, dtype: torch.dtype, device: torch.device, *, differentiable: bool
    ) -> Situation:
        return cls(graph.dtype, dtype, device, differentiable)

    def dtype_named(self, name: str) -> torch.dtype:
        """A literal type; the exported one means the computing one."""
        if name == self.exported:
            return self.dtype
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    @property
    def default_dtype(self) -> torch.dtype:
        """The type of a tensor of real numbers that the program makes without saying which."""
        return self.dtype_named(_DEFAULT)

    def value(self, argument: Arg) -> Any:
        """The argument with its literals in place; references stay as they are.

        A number beyond the computing type's range becomes the largest one in it: programs write
        "minus infinity" as the least float32.
        """
        if isinstance(argument, Dtype):
            return self.dtype_named(argument.name)
        if isinstance(argument, MemoryFormat):
            return _MEMORY_FORMATS[argument.name]
        if isinstance(argument, tuple):
            return tuple(self.value(item) for item in argument)
        if type(argument) is float and torch.finfo(self.dtype).bits < 32:
            most = torch.finfo(self.dtype).max
            if most < abs(argument) < float("inf"):
                return most if argument > 0 else -most
        return argument
