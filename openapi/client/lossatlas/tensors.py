"""Tensors of the caller's, torch or NumPy, as safetensors files.

torch is used only for objects that are torch's, through the module that made them: a caller
without torch never needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lossatlas.errors import InputError
from lossatlas.files import replacing

#: What can be stored and evaluated.
_KINDS: Final = frozenset(
    {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"}
)


def is_torch_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_module(value: object) -> bool:
    """Whether `value` is a torch module; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def unwrapped(module: Any) -> Any:
    """The module inside a data-parallel or compiling wrapper, whose names have no prefix."""
    while True:
        if type(module).__name__ in ("DataParallel", "DistributedDataParallel"):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            return module


def as_array(name: str, value: Any) -> NDArray[Any]:
    """A NumPy array of anything array-like. Raises InputError naming it when it is none."""
    array = np.asarray(value)
    if array.dtype.name not in _KINDS:
        raise InputError(
            f"{name!r} has element type {array.dtype}; use one of {', '.join(sorted(_KINDS))}"
        )
    # little-endian, row-major: what the file format holds
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def write_tensors(tensors: Mapping[str, Any], path: Path) -> Path:
    """Writes named tensors, torch's and NumPy's mixed if need be, to a safetensors file.

    Every name gets its own bytes, also where tensors share memory.

    Raises:
        InputError: a value that is no tensor, or an element type that cannot be stored.
    """
    if not tensors:
        raise InputError("there are no tensors to write")
    with replacing(path) as temporary:
        if any(is_torch_tensor(value) for value in tensors.values()):
            _write_torch(tensors, temporary)
        else:
            from safetensors.numpy import save_file

            save_file({name: as_array(name, value) for name, value in tensors.items()}, temporary)
    return path


def _write_torch(tensors: Mapping[str, Any], path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    stored: dict[str, Any] = {}
    for name, value in tensors.items():
        if not is_torch_tensor(value):
            value = torch.from_numpy(as_array(name, value).copy())
        if value.layout is not torch.strided or value.is_quantized:
            raise InputError(f"{name!r} is sparse or quantised; only dense tensors can be sent")
        if str(value.dtype).removeprefix("torch.") not in _KINDS | {"bfloat16"}:
            raise InputError(f"{name!r} has element type {value.dtype}, which cannot be sent")
        value = value.detach().to("cpu")
        # safetensors refuses tensors that share memory, even without overlap
        stored[name] = value.clone(memory_format=torch.contiguous_format)
    save_file(stored, path)


def weights_of(source: Any, wanted: frozenset[str] | None = None) -> dict[str, Any]:
    """A module's or a state dict's tensors by name, tied ones once.

    Args:
        source: a torch module, or tensors or arrays by name.
        wanted: the names that the program uses, where known: of tied tensors the name among them
            is kept, otherwise the first, as torch.export does.

    Raises:
        InputError: `source` is neither.
    """
    if is_module(source):
        source = unwrapped(source).state_dict()
    if not isinstance(source, Mapping):
        raise InputError(
            f"weights are a module, a mapping of names to tensors or a file's path, not "
            f"{type(source).__name__}"
        )
    names_of: dict[object, list[str]] = {}
    for name, value in source.items():
        if not is_torch_tensor(value) and not hasattr(value, "__array__"):
            raise InputError(f"{name!r} is no tensor but {type(value).__name__}")
        names_of.setdefault(memory_of(name, value), []).append(name)
    kept = {}
    for names in names_of.values():
        known = [name for name in names if wanted is not None and name in wanted]
        # a name that the program lacks is sent all the same: the service says what is wrong
        for name in known or names[:1]:
            kept[name] = source[name]
    return kept


def memory_of(name: str, value: Any) -> object:
    """A key that is equal for two names of one tensor, seen the same way."""
    if is_torch_tensor(value):
        if value.numel() == 0 or value.device.type == "meta":
            return name
        return (str(value.device), value.data_ptr(), tuple(value.shape), value.stride())
    array = np.asarray(value)
    if array.size == 0 or array.ndim == 0:
        return name
    pointer = array.__array_interface__["data"][0]
    return ("numpy", pointer, array.shape, array.strides)
