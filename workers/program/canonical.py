"""Programs in the form that the service keeps: canonical graph JSON and safetensors of constants.

Owns both directions for the constants; the graph's bytes are `service.programs.canonical`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from service.programs import canonical
from service.programs.graph import Graph, TensorSpec
from service.programs.refusal import ProgramRefused
from workers.program.binder import BoundNetwork

_CONSTANTS: Final = "constants.safetensors"


def load_canonical(
    graph_path: Path, constants_path: Path | None, memory_bytes: int | None = None
) -> BoundNetwork:
    """The network of a stored program.

    Args:
        constants_path: None where the program has no constants.
        memory_bytes: see `BoundNetwork`.
    Raises:
        ProgramRefused: the files are not what `encode_constants` and `canonical.encode` write.
        OSError: a file cannot be read.
    """
    graph = canonical.decode(graph_path.read_bytes())
    constants: Mapping[str, Tensor] = {}
    if constants_path is not None:
        try:
            constants = safetensors.torch.load_file(constants_path, device="cpu")
        except SafetensorError as error:
            raise ProgramRefused("bad_constants", f"not safetensors: {error}", _CONSTANTS) from None
    try:
        return BoundNetwork(graph, constants, memory_bytes=memory_bytes)
    except ValueError as error:
        raise ProgramRefused("bad_constants", str(error), _CONSTANTS) from None


def constants_of(graph: Graph, elements: Callable[[str], bytes]) -> dict[str, Tensor]:
    """The graph's constants by name; `elements` gives a tensor's, little-endian and row-major."""
    return {
        spec.name: tensor_of(spec, elements(spec.name))
        for spec in graph.tensors
        if spec.role == "constant"
    }


def tensor_of(spec: TensorSpec, elements: bytes) -> Tensor:
    """A tensor of this type and shape from its elements, little-endian and row-major."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if not elements:
        return torch.zeros(spec.shape, dtype=dtype)
    held = bytearray(elements)  # PyTorch wants memory that it may write
    if dtype is torch.bool:
        return (torch.frombuffer(held, dtype=torch.uint8) != 0).reshape(spec.shape)
    return torch.frombuffer(held, dtype=dtype).reshape(spec.shape)


def encode_constants(constants: Mapping[str, Tensor]) -> bytes:
    """Constants as safetensors: equal bytes for equal tensors."""
    data: bytes = safetensors.torch.save({n: t.contiguous() for n, t in sorted(constants.items())})
    return data
