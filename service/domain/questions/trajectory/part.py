"""A path on its plane, as `prepare` found it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from service.domain.ids import CheckpointId
from service.domain.plan import Part


class TrajectoryPart(Part):
    """A path on its plane, as `prepare` found it. Rows are checkpoints, one run after another.

    Attributes:
        runs: the run that each row belongs to, from 0.
        centre: the row that everything is relative to: the first run's last.
        coordinates: (a, b) of each row, by least squares.
        residuals: off-plane share ‖θ_i − proj‖ / ‖θ_i − θ_n‖ of each row; 0 for the centre.
        distances: ‖θ_i − θ_n‖ of each row.
        explained_variance: ratios in falling order; the first two are the axes'.
        share: of the path's variation that the plane holds.
        random_shares: of the planes of random directions with seeds 0, 1, 2…
        true_loss: whether the rows themselves are evaluated, after everything in the plane.
        excluded: names of the parameters that the path was not looked at in.
    """

    checkpoints: tuple[CheckpointId, ...]
    runs: tuple[int, ...]
    centre: int
    coordinates: tuple[tuple[float, float], ...]
    residuals: tuple[float, ...]
    distances: tuple[float, ...]
    explained_variance: tuple[float, ...]
    share: float
    random_shares: tuple[float, ...]
    true_loss: bool
    excluded: tuple[str, ...] = ()

    @property
    def themselves(self) -> tuple[CheckpointId, ...]:
        return self.checkpoints if self.true_loss else ()

    @property
    def places(self) -> tuple[tuple[float, float], ...]:
        return self.coordinates if self.true_loss else ()

    def attachments(self, **values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {f"trajectory.true_{name}": array for name, array in values.items()}
