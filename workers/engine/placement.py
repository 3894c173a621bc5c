"""Where a cell lies: the parameters and buffers of (α, β), written into static vectors.

Owns the arithmetic of moving in weight space and the buffers' policy. Each placement holds the
vectors it combines (θ, δ, η or θ, θ′), one flat vector each, on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from workers.engine.direction import Direction
from workers.engine.layout import ParameterLayout
from workers.engine.network import Network, Point, is_floating, variance_buffers
from workers.engine.vocabulary import Vocabulary

#: Elements moved at a time: 16 MiB of float64.
_BLOCK: Final = 2 << 20


class BufferPolicy(Vocabulary, of="buffer policy"):
    """`frozen`: the origin's everywhere. `interpolate`: they move along the direction too.
    `recalibrate`: recomputed from samples at each point (`workers.engine.recalibration`); what
    cannot be recomputed is the origin's.
    """

    FROZEN = "frozen"
    INTERPOLATE = "interpolate"
    RECALIBRATE = "recalibrate"


class Placement(Protocol):
    """Writes cells' parameters and buffers; a line's cells have β = 0."""

    @property
    def parameter_layout(self) -> ParameterLayout: ...
    @property
    def buffer_layout(self) -> ParameterLayout: ...
    @property
    def fixed_buffers(self) -> Mapping[str, Tensor]:
        """Buffers that no direction moves, such as counters."""
        ...

    def write(self, alpha: float, beta: float, parameters: Tensor, buffers: Tensor) -> None:
        """Fills the two flat vectors with the cell's values."""
        ...

    def is_valid(self, alpha: float, beta: float) -> bool:
        """False where a variance would go below zero."""
        ...


class _Vectors:
    """What all placements share: layouts, fixed buffers, and the host's look at variances."""

    def __init__(
        self,
        network: Network,
        origin: Point,
        policy: BufferPolicy,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = True,
    ) -> None:
        self.parameter_layout = ParameterLayout.of(network.parameters, channels_last=channels_last)
        floating = [name for name, spec in network.buffers.items() if is_floating(spec)]
        self.buffer_layout = ParameterLayout.of(network.buffers, names=floating)
        self.fixed_buffers: Mapping[str, Tensor] = {
            name: origin.buffers[name].to(device)
            for name in network.buffers
            if name not in floating
        }
        self._moves_buffers = policy is BufferPolicy.INTERPOLATE
        self._variances = sorted(variance_buffers(network) & set(floating))
        self._dtype = dtype
        self._device = device
        self._theta = self.parameter_layout.flatten(origin.parameters, dtype, device)
        self._state = self.buffer_layout.flatten(origin.buffers, dtype, device)

    def _host_variances(self, tensors: Mapping[str, Tensor]) -> Tensor:
        if not self._variances:
            return torch.zeros(0, dtype=torch.float64)
        return torch.cat(
            [
                tensors[name].detach().to("cpu", torch.float64).reshape(-1)
                for name in self._variances
            ]
        )

    def _buffer_part(self, direction: Direction) -> dict[str, Tensor]:
        return {
            entry.name: direction.buffers.get(entry.name, torch.zeros(entry.shape))
            for entry in self.buffer_layout.entries
        }

    def _never_negative(self, variances: Callable[[], Tensor]) -> bool:
        if not self._moves_buffers or not self._variances:
            return True
        # A NaN variance is not this fault: it gives a NaN loss, which is reported as such.
        return not bool((variances() < 0).any())


class _AlongDirections(_Vectors):
    """θ and moves along directions, whose vectors are kept on the device `kept_on`."""

    def __init__(
        self,
        network: Network,
        origin: Point,
        directions: Sequence[Direction],
        policy: BufferPolicy,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool,
        kept_on: torch.device,
    ) -> None:
        super().__init__(network, origin, policy, dtype, device, channels_last)
        self._parameters = _Moves(
            self._theta,
            [self.parameter_layout.flatten(d.parameters, dtype, kept_on) for d in directions],
        )
        moved = [self._buffer_part(d) for d in directions]
        self._buffers = _Moves(
            self._state, [self.buffer_layout.flatten(part, dtype, kept_on) for part in moved]
        )
        self._host_state = self._host_variances(origin.buffers)
        self._host_steps = [self._host_variances(part) for part in moved]

    def write(self, alpha: float, beta: float, parameters: Tensor, buffers: Tensor) -> None:
        coordinates = self._coordinates(alpha, beta)
        self._parameters.write(coordinates, parameters)
        if self._moves_buffers:
            self._buffers.write(coordinates, buffers)
        else:
            buffers.copy_(self._state)

    def is_valid(self, alpha: float, beta: float) -> bool:
        def variances() -> Tensor:
            value = self._host_state
            for index, coordinate in self._coordinates(alpha, beta):
                value = value + coordinate * self._host_steps[index]
            return value

        return self._never_negative(variances)

    def _coordinates(self, alpha: float, beta: float) -> list[tuple[int, float]]:
        """How far the cell lies along each direction that it is moved in, by the number of it."""
        raise NotImplementedError


