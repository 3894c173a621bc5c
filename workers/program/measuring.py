"""What a program's values hold, found from their sizes before any of them is computed.

Sizes follow from the inputs' alone. So each operator is first run on tensors without memory
(PyTorch's `meta` device), and what it and the operators that it is composed of would hold and go
through is added up. A program that would take more than it may is refused with the node at fault;
no kernel has seen its numbers by then.

Counted is the memory of all values that are alive at once, an operator's own intermediates among
them. Every operand and result is also counted at its full size, whether it has that memory or not:
a number expanded to 2⁴⁰ has four bytes, but whoever sums it goes through all of them, and a kernel
that wants it contiguous makes a copy.

Owns the walk over the calls, and its bound.
"""

from __future__ import annotations

import resource
import weakref
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from service.programs import integers, limits
from service.programs.graph import UNUSED, Graph, SymRef, TensorRef
from service.programs.schema import schema_of
from workers.program.derivatives import FORMS
from workers.program.operators import Call
from workers.program.requirements import require
from workers.program.schedule import reads
from workers.program.uncompiled import StandInLacks, without_compiler

#: Of all values at once, where nobody says otherwise.
MEMORY_BYTES: Final = 4 << 30
#: Operators that one node may be composed of: `tensor_split` slices once for each section.
_MOST_INNER: Final = 4 * limits.MAX_LIST

_META: Final = torch.device("meta")
#: Operators whose own kernel for sizes alone gives others than the real one.
_FORMS: Final = {name: FORMS[name] for name in ("aten.multi_margin_loss.default",)}
#: Operators whose results' sizes depend on values; the most that it can be is taken.
_SELECTING: Final = frozenset({"aten.index.Tensor"})


class ProgramTooLarge(MemoryError):
    """A program's values would take more memory than they may.

    Attributes:
        operator: `aten.name.overload` of the node at which they would.
        position: the node's position in the program as it was exported.
    """

    def __init__(self, detail: str, operator: str, position: int) -> None:
        super().__init__(f"{operator} (node {position} of the program): {detail}")
        self.operator = operator
        self.position = position


class _TooLarge(Exception):
    """Said by the meter, which does not know the node."""


