"""Modules as programs (`.pt2`), weights and data sets as safetensors files.

The only part of the client that needs torch, imported when a function here needs it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from lossatlas.errors import ExportError, InputError
from lossatlas.files import replacing
from lossatlas.tensors import is_module, is_torch_tensor, unwrapped, weights_of, write_tensors

#: torch.export takes sizes 0 and 1 for constants, so an example has two samples. More would only
#: make the export slower.
_SAMPLES: Final = 2

_HOW: Final = (
    "The batch size must be free and no Python branch may depend on values: avoid `if x.sum() > 0`,"
    " `.item()`, and views with a fixed first size (`x.view(32, -1)`; write `x.flatten(1)`)."
)


def export_model(
    module: Any,
    example_inputs: Any,
    path: str | Path | None = None,
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    loss: Callable[..., Any] | None = None,
    example_targets: Any = None,
) -> Path:
    """Writes a module as a program that the service can read: a torch.export archive.

    The module is exported in evaluation mode on the CPU and is left as it was. The batch, dimension
    0 of every input, stays free. Of the example only shapes and types matter: no example's values
    and no source lines are stored.

    Args:
        module: a `torch.nn.Module`, perhaps inside DataParallel or torch.compile.
        example_inputs: one tensor or array of shape (samples, …), a tuple of them for several
            positional inputs, or a dict for inputs by keyword. Inside a tuple, dicts and lists of
            tensors are taken as the module takes them. One sample is enough.
        path: of the file; `<name of the class>.pt2` in the current folder by default.
        example_kwargs: inputs by keyword, beside positional ones.
        loss: makes the program return per-sample losses, shape (samples,), or the losses of every
            sample's positions, shape (samples, positions, …): called with what the module returns
            and the targets. Register such a model with loss `program`.
        example_targets: an example of the targets, needed with `loss`.

    Returns:
        The file's path.

    Raises:
        ExportError: what stands in the way, and how to write the module instead.
    """
    torch = _torch()
    if not is_module(module):
        raise ExportError(f"export_model takes a torch.nn.Module, not {type(module).__name__}")
    module = unwrapped(module)
    path = Path(path) if path is not None else Path(f"{type(module).__name__.lower()}.pt2")
    args, kwargs = _example(torch, example_inputs, example_kwargs)
    with _evaluating(torch, module) as ready:
        if loss is not None:
            if example_targets is None:
                raise ExportError("give example_targets with loss: the program takes them too")
            ready = _with_loss(ready, loss)
            kwargs = {**kwargs, "targets": _tensor(torch, example_targets, "targets")}
        args, kwargs, shapes = _shaped(torch, ready, args, kwargs)
        program = _exported(torch, ready, args, kwargs, shapes)
        _require_one_output(program)
        _forget_examples(program)
        with replacing(path) as temporary:
            torch.export.save(program, str(temporary))
    return path


def save_weights(module: Any, path: str | Path, *, names: Sequence[str] | None = None) -> Path:
    """Writes a module's parameters and buffers as safetensors; tied tensors once.

    Args:
        module: a torch module, or tensors or arrays by name (a state dict).
        names: those the program uses, when they are not the first of each group of tied ones.

    Raises:
        InputError: not a module or a state dict, or tensors that cannot be stored.
    """
    wanted = None if names is None else frozenset(names)
    return write_tensors(weights_of(module, wanted), Path(path))


def save_dataset(inputs: Any, targets: Any, path: str | Path) -> Path:
    """Writes samples as safetensors: `inputs` (or `inputs.<name>`) and `targets`.

    Args:
        inputs: a tensor or an array of shape (samples, …), or a dict of them by the names of the
            program's inputs.
        targets: shape (samples, …); class indices as integers.

    Raises:
        InputError: lengths that differ, no samples, or element types that cannot be stored.
    """
    if isinstance(inputs, Mapping):
        columns = {f"inputs.{name}": value for name, value in inputs.items()}
    else:
        columns = {"inputs": inputs}
    columns["targets"] = targets
    ready = {name: v if is_torch_tensor(v) else np.asarray(v) for name, v in columns.items()}
    lengths = {name: int(v.shape[0]) if v.ndim else -1 for name, v in ready.items()}
    if len(set(lengths.values())) > 1 or min(lengths.values()) < 1:
        counts = ", ".join(
            f"{name} has {'no dimension' if n < 0 else n}" for name, n in lengths.items()
        )
        raise InputError(
            f"inputs and targets need the same number of samples, at least one: {counts}"
        )
    return write_tensors(ready, Path(path))


def _torch() -> Any:
    try:
        import torch
        import torch.export
    except ImportError:
        raise ExportError(
            "exporting a model needs PyTorch 2.9 or newer: pip install 'lossatlas[export]'"
        ) from None
    return torch


def _example(
    torch: Any, inputs: Any, more: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword inputs as torch tensors."""
    args: tuple[Any, ...] = ()
    kwargs = dict(more or {})
    if isinstance(inputs, Mapping):
        kwargs = {**inputs, **kwargs}
    elif isinstance(inputs, tuple):
        args = inputs
    else:
        args = (inputs,)
    return (
        tuple(_converted(torch, value, f"input {index}") for index, value in enumerate(args)),
        {name: _converted(torch, value, name) for name, value in kwargs.items()},
    )


