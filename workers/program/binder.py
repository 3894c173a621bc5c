"""A checked program bound to PyTorch: the engine's network made of a graph.

Owns the bound programs by type, device and purpose, and the program's constants on each device.
Nothing here is compiled, evaluated or imported by name: every operator was allow-listed before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from service.programs.graph import FLOATING, Filters, Graph, TensorSpec
from service.programs.roles import running_statistics
from workers.program.batch_statistics import BatchStatistics
from workers.program.failures import OperatorFailed
from workers.program.folding import fold
from workers.program.fusing import fuse
from workers.program.leading import leading
from workers.program.literals import Situation
from workers.program.measuring import MEMORY_BYTES, CallFailed, Measured
from workers.program.operators import Call, calls_of
from workers.program.schedule import Step, fixed_values, live, reads, steps_of

#: What operators raise for tensors that they cannot take.
_FAILURES: Final = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError)
#: Whether this PyTorch has oneDNN, whose operators fusing takes.
_ONEDNN: Final = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
#: Choices of the inputs' sizes that are known to fit: whole batches, last ones, a probe's.
_SIZES_KEPT: Final = 256
#: Not the program's fault: left as they are.
_PASSING: Final = (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError)


class BoundNetwork:
    """The program as a pure function of parameters, buffers and inputs.

    Called directly it is differentiable to any order, and batchable: attention is then computed in
    its math formulation, so no kernel has to be chosen around it. `at` under
    `torch.inference_mode` is for values only: there PyTorch chooses the attention kernel, and batch
    norms are folded unless the type is float64.

    Attributes:
        parameters, buffers: tensors by name, in the program's order.
        normalisation_parameters, filters: see `workers.engine.network.Network`.
        variance_buffers: running variances, by where they enter batch norms.
        recalibratable: buffers that `recalibrated` computes; None where some batch norm's
            statistics are part of the program, so that they cannot be replaced.
        tied: other names of tied tensors, with the name kept.
        input_names, input_dtypes: in call order; types as exported.
    """

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[str, Tensor] | None = None,
        *,
        fold: bool = True,
        memory_bytes: int | None = None,
    ) -> None:
        """
        Args:
            graph: a graph that `service.programs.validation.validate` has passed.
            constants: the graph's tensors of role `constant`, by name.
            fold: whether batch norms may be folded in inference.
            memory_bytes: that the program's values may take at once, on a CPU; None for 4 GiB.
        Raises:
            ValueError: a constant is missing or has another shape or type than the graph says.
        """
        self.graph = graph
        self._fold = fold
        self._memory_bytes = memory_bytes or MEMORY_BYTES
        self._constants = _checked_constants(graph, constants or {})
        self._programs: dict[tuple[torch.dtype, torch.device, bool], _BoundProgram] = {}
        self._halves: dict[tuple[torch.dtype, torch.device, str], _BoundProgram] = {}
        of_role = {role: _of_role(graph, role) for role in ("parameter", "buffer")}
        self.parameters: Mapping[str, TensorSpec] = of_role["parameter"]
        self.buffers: Mapping[str, TensorSpec] = of_role["buffer"]
        self.normalisation_parameters = frozenset(
            name for name, spec in self.parameters.items() if spec.normalisation
        )
        self.filters: Mapping[str, Filters] = {
            name: spec.filters for name, spec in self.parameters.items() if spec.filters is not None
        }
        self.variance_buffers = _variances(graph)
        self.recalibratable = _recalibratable(graph)
        self._recalibrating: dict[tuple[torch.dtype, torch.device], _Recalibrating] = {}
        self.tied: Mapping[str, str] = dict(graph.tied)
        self.input_names = tuple(spec.name for spec in graph.inputs)
        self.input_dtypes = tuple(spec.dtype for spec in graph.inputs)
        self._anchor = next(
            (s for s in (*self.parameters.values(), *self.buffers.values()) if s.dtype in FLOATING),
            None,
        )

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        """The outputs, first dimension = samples.

        Raises:
            OperatorFailed: an operator cannot take these tensors.
            ProgramTooLarge: the program's values would take more memory than they may.
        """
        return self._at(parameters, buffers, differentiable=True)(*inputs)

    def at(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        """The function of the inputs alone. It is for inference where it is made in inference mode.

        Raises:
            OperatorFailed: an operator cannot take these tensors.
        """
        return self._at(parameters, buffers, differentiable=not torch.is_inference_mode_enabled())

    @cached_property
    def leading(self) -> LeadingMap | None:
        """The linear map that the program begins with, where it holds most of the work."""
        dtype: torch.dtype = getattr(torch, self.graph.dtype)
        situation = Situation.of(self.graph, dtype, torch.device("cpu"), differentiable=False)
        calls, output = calls_of(self.graph, situation)
        found = leading(self.graph, live(calls, output), output)
        return None if found is None else LeadingMap(self, found.weight, found.bias)

    def recalibrated(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        passes: Sequence[tuple[Tensor, ...]],
    ) -> dict[str, Tensor]:
        """The running statistics that batches of samples give at these parameters.

        Each pass is one batch: every batch norm normalises by the batch's own mean and biased
        variance, as in training, and the pass's statistics are that mean and the unbiased variance.
        The result is their mean over the passes, as `torch.optim.swa_utils.update_bn` computes it.
        Everything else stays in evaluation mode (no dropout).

        Args:
            buffers: those of the point; only what is not recomputed is read.
            passes: the program's inputs, for each pass.

        Returns:
            The buffers of `recalibratable` alone, by name.

        Raises:
            ValueError: the program is not recalibratable.
            OperatorFailed: an operator cannot take these tensors.
        """
        if self.recalibratable is None:
            raise ValueError("a batch norm's running statistics are part of the program")
        if not self.recalibratable:
            return {}
        key = self._type_and_place(parameters, buffers)
        program = self._recalibrating.get(key)
        if program is None:
            program = _Recalibrating(self.graph, self._placed(*key), *key, self._memory_bytes)
            self._recalibrating[key] = program
        return program(parameters, buffers, passes)

    def _at(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        *,
        differentiable: bool,
    ) -> Callable[..., Tensor]:
        dtype, device = self._type_and_place(parameters, buffers)
        key = (dtype, device, differentiable)
        program = self._programs.get(key)
        if program is None:
            situation = Situation.of(self.graph, dtype, device, differentiable=differentiable)
            folding = self._fold and not differentiable and dtype is not torch.float64
            program = _BoundProgram(
                self.graph, self._placed(dtype, device), situation, folding, self._memory_bytes
            )
            self._programs[key] = program
        return program.at(parameters, buffers)

    def half(
        self, part: str, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        """What comes `before` or `after` the leading map, for inference."""
        dtype, device = self._type_and_place(parameters, buffers)
        key = (dtype, device, part)
        program = self._halves.get(key)
        if program is None:
            situation = Situation.of(self.graph, dtype, device, differentiable=False)
            folding = self._fold and dtype is not torch.float64
            program = _BoundProgram(
                self.graph,
                self._placed(dtype, device),
                situation,
                folding,
                self._memory_bytes,
                part=part,
            )
            self._halves[key] = program
        return program.at(parameters, buffers)

    def _type_and_place(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> tuple[torch.dtype, torch.device]:
        if self._anchor is None:
            dtype: torch.dtype = getattr(torch, self.graph.dtype)
            return dtype, torch.device("cpu")
        name = self._anchor.name
        tensor = parameters[name] if name in parameters else buffers[name]
        return tensor.dtype, tensor.device

    def _placed(self, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """The constants on a device, in the computing type where they are in the program's own."""
        # What is kept for later calls must not belong to the transform or mode of this one.
        with temporarily_clear_interpreter_stack(), torch.inference_mode(False), torch.no_grad():
            return {
                name: tensor.to(
                    device, dtype if _name(tensor.dtype) == self.graph.dtype else tensor.dtype
                )
                for name, tensor in self._constants.items()
            }


