"""One small batch through a new network: does it work, on any batch, sample by sample?

Owns the inputs and weights that are made up for it, and what is refused: the mean over samples has
no meaning where a sample's output depends on the samples beside it, or where outputs are not per
sample at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from service.domain.problems import Problem
from service.programs.graph import InputSpec
from workers.engine.activations import peak_activation_bytes
from workers.engine.errors import TargetsInvalid
from workers.engine.evaluation import Infer, cast_point
from workers.engine.losses import Loss, LossName, require_positions
from workers.engine.memory import memory_guard
from workers.engine.network import Network, Point, is_floating, variance_buffers
from workers.engine.precision import Precision, arithmetic
from workers.program.failures import OperatorFailed
from workers.program.measuring import ProgramTooLarge

_SEED: Final = 20180
_SAMPLES: Final = 3
_EXAMPLE_SAMPLES: Final = 2
#: Kernels round otherwise for other batch sizes; samples that depend on each other differ by far
#: more than this share of the outputs' size.
_TOLERANCE: Final = 2e-3
_AS_EXPORTED: Final = "with the sizes it was exported with"
_CLASSIFYING: Final = frozenset({LossName.CROSS_ENTROPY, LossName.NLL})
_FAILURES: Final = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError)
_NODES: Final = "models/model.json#/graph_module/graph/nodes"


@dataclass(frozen=True)
class Probed:
    """What the probe found.

    Attributes:
        dtype: the outputs' type in single precision.
        shape: the outputs' sizes; None for the samples and for what varies with the inputs.
        activation_bytes: memory that a sample's forward pass holds at its peak.
    """

    dtype: str
    shape: tuple[int | None, ...]
    activation_bytes: int


def probe(
    network: Network,
    inputs: Sequence[InputSpec],
    buffers: Mapping[str, Tensor],
    loss: Loss,
    device: torch.device,
) -> Probed:
    """Runs made-up samples at made-up weights and checks the outputs.

    Args:
        buffers: values that the network's buffers may have: whole numbers among them may be
            indices, which cannot be made up.
    Raises:
        Problem: `program_refused`, saying what to change.
        MemoryExceeded: a few samples do not fit into the memory.
    """
    if not network.parameters:
        raise refused("no_parameters", "the program has no parameters, so its loss has no surface")
    if loss.takes_targets and len(inputs) < 2:
        raise refused(
            "bad_inputs",
            "with the loss 'program' the program takes its inputs and then the targets; "
            f"this one takes only {inputs[0].name!r}",
        )
    generator = torch.Generator().manual_seed(_SEED)
    made = _point(network, buffers, generator)
    point = cast_point(made, Precision.FLOAT32.compute_dtype, device)
    batch = [_samples(spec, spec.sample[1:], generator).to(device) for spec in inputs]
    with (
        memory_guard(_SAMPLES),
        _fitting(),
        torch.inference_mode(),
        arithmetic(Precision.FLOAT32),
    ):
        infer = _at(network, point)
        batch, pair = _example(infer, batch)
        outputs = _run(infer, batch, "with another number of samples than its example has")
        _check_outputs(loss, outputs, pair)
        _check_independence(infer, batch, outputs, pair)
        shape = _shape(infer, inputs, outputs, generator)
        peak = peak_activation_bytes(infer, tuple(batch))
    return Probed(_name(outputs.dtype), shape, -(-peak // _SAMPLES))


def refused(code: str, detail: str, pointer: str = "") -> Problem:
    """The refusal of a program, in the words of the reader's own."""
    reason = {"code": code, "detail": detail, "pointer": pointer}
    return Problem("program_refused", detail, pointer="/program", extra={"reason": reason})


@contextmanager
def _fitting() -> Iterator[None]:
    """Refuses a program whose values take more memory than they may."""
    try:
        yield
    except ProgramTooLarge as error:
        where = f"{_NODES}/{error.position}"
        raise refused("program_too_large", f"the program fails: {error}", where) from error


def _at(network: Network, point: Point) -> Infer:
    try:
        return network.at(point.parameters, point.buffers)
    except _FAILURES as error:
        _let_memory_through(error)
        raise _failed(error, _AS_EXPORTED) from error


def _example(infer: Infer, batch: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The batch, and the outputs for as many samples as the example had.

    Whole numbers that are out of some table's range give way to zeros.
    """
    try:
        return batch, infer(*(tensor[:_EXAMPLE_SAMPLES] for tensor in batch))
    except _FAILURES as error:
        _let_memory_through(error)
        zeros = [t if t.is_floating_point() else torch.zeros_like(t) for t in batch]
    outputs = _run(infer, [t[:_EXAMPLE_SAMPLES] for t in zeros], _AS_EXPORTED)
    return zeros, outputs


def _run(infer: Infer, batch: Sequence[Tensor], when: str) -> Tensor:
    try:
        return infer(*batch)
    except _FAILURES as error:
        _let_memory_through(error)
        raise _failed(error, when) from error


def _failed(error: Exception, when: str) -> Problem:
    detail = f"the program fails {when}: {error}"
    if when != _AS_EXPORTED:
        detail += "; export again with torch.export.Dim for the first dimension of every input"
    where = f"{_NODES}/{error.position}" if isinstance(error, OperatorFailed) else ""
    return refused("probe_failed", detail, where)


def _let_memory_through(error: Exception) -> None:
    """What is the machine's fault is not the program's."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError) or any(
        word in text for word in ("DefaultCPUAllocator", "not enough memory", "CUDA error")
    ):
        raise error


