"""The mean loss over a data set as a differentiable function of chosen parameters.

Owns which parameters are chosen, the loop over ragged batches and the gradient. L(θ) = (1/m) Σ wℓ
whatever the batching: batches give *sums* of per-sample losses times their weights, which are added
up in float64 and divided by m once. Evaluation mode; buffers stay those of the point.

Attention runs in its plain mathematical form, since the fused kernels have no second derivative.
Whatever is differentiated comes through an `Objective`, and none comes to be before the form that
it differentiates has been held against the form that losses are computed in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import grad_and_value, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.engine.datasets import Batch, Dataset
from workers.engine.errors import CurvatureUnsupported, InputInvalid, PrecisionUnavailable
from workers.engine.evaluation import DatasetEvaluation, Setting, cast_point, prepare_datasets
from workers.engine.forms import FormsCompared, compare_forms
from workers.engine.layout import ParameterLayout
from workers.engine.memory import memory_guard
from workers.engine.network import Network, Point, check_point
from workers.engine.normalisation import Kind, parameter_kind
from workers.engine.precision import Precision, arithmetic

_PRECISIONS = frozenset({Precision.FLOAT32, Precision.FLOAT64})


@dataclass(frozen=True)
class Gradient:
    """L and ∇L at a point.

    Attributes:
        loss: L, summed in float64.
        vector: ∇L over the chosen parameters, shape (layout.size,), in the setting's type.
        layout: what the vector is made of.
    """

    loss: float
    vector: Tensor
    layout: ParameterLayout


class Objective:
    """A data set on the device and the parameters that derivatives are taken in.

    Attributes:
        forms: how the losses of both forms of the network agree at the origin.
    """

    def __init__(
        self,
        setting: Setting,
        origin: Point,
        dataset: Dataset,
        *,
        exclude: frozenset[Kind] = frozenset(),
    ) -> None:
        """`setting.batch_size` is what goes through one product; targets are checked at `origin`.

        Args:
            exclude: kinds of parameters that are held fixed; none by default. The code published
                with Li et al. (2018) leaves out biases and norms.

        Raises:
            PrecisionUnavailable: the precision is neither float32 nor float64.
            InputInvalid: no parameter is left.
            TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
            FormsDiffer: at `origin` the differentiable form of the network has another loss than
                the network.
        """
        if setting.precision not in _PRECISIONS:
            raise PrecisionUnavailable(
                f"curvature is computed in float32 or float64, not in {setting.precision}"
            )
        names = [
            name
            for name in setting.network.parameters
            if parameter_kind(setting.network, name) not in exclude
        ]
        if not names:
            raise InputInvalid("every parameter of the network is excluded")
        self.setting = setting
        self.layout = _layout(setting.network, names)
        (self._data,) = prepare_datasets(setting, origin, [dataset], differentiable=True)
        self.forms = self._compared(origin, dataset)

    def _compared(self, origin: Point, dataset: Dataset) -> FormsCompared:
        setting = self.setting
        local = self.at(origin)

        def in_double(suspect: Tensor) -> tuple[Tensor, Tensor]:
            double = replace(setting, precision=Precision.FLOAT64)
            pairs = []
            for batch in self._data.batches:
                if not bool(suspect[batch.start : batch.stop].any()):
                    continue
                kept = slice(batch.start, batch.stop)  # whole: a form may fail for a size alone
                inputs = tuple(tensor[kept] for tensor in dataset.inputs)
                some = Dataset(dataset.name, inputs, dataset.targets[kept])
                (data,) = prepare_datasets(double, origin, [some], differentiable=True)
                exact = LocalObjective(double, data, check_point(self.network, origin), self.layout)
                pairs.append((exact.sample_losses(), exact.inferred_losses()))
            ours, theirs = zip(*pairs, strict=True)
            return torch.cat(ours), torch.cat(theirs)

        return compare_forms(
            local.sample_losses(),
            local.inferred_losses(),
            local.dtype,
            None if setting.precision is Precision.FLOAT64 else in_double,
            dataset=dataset.name,
        )

    @property
    def network(self) -> Network:
        return self.setting.network

    @property
    def samples(self) -> int:
        """m: how many samples the mean is over."""
        return self._data.samples

    def at(self, point: Point, *, names: Iterable[str] | None = None) -> LocalObjective:
        """The loss around `point`, in the chosen parameters or in those of them that `names` has.

        Raises:
            ParametersInvalid: the point does not fit the network.
            InputInvalid: a name is unknown or excluded, or none is given.
        """
        layout = self.layout
        if names is not None:
            wanted = frozenset(names)
            unknown = sorted(wanted - frozenset(layout.names))
            if unknown or not wanted:
                raise InputInvalid(
                    f"{unknown[0]!r} is no parameter of the curvature"
                    if unknown
                    else "no parameter is named"
                )
            layout = _layout(self.network, wanted)
        return LocalObjective(self.setting, self._data, check_point(self.network, point), layout)


class LocalObjective:
    """The loss as a function of the flat vector of the chosen parameters, around one point.

    Attributes:
        vector: the point's chosen parameters, shape (layout.size,).
    """

    def __init__(
        self, setting: Setting, data: DatasetEvaluation, point: Point, layout: ParameterLayout
    ) -> None:
        self.setting = setting
        self.layout = layout
        self.dtype = setting.precision.place_dtype
        self.device = setting.device
        self._data = data
        self._batches = data.batches
        cast = cast_point(point, self.dtype, self.device)
        self._fixed: Mapping[str, Tensor] = cast.parameters
        self._buffers: Mapping[str, Tensor] = cast.buffers
        self.vector = layout.flatten(point.parameters, self.dtype, self.device)

    @property
    def samples(self) -> int:
        return self._data.samples

    def ends(self) -> tuple[LocalObjective, ...]:
        """The same with the first batch alone and, where it has another size, with the last."""
        first, last = self._batches[0], self._batches[-1]
        alike = last.stop - last.start == first.stop - first.start
        return tuple(self._with(batch) for batch in ((first,) if alike else (first, last)))

    def _with(self, batch: Batch) -> LocalObjective:
        trial = copy.copy(self)
        trial._batches = (batch,)
        return trial

    def batch_losses(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Per batch the function vector → Σ w_i ℓ_i over its samples, a float64 scalar.

        Call them within `differentiating`.
        """
        for batch in self._batches:
            yield lambda vector, batch=batch: self._batch_loss(vector, batch)  # type: ignore[misc]

    def loss(self) -> float:
        """L in float64; NaN and infinities as they come."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with torch.no_grad(), differentiating(self.setting):
            for batch_loss in self.batch_losses():
                total += batch_loss(self.vector)
        return float(total) / self.samples

    def sample_losses(self) -> Tensor:
        """ℓ of every sample in the form that is differentiated, and under a derivative.

        Shape (samples of the data set,), float64; those without a target have 0 or NaN.
        """
        with differentiating(self.setting):
            parts = [
                vjp(lambda vector, batch=batch: self._losses(vector, batch), self.vector)[0]
                for batch in self._batches
            ]
        return torch.cat([part.detach().to(torch.float64) for part in parts])

    def inferred_losses(self) -> Tensor:
        """ℓ of every sample in the form that losses are computed in everywhere else."""
        setting = self.setting
        parameters = {**self._fixed, **self.layout.views(self.vector)}
        with (
            memory_guard(setting.batch_size),
            torch.inference_mode(),
            arithmetic(setting.precision),
        ):
            infer = setting.network.at(parameters, self._buffers)
            parts = [
                setting.loss.per_sample(self._data.outputs(infer, batch), batch.targets)
                for batch in self._batches
            ]
            return torch.cat([part.to(torch.float64) for part in parts])

    def gradient(self) -> Gradient:
        """L and ∇L; NaN and infinities as they come.

        Raises:
            CurvatureUnsupported, MemoryExceeded.
        """
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        vector = self.layout.zeros(torch.float64, self.device)
        with differentiating(self.setting):
            for batch_loss in self.batch_losses():
                part, value = grad_and_value(batch_loss)(self.vector)
                vector += part
                total += value
        return Gradient(
            float(total) / self.samples, (vector / self.samples).to(self.dtype), self.layout
        )

    def _batch_loss(self, vector: Tensor, batch: Batch) -> Tensor:
        return self._data.batch_sum(self._outputs(vector, batch), batch)

    def _losses(self, vector: Tensor, batch: Batch) -> Tensor:
        return self.setting.loss.per_sample(self._outputs(vector, batch), batch.targets)

    def _outputs(self, vector: Tensor, batch: Batch) -> Tensor:
        parameters = {**self._fixed, **self.layout.views(vector)}

        def infer(*inputs: Tensor) -> Tensor:
            return self.setting.network(parameters, self._buffers, *inputs)

        return self._data.outputs(infer, batch)


@contextmanager
def differentiating(setting: Setting) -> Iterator[None]:
    """Arithmetic, kernels and the translation of failures, around every derivative.

    Raises:
        MemoryExceeded: naming the batch size.
        CurvatureUnsupported: an operator has no such derivative.
    """
    try:
        with (
            memory_guard(setting.batch_size),
            arithmetic(setting.precision),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    except NotImplementedError as error:
        raise CurvatureUnsupported(
            f"the program cannot be differentiated twice: {error}"
        ) from error
    except RuntimeError as error:
        if "derivative" in str(error) and "not implemented" in str(error):
            raise CurvatureUnsupported(
                f"the program cannot be differentiated twice: {error}"
            ) from error
        raise


def _layout(network: Network, names: Iterable[str]) -> ParameterLayout:
    """Without gaps: an operator on a vector with gaps would have eigenvalues that are not there."""
    return ParameterLayout.of(network.parameters, names=names, aligned=False)