class _BoundProgram:
    """A graph's calls scheduled for one situation."""

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[str, Tensor],
        situation: Situation,
        folding: bool,
        memory_bytes: int,
        statistics: BatchStatistics | None = None,
        part: str = "whole",
    ) -> None:
        self._graph = graph
        self._names = [(index, spec.name, spec.role) for index, spec in enumerate(graph.tensors)]
        self._constants = constants
        self._inputs = len(graph.inputs)
        calls, self._output = calls_of(graph, situation)
        calls, self._values = live(calls, self._output), graph.values
        self._fit = _Fit(graph, situation, part, memory_bytes)
        if statistics is not None:
            calls = statistics.rewritten(calls)
        calls, self._first_input, self._output = _cut(graph, calls, self._output, part)
        fixed = fixed_values(calls, self._first_input)
        if folding:
            calls, self._values = fold(graph, calls, self._output, self._values, fixed)
            fixed = fixed_values(calls, self._first_input)
            if situation.device.type == "cpu" and _ONEDNN:
                calls, self._values = fuse(calls, self._output, fixed, self._values)
                fixed = fixed_values(calls, self._first_input)
        before = [call for call in calls if fixed.issuperset(reads(call))]
        after = [call for call in calls if not fixed.issuperset(reads(call))]
        needed = frozenset(value for call in after for value in reads(call)) & fixed
        self._once = _Run(graph, situation, before, steps_of(before, self._output, kept=needed))
        self._per_batch = _Run(graph, situation, after, steps_of(after, self._output, kept=needed))

    def at(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        sources = {"parameter": parameters, "buffer": buffers, "constant": self._constants}
        base: list[Any] = [None] * self._values
        for index, name, role in self._names:
            base[index] = sources[role][name]
        fit = self._fit
        fit.require_once({index: base[index] for index, _, _ in self._names})
        self._once(base)
        start, count, output, run = self._first_input, self._inputs, self._output, self._per_batch

        def infer(*inputs: Tensor) -> Tensor:
            if len(inputs) != count:
                raise TypeError(f"the program takes {count} inputs, not {len(inputs)}")
            fit.require(inputs)
            values = base.copy()
            values[start : start + count] = inputs
            run(values)
            result: Tensor = values[output]
            return result

        return infer


def _cut(
    graph: Graph, calls: tuple[Call, ...], output: int, part: str
) -> tuple[tuple[Call, ...], int, int]:
    """One half of a program that begins with a linear map, or all of it, as a program of its own:
    its calls, the number of its first input, and that of its output.
    """
    if part == "whole":
        return calls, len(graph.tensors), output
    found = leading(graph, calls, output)
    if found is None:
        raise ValueError("the program begins with no linear map")
    if part == "before":
        return found.before, len(graph.tensors), found.source
    return found.after, found.result, output


class _Fit:
    """What a program's values hold, measured once for each choice of the inputs' sizes.

    The calls are those of the graph: what folding and fusing make of them holds no more.
    """

    def __init__(self, graph: Graph, situation: Situation, part: str, memory_bytes: int) -> None:
        calls, output = calls_of(graph, replace(situation, device=torch.device("meta")))
        calls, self._first_input, self._output = _cut(graph, live(calls, output), output, part)
        fixed = fixed_values(calls, self._first_input)
        before = [call for call in calls if fixed.issuperset(reads(call))]
        after = [call for call in calls if not fixed.issuperset(reads(call))]
        self._graph = graph
        self._needed = frozenset(value for call in after for value in reads(call)) & fixed
        if situation.device.type == "cuda":
            # the device says itself when it is full, and nobody else is on it
            memory_bytes = torch.cuda.get_device_properties(situation.device).total_memory
        self._once = Measured(graph, before, memory_bytes)
        self._per_batch = Measured(graph, after, memory_bytes)
        self._found: dict[int, Any] | None = None
        self._fitting: set[tuple[torch.Size, ...]] = set()

    def require_once(self, given: Mapping[int, Any]) -> None:
        """Measures what depends on the point alone. Raises as `require` does."""
        if self._found is None:
            kept = self._needed | {self._output}
            self._found = self._walked(self._once, given, kept)

    def require(self, inputs: Sequence[Tensor]) -> None:
        """Measures a batch of these sizes.

        Raises:
            ProgramTooLarge, OperatorFailed: naming the node.
        """
        sizes = tuple(tensor.shape for tensor in inputs)
        if sizes in self._fitting:
            return
        numbered = dict(enumerate(inputs, self._first_input))
        self._walked(self._per_batch, {**(self._found or {}), **numbered}, {self._output})
        if len(self._fitting) >= _SIZES_KEPT:
            self._fitting.clear()
        self._fitting.add(sizes)

    def _walked(
        self, measured: Measured, given: Mapping[int, Any], kept: Set[int]
    ) -> dict[int, Any]:
        try:
            return measured.walk(given, kept)
        except CallFailed as failure:
            index = failure.call.node
            raise OperatorFailed(self._graph.nodes[index], index, failure.error) from failure.error


@dataclass(frozen=True)
class LeadingMap:
    """xWᵀ + b, the first thing that a program does, and the program without it.

    Attributes:
        weight, bias: names of the parameters W, shape (out, in), and b.
    """

    network: BoundNetwork
    weight: str
    bias: str | None

    def argument(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        """x for a batch of the program's inputs."""
        return self.network.half("before", parameters, buffers)(*inputs)

    def rest(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        """The program's outputs as a function of xWᵀ + b."""
        return self.network.half("after", parameters, buffers)


class _Recalibrating:
    """A graph whose batch norms use batch statistics and keep them."""

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[str, Tensor],
        dtype: torch.dtype,
        device: torch.device,
        memory_bytes: int,
    ) -> None:
        self._statistics = BatchStatistics(running_statistics(graph) or ())
        situation = Situation.of(graph, dtype, device, differentiable=False)
        self._program = _BoundProgram(
            graph, constants, situation, False, memory_bytes, self._statistics
        )

    def __call__(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        passes: Sequence[tuple[Tensor, ...]],
    ) -> dict[str, Tensor]:
        self._statistics.clear()
        infer = self._program.at(parameters, buffers)
        for inputs in passes:
            infer(*inputs)
        found = self._statistics.mean()
        self._statistics.clear()
        return found


class _Run:
    """Steps one after another; a failure says which one it was."""

    def __init__(
        self, graph: Graph, situation: Situation, calls: list[Call], steps: tuple[Step, ...]
    ) -> None:
        self._graph = graph
        self._calls = calls
        self._steps = steps
        self._default = situation.default_dtype

    def __call__(self, values: list[Any]) -> None:
        before = torch.get_default_dtype()
        if before is self._default:
            self._run(values)
            return
        # What operators make of whole numbers and literals follows the computing type too.
        torch.set_default_dtype(self._default)
        try:
            self._run(values)
        finally:
            torch.set_default_dtype(before)

    def _run(self, values: list[Any]) -> None:
        step: Step | None = None
        try:
            for step in self._steps:
                step(values)
        except _PASSING:
            raise
        except _FAILURES as error:
            if step is None:
                raise
            index = self._calls[self._steps.index(step)].node
            raise OperatorFailed(self._graph.nodes[index], index, error) from error


def _of_role(graph: Graph, role: str) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in graph.tensors if spec.role == role}


def _variances(graph: Graph) -> frozenset[str]:
    """By where they enter batch norms, and by name where that is not to be seen."""
    buffers = {spec.name for spec in graph.tensors if spec.role == "buffer"}
    named = {name for name in buffers if name.rpartition(".")[2] == "running_var"}
    found = running_statistics(graph) or ()
    return frozenset(named | {item.variance for item in found} & buffers)


def _recalibratable(graph: Graph) -> frozenset[str] | None:
    found = running_statistics(graph)
    if found is None:
        return None
    names = frozenset(name for item in found for name in (item.mean, item.variance))
    buffers = {spec.name for spec in graph.tensors if spec.role == "buffer"}
    return names if names <= buffers else None


def _checked_constants(graph: Graph, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for spec in graph.tensors:
        if spec.role != "constant":
            continue
        tensor = given.get(spec.name)
        if tensor is None:
            raise ValueError(f"the constant {spec.name!r} is missing")
        if tuple(tensor.shape) != spec.shape or _name(tensor.dtype) != spec.dtype:
            raise ValueError(
                f"the constant {spec.name!r} is {_name(tensor.dtype)} {list(tensor.shape)}, the "
                f"program's is {spec.dtype} {list(spec.shape)}"
            )
        found[spec.name] = tensor
    return found


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