def _check_outputs(loss: Loss, outputs: Tensor, pair: Tensor) -> None:
    shape = list(outputs.shape)
    if not outputs.is_floating_point():
        raise refused(
            "bad_output",
            f"the program returns {_name(outputs.dtype)}; return the outputs that the loss is "
            "computed from, before argmax or rounding",
        )
    if outputs.dim() == 0:
        wanted = "one loss per sample" if loss.takes_targets else "one output per sample"
        raise refused(
            "bad_output",
            f"the program returns a single number; it must return {wanted} (for a loss: "
            "reduction='none')",
        )
    if outputs.shape[0] != _SAMPLES or pair.shape[0] != _EXAMPLE_SAMPLES:
        raise refused(
            "batch_not_dynamic",
            f"for {_SAMPLES} samples the program returns sizes {shape}, for {_EXAMPLE_SAMPLES} "
            f"{list(pair.shape)}; the first dimension must be the samples'",
        )
    try:
        require_positions(loss, outputs)
    except TargetsInvalid as error:
        raise refused("reduction_undefined", str(error)) from error
    if loss.name in _CLASSIFYING and outputs.dim() < 2:
        raise refused(
            "bad_output",
            f"{loss.name} needs outputs of sizes [samples, classes, …]; the program's are {shape}",
        )


def _check_independence(
    infer: Infer, batch: Sequence[Tensor], outputs: Tensor, pair: Tensor
) -> None:
    _compare(outputs[:_EXAMPLE_SAMPLES], pair, f"{_EXAMPLE_SAMPLES} samples")
    for index in range(_SAMPLES):
        single = _run(infer, [tensor[index : index + 1] for tensor in batch], "with one sample")
        if single.shape != outputs[:1].shape:
            raise refused(
                "batch_not_dynamic",
                f"for one sample the program returns sizes {list(single.shape)}, not "
                f"{list(outputs[:1].shape)}; squeeze() without a dimension drops a batch of one: "
                "name the dimension",
            )
        _compare(outputs[index : index + 1], single, "one sample")


def _compare(together: Tensor, apart: Tensor, what: str) -> None:
    size = float(torch.nan_to_num(apart.abs().float(), 0.0, 0.0).max()) if apart.numel() else 0.0
    if torch.allclose(together, apart, rtol=_TOLERANCE, atol=_TOLERANCE * size, equal_nan=True):
        return
    raise refused(
        "samples_not_independent",
        f"a sample's output is another one in a batch of {_SAMPLES} than in one of {what}: "
        "samples influence each other (statistics over the batch, a mean over dimension 0, or a "
        "size that was fixed when exporting), so the mean of the samples' losses would depend on "
        "the batching",
    )


def _shape(
    infer: Infer, inputs: Sequence[InputSpec], outputs: Tensor, generator: torch.Generator
) -> tuple[int | None, ...]:
    """The outputs' sizes, None for those that follow a size of the inputs that varies."""
    known: tuple[int | None, ...] = (None, *outputs.shape[1:])
    if all(size is not None for spec in inputs for size in spec.shape[1:]):
        return known
    larger = [_samples(spec, _doubled(spec), generator).to(outputs.device) for spec in inputs]
    try:
        other = infer(*larger)
    except _FAILURES as error:
        _let_memory_through(error)
        return (None,) * outputs.dim()
    if other.dim() != outputs.dim():
        return (None,) * outputs.dim()
    return tuple(
        a if a == b else None for a, b in zip(known, (None, *other.shape[1:]), strict=True)
    )


def _doubled(spec: InputSpec) -> tuple[int, ...]:
    sizes = zip(spec.shape[1:], spec.sample[1:], strict=True)
    return tuple(2 * sample if size is None else size for size, sample in sizes)


def _samples(spec: InputSpec, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Made-up samples; whole numbers are 0 or 1, which any table with two rows takes."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    sizes = (_SAMPLES, *shape)
    if dtype is torch.bool:
        return torch.ones(sizes, dtype=dtype)
    if not dtype.is_floating_point:
        return torch.randint(0, 2, sizes, generator=generator).to(dtype)
    return torch.rand(sizes, generator=generator)


def _point(network: Network, buffers: Mapping[str, Tensor], generator: torch.Generator) -> Point:
    parameters = {}
    for name, spec in network.parameters.items():
        if len(spec.shape) > 1:
            # the size that keeps activations from growing or fading, layer by layer
            scale = max(1.0, torch.Size(spec.shape[1:]).numel()) ** -0.5
            parameters[name] = torch.randn(spec.shape, generator=generator) * scale
        else:
            parameters[name] = torch.rand(spec.shape, generator=generator) + 0.5
    variances = variance_buffers(network)
    kept = {}
    for name, spec in network.buffers.items():
        value = buffers[name]
        if name in variances:
            value = torch.rand(spec.shape, generator=generator) + 0.5
        elif is_floating(spec):
            value = torch.nan_to_num(value.float(), 0.0, 0.0, 0.0)
        kept[name] = value
    return Point(parameters, kept)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