class Measured:
    """The calls of one program, and their values as tensors without memory."""

    def __init__(self, graph: Graph, calls: Sequence[Call], memory_bytes: int) -> None:
        """
        Args:
            calls: bound for the device "meta", in order.
        """
        self._graph = graph
        self._calls = tuple(calls)
        self._memory_bytes = min(memory_bytes, _granted_bytes())
        self._last: dict[int, int] = {}
        for index, call in enumerate(calls):
            self._last.update(dict.fromkeys(reads(call), index))

    def walk(self, given: Mapping[int, Any], kept: Set[int]) -> dict[int, Any]:
        """Walks through the calls.

        Args:
            given: values that are there, by number: tensors or sizes.
            kept: numbers of the values that are wanted.
        Returns:
            Those of `kept`, given or found.
        Raises:
            ProgramTooLarge: naming the node.
            CallFailed: an operator cannot take the sizes.
        """
        with (
            temporarily_clear_interpreter_stack(),
            _disable_current_modes(),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            values = {number: _shadow(value) for number, value in given.items()}
            meter = _Meter(self._memory_bytes)
            for value in values.values():
                if isinstance(value, Tensor):
                    meter.hold(value)
            for index, call in enumerate(self._calls):
                results = self._run(call, values, meter)
                for number in reads(call):
                    if self._last[number] == index and number not in kept:
                        values.pop(number, None)
                for number, result in zip(call.outputs, results, strict=False):
                    if number != UNUSED and (number in self._last or number in kept):
                        values[number] = result
                del results
            return {number: values[number] for number in kept if number in values}

    def _run(self, call: Call, values: Mapping[int, Any], meter: _Meter) -> Sequence[Any]:
        node = self._graph.nodes[call.node]
        position = node.origin if node.origin >= 0 else call.node
        positional = [_filled(item, values) for item in call.positional]
        keywords = {name: _filled(item, values) for name, item in call.keywords}
        try:
            _check_integers(call, positional, keywords)
            if call.operator in _SELECTING:
                positional = _without_masks(positional)
            meter.begin(positional, keywords)
            function = _FORMS.get(call.operator, call.function)
            try:
                with without_compiler(), meter:
                    result = function(*positional, **keywords)
            except StandInLacks:
                with meter:
                    result = function(*positional, **keywords)
        except (_TooLarge, MemoryError) as error:
            raise ProgramTooLarge(str(error), node.operator, position) from None
        except Exception as error:
            raise CallFailed(call, error) from error
        return result if call.spread else (result,)


class CallFailed(Exception):
    """A call cannot take the sizes that it would be given."""

    def __init__(self, call: Call, error: Exception) -> None:
        super().__init__(str(error))
        self.call = call
        self.error = error


def _check_integers(call: Call, positional: Sequence[Any], keywords: Mapping[str, Any]) -> None:
    """Holds the integers as they are now against the bounds of their kinds."""
    schema = schema_of(call.operator)
    if schema is None:
        return
    given = dict(zip((p.name for p in schema.parameters), positional, strict=False))
    given.update(keywords)
    for parameter in schema.parameters:
        if parameter.base != "int":
            continue
        value = given.get(parameter.name)
        numbers = value if isinstance(value, list | tuple) else [value]
        exact = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
        integers.check(call.operator, parameter.name, exact)
    require(call.operator, given)


def _filled(item: Any, values: Mapping[int, Any]) -> Any:
    if isinstance(item, TensorRef | SymRef):
        return values[item.value]
    if isinstance(item, tuple):
        return [_filled(entry, values) for entry in item]
    return item


def _shadow(value: Any) -> Any:
    """A tensor's sizes and type without its memory; its memory format, which views depend on."""
    if not isinstance(value, Tensor) or value.device == _META:
        return value
    made = torch.empty(value.shape, dtype=value.dtype, device=_META)
    if value.dim() == 4 and _is_channels_last(value):
        return made.to(memory_format=torch.channels_last)
    return made


def _is_channels_last(value: Tensor) -> bool:
    try:
        return value.is_contiguous(memory_format=torch.channels_last)
    except RuntimeError:
        return False  # a transform's wrapper may not say


def _without_masks(positional: list[Any]) -> list[Any]:
    """Indices that are masks replaced by as many as they can choose: all of them."""
    tensor, indices = positional[0], positional[1]
    replaced: list[Any] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
            chosen = torch.empty(index.numel(), dtype=torch.int64, device=_META)
            replaced += [chosen] * index.dim()
        else:
            replaced.append(index)
    return [tensor, replaced, *positional[2:]]


def _granted_bytes() -> int:
    """What this process may hold at all."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return 1 << 62 if soft == resource.RLIM_INFINITY else soft


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, the memory of results is added up while they live, and each operand looked at."""

    def __init__(self, memory_bytes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._most = memory_bytes
        self._live = 0
        self._holders: dict[int, int] = {}
        self._inner = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def begin(self, positional: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """Before each node."""
        self._inner = 0
        self._look(tree_leaves((list(positional), dict(keywords))))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self._inner += 1
        if self._inner > _MOST_INNER:
            raise _TooLarge(f"it is made of more than {_MOST_INNER} operations")
        pieces = _PIECES.get(func)
        if pieces is not None and pieces(*args, **(kwargs or {})) > limits.MAX_LIST:
            raise _TooLarge(f"it gives more than {limits.MAX_LIST} tensors")
        result = func(*args, **(kwargs or {}))
        found = tree_leaves(result)
        self._look(found)
        for tensor in found:
            if isinstance(tensor, Tensor):
                self.hold(tensor)
        return result

    def _look(self, leaves: Sequence[Any]) -> None:
        for tensor in leaves:
            if isinstance(tensor, Tensor):
                size = tensor.numel() * tensor.element_size()
                if size > self._most:
                    raise _TooLarge(
                        f"a tensor of {list(tensor.shape)} {_name(tensor)} numbers takes "
                        f"{_shown(size)}; {self._granted()}"
                    )

    def hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        held = self._holders.get(key, 0)
        if held == 0:
            self._live += size
            if self._live > self._most:
                raise _TooLarge(
                    f"with its result of {list(tensor.shape)} {_name(tensor)} numbers the values "
                    f"that are needed at once take {_shown(self._live)}; {self._granted()}"
                )
        self._holders[key] = held + 1
        weakref.finalize(tensor, self._release, key, size).atexit = False

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if self._holders[key] == 0:
            del self._holders[key]
            self._live -= size

    def _granted(self) -> str:
        return (
            f"a program may take {_shown(self._most)} for one batch: make the tensor smaller, or "
            "have LOSSATLAS_PROGRAM_MEMORY_BYTES raised"
        )


def _shown(size: int) -> str:
    return f"{size / (1 << 30):.4g} GiB" if size < 10 << 30 else f"{size / (1 << 30):,.0f} GiB"


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _split_pieces(tensor: Tensor, size: int, dim: int = 0) -> int:
    return -(-tensor.shape[dim] // size) if size > 0 and tensor.dim() else 1


def _unbound_pieces(tensor: Tensor, dim: int = 0) -> int:
    return tensor.shape[dim] if tensor.dim() else 1


#: How many tensors operators of lists would make.
_PIECES: Final[Mapping[Any, Callable[..., int]]] = {
    torch.ops.aten.split.Tensor: _split_pieces,
    torch.ops.aten.unsafe_split.Tensor: _split_pieces,
    torch.ops.aten.unbind.int: _unbound_pieces,
}
