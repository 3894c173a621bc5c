"""A network's weights at one moment, copied to the CPU's memory: training goes on changing them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lossatlas.errors import InputError
from lossatlas.tensors import is_module, is_torch_tensor, memory_of, unwrapped

#: Wrappers whose state dict every process must take part in.
_SHARDED: Final = frozenset({"FullyShardedDataParallel", "DTensor", "ShardedTensor"})


def is_first_process() -> bool:
    """Whether this process is the one of a distributed training that speaks for all."""
    torch = sys.modules.get("torch")
    distributed = None if torch is None else getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return os.environ.get("RANK", "0").strip() in ("", "0")


def snapshot(network: Any) -> dict[str, Any]:
    """Copies by name; names of one tensor share one copy.

    Raises:
        InputError: it is no module and no state dict, or its tensors are spread over processes.
    """
    if is_module(network):
        network = unwrapped(network)
        if any(type(part).__name__ in _SHARDED for part in network.modules()):
            raise InputError(_SPREAD)
        network = network.state_dict()
    if not isinstance(network, Mapping):
        raise InputError(f"a checkpoint is a module or a state dict, not {type(network).__name__}")
    copies: dict[object, Any] = {}
    kept = {}
    for name, value in network.items():
        where = memory_of(name, value)
        if where not in copies:
            copies[where] = _copied(name, value)
        kept[str(name)] = copies[where]
    return kept


def finite(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name, without what is no finite number."""
    kept = {}
    for name, value in numbers.items():
        try:
            number = float(value.detach() if is_torch_tensor(value) else value)
        except (TypeError, ValueError, RuntimeError):
            continue
        if math.isfinite(number):
            kept[str(name)] = number
    return kept


def _copied(name: str, value: Any) -> Any:
    if type(value).__name__ in _SHARDED or type(getattr(value, "data", None)).__name__ in _SHARDED:
        raise InputError(_SPREAD)
    if is_torch_tensor(value):
        return value.detach().to("cpu", copy=True)
    if hasattr(value, "__array__"):
        return np.array(value)
    raise InputError(f"{name!r} is no tensor but {type(value).__name__}")


_SPREAD: Final = (
    "the weights are spread over processes; gather a full state dict in all of them and give it "
    "to `checkpoint`"
)
