"""How much memory a forward pass holds at its peak.

Owns the one measurement that batch sizes are planned with. Counts what the operators allocate, so
it works on every device alike and needs no allocator's statistics.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class ActivationMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, `peak_bytes` follows the largest sum of live operator outputs.

    Views cost nothing; an output is freed when the last tensor over its storage is. Scratch space
    inside an operator is not seen: plan with a margin. Tensors that have no memory of their own
    (gradients known to be zero, for example) hold nothing.

    Batch sizes, and with them the last bits of values, are planned with what it says, so it says
    the same every time: within it Python's collector, whose moments depend on what else the process
    has done, does not run.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._collecting = False
        self._live_bytes = 0
        self._holders: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing compiles within it; otherwise its first use would import torch's compiler."""
        return False

    def __enter__(self) -> Self:
        self._collecting = gc.isenabled()
        gc.disable()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        if self._collecting:
            gc.enable()

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
    """Address and bytes of a tensor's memory; a size of 0 where it has none that can be named."""
    if tensor.is_mkldnn:
        return 0, 0  # weights in oneDNN's own order, made once for each point
    try:
        storage = tensor.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    except (RuntimeError, NotImplementedError):
        # zeros that stand for a derivative, sparse tensors, wrappers: PyTorch has no one question
        # that tells all of those without a storage, or without data in it, from the others
        return 0, 0


def peak_activation_bytes(infer: Any, arguments: tuple[Tensor, ...]) -> int:
    """Bytes that one call of `infer` holds at its peak, inputs not counted."""
    meter = ActivationMeter()
    with torch.inference_mode(), meter:
        infer(*arguments)
    return meter.peak_bytes