class PlanePlacement(_AlongDirections):
    """θ + αδ + βη; without η a line along δ."""

    def __init__(
        self,
        network: Network,
        origin: Point,
        x: Direction,
        y: Direction | None,
        policy: BufferPolicy,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = True,
    ) -> None:
        directions = [x] if y is None else [x, y]
        super().__init__(network, origin, directions, policy, dtype, device, channels_last, device)
        self._axes = len(directions)

    def _coordinates(self, alpha: float, beta: float) -> list[tuple[int, float]]:
        return list(enumerate((alpha, beta)))[: self._axes]


class SegmentPlacement(_Vectors):
    """(1 − α)θ + αθ′, with the very bits of θ at α = 0 and of θ′ at α = 1."""

    def __init__(
        self,
        network: Network,
        origin: Point,
        target: Point,
        policy: BufferPolicy,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = True,
    ) -> None:
        super().__init__(network, origin, policy, dtype, device, channels_last)
        self._target = self.parameter_layout.flatten(target.parameters, dtype, device)
        self._target_state = self.buffer_layout.flatten(target.buffers, dtype, device)
        self._host_ends = (
            self._host_variances(origin.buffers),
            self._host_variances(target.buffers),
        )

    def write(self, alpha: float, beta: float, parameters: Tensor, buffers: Tensor) -> None:
        # lerp is exact at both ends, and where both ends are equal.
        torch.lerp(self._theta, self._target, alpha, out=parameters)
        if self._moves_buffers:
            torch.lerp(self._state, self._target_state, alpha, out=buffers)
        else:
            buffers.copy_(self._state)

    def is_valid(self, alpha: float, beta: float) -> bool:
        start, end = self._host_ends
        return self._never_negative(lambda: torch.lerp(start, end, alpha))


class LinesPlacement(_AlongDirections):
    """θ + αd_k: cell (α, k) lies along the kth of several directions, k = 0, 1, …

    The directions stay on the host, however many there are: one is moved per cell.
    """

    def __init__(
        self,
        network: Network,
        origin: Point,
        directions: Sequence[Direction],
        policy: BufferPolicy,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = True,
    ) -> None:
        host = torch.device("cpu")
        super().__init__(network, origin, directions, policy, dtype, device, channels_last, host)

    def _coordinates(self, alpha: float, beta: float) -> list[tuple[int, float]]:
        return [(int(beta), alpha)]


class _Moves:
    """out = θ + (αδ + βη), the sum of the moves in float64 and rounded once to the origin's type.

    So it is where the moves cancel the origin that the outcome is exact: with copies of θ on both
    axes (the published rule for one-dimensional tensors) a bias at α + β = −1 is zero and not
    rounding noise, and every sample ties in the same way as it does there.
    """

    def __init__(self, origin: Tensor, steps: list[Tensor]) -> None:
        self._origin = origin
        self._steps = steps
        # a block at a time: no second copy of the network in float64
        self._block = torch.empty(
            min(_BLOCK, origin.numel()), dtype=torch.float64, device=origin.device
        )

    def write(self, coordinates: Sequence[tuple[int, float]], out: Tensor) -> None:
        """θ and moves along some of the directions, by their numbers."""
        moves = [(coordinate, self._steps[index]) for index, coordinate in coordinates]
        (first, step), *others = moves
        for start in range(0, out.numel(), _BLOCK):
            stop = min(start + _BLOCK, out.numel())
            moved = self._block[: stop - start].copy_(step[start:stop])
            moved.mul_(first)
            for coordinate, other in others:
                moved.add_(other[start:stop], alpha=coordinate)
            out[start:stop].copy_(moved)
        out.add_(self._origin)
