"""How much memory a forward pass holds at its peak.

Owns the one measurement that batch sizes are planned with. Counts what the operators allocate, so
it works on every device alike and needs no allocator's statistics.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class ActivationMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, `peak_bytes` follows the largest sum of live operator outputs.

    Views cost nothing; an output is freed when the last tensor over its storage is. Scratch space
    inside an operator is not seen: plan with a margin.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._live_bytes = 0
        self._holders: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing compiles within it; otherwise its first use would import torch's compiler."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(t)[0] for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._hold(tensor, given)
        return result

    def _hold(self, tensor: Tensor, given: set[int]) -> None:
        address, size = _storage(tensor)
        if size == 0:
            return
        held = self._holders.get(address, 0)
        if held == 0:
            if address in given:
                return  # a view of a tensor that was there before
            self._live_bytes += size
            self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        self._holders[address] = held + 1
        weakref.finalize(tensor, self._release, address, size).atexit = False

    def _release(self, address: int, size: int) -> None:
        self._holders[address] -= 1
        if self._holders[address] == 0:
            del self._holders[address]
            self._live_bytes -= size


def _storage(tensor: Tensor) -> tuple[int, int]:
    if tensor.is_mkldnn:
        return 0, 0  # weights in oneDNN's own order, made once for each point
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def peak_activation_bytes(infer: Any, arguments: tuple[Tensor, ...]) -> int:
    """Bytes that one call of `infer` holds at its peak, inputs not counted."""
    meter = ActivationMeter()
    with torch.inference_mode(), meter:
        infer(*arguments)
    return meter.peak_bytes