def _converted(torch: Any, value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _converted(torch, item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_converted(torch, item, f"{name}[{i}]") for i, item in enumerate(value)]
        return type(value)(items) if type(value) in (list, tuple) else items
    return _tensor(torch, value, name)


def _tensor(torch: Any, value: Any, name: str) -> Any:
    if not is_torch_tensor(value):
        if not hasattr(value, "__array__"):
            raise ExportError(
                f"{name} is {type(value).__name__}; a program takes tensors only: fix other "
                "arguments inside the module"
            )
        value = torch.from_numpy(np.array(value))
    if value.ndim == 0 or value.shape[0] == 0:
        raise ExportError(
            f"{name} has shape {list(value.shape)}; dimension 0 must be samples, at least one"
        )
    value = value.detach().to("cpu")
    if value.shape[0] == 1:
        value = value.expand(_SAMPLES, *value.shape[1:])
    return value[:_SAMPLES].clone()


@contextmanager
def _evaluating(torch: Any, module: Any) -> Iterator[Any]:
    """The module in evaluation mode on the CPU; what was the caller's is restored."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.device.type != "cpu" for tensor in tensors):
        yield copy.deepcopy(module).to("cpu").eval()
        return
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, training in modes:
            part.training = training


def _with_loss(module: Any, loss: Callable[..., Any]) -> Any:
    """The same module, by the same names, that takes `targets` too and returns losses."""
    kind = type(module)

    def forward(self: Any, *args: Any, targets: Any, **kwargs: Any) -> Any:
        return loss(kind.forward(self, *args, **kwargs), targets)

    plain = inspect.signature(kind.forward)
    last = inspect.Parameter("targets", inspect.Parameter.KEYWORD_ONLY)
    variadic = [p for p in plain.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    others = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    forward.__signature__ = plain.replace(  # type: ignore[attr-defined]
        parameters=[*others, last, *variadic]
    )
    both: Any = type(f"{kind.__name__}WithLoss", (kind,), {"forward": forward})
    wrapped: Any = object.__new__(both)
    wrapped.__dict__ = module.__dict__
    return wrapped


def _shaped(
    torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Arguments, and for each a free first size in torch.export's words."""
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise ExportError(
            f"the example does not fit {type(module).__name__}.forward{signature}: {error}"
        ) from None
    batch = torch.export.Dim("batch")

    def free(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: free(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(free(item) for item in value)
        return {0: batch}

    shapes = {}
    for name, value in bound.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            shapes.update(free(value))
        else:
            shapes[name] = free(value)
    return args, kwargs, shapes


def _exported(
    torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: dict[str, Any]
) -> Any:
    try:
        with torch.no_grad():
            module(*args, **kwargs)
    except Exception as error:  # whatever the caller's module raises
        raise ExportError(
            f"{type(module).__name__} does not run on two samples of the example in evaluation "
            f"mode: {type(error).__name__}: {_first_line(error)}"
        ) from error
    try:
        with _masks_as_told(torch):
            program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
        # a program has values, and no memory that is written to
        return program.run_decompositions({}) if _writes_into_parts(torch, program) else program
    except Exception as error:  # torch.export has no exception of its own for this
        raise ExportError(
            f"torch.export cannot export {type(module).__name__}: {_first_line(error)} {_HOW}"
        ) from error


@contextmanager
def _masks_as_told(torch: Any) -> Iterator[None]:
    """`nn.TransformerEncoder` reads its mask's values to see whether they are a causal one's, for
    a faster kernel alone. No export can know values; the mask itself is used then.
    """
    transformer = torch.nn.modules.transformer
    before = getattr(transformer, "_detect_is_causal_mask", None)
    if before is None:
        yield
        return
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = before


def _writes_into_parts(torch: Any, program: Any) -> bool:
    """Whether some tensor is written to through a view of it, as `mask[:3] = 1` does."""
    return any(
        isinstance(node.target, torch._ops.OpOverload)
        and node.target._schema.is_mutable
        and any(_is_view(torch, source) for source in node.args[:1])
        for node in program.graph.nodes
    )


def _is_view(torch: Any, node: Any) -> bool:
    if not isinstance(node, torch.fx.Node) or node.op != "call_function":
        return False
    if not isinstance(node.target, torch._ops.OpOverload):
        return True  # an item of several views
    results = [result.alias_info for result in node.target._schema.returns]
    return any(alias is not None and not alias.is_write for alias in results)


def _require_one_output(program: Any) -> None:
    outputs = program.graph_signature.user_outputs
    if len(outputs) != 1 or not isinstance(outputs[0], str):
        raise ExportError(
            f"the module returns {len(outputs)} values; a program returns one tensor, the one that "
            "the loss is computed from: return that one only (or give `loss`)"
        )


def _forget_examples(program: Any) -> None:
    """Drops the example's values and the source lines: neither is anyone else's business."""
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = " ".join(lines[:2]) if lines else type(error).__name__
    return shown if len(shown) <= 400 else shown[:400] + "…"
