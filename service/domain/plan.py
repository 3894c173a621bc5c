"""The plan of a job: what `prepare` decided once for all of its tiles.

Owns what every kind's plan has; a kind's own part is in its folder of `questions`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, SerializeAsAny

from service.domain.counted import Counted
from service.domain.definitions import FIRST
from service.domain.digests import Digest
from service.domain.grids import coarse_to_fine
from service.domain.ids import CheckpointId, DirectionId
from service.domain.questions.spec import BufferPolicy, Precision


class PlannedDirection(BaseModel):
    """A direction as materialised by `prepare`: the very tensors every tile uses.

    `about` is what its making found: an eigenvector's `eigenvalue`, `residual` and `converged`,
    the loss under a gradient. Empty for a direction that was there already.
    """

    model_config = ConfigDict(frozen=True)

    axis: str
    id: DirectionId
    object: Digest
    norm: float
    about: dict[str, bool | int | float] = {}


class Part(BaseModel):
    """What a plan holds for its kind of question alone."""

    model_config = ConfigDict(frozen=True)

    @property
    def themselves(self) -> tuple[CheckpointId, ...]:
        """Checkpoints that are evaluated themselves, after everything in the plane or line."""
        return ()

    @property
    def places(self) -> tuple[tuple[float, float], ...]:
        """(α, β) of each of them."""
        return ()

    def attachments(self, **values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What a result keeps of their values, as named arrays.

        Args:
            values: `loss stderr accuracy status`, each of shape (data sets, checkpoints).
        """
        return {}

    @property
    def work(self) -> int | None:
        """How much there is to do, where that is not counted in points."""
        return None

    @property
    def unit(self) -> str:
        """What the work is counted in, in a word."""
        return "cells"


class PlannedNetwork(BaseModel):
    """A network that the line or plane passes through.

    Attributes:
        role: `origin`; `target` of a line; `x` or `y`, the direction that leads to it.
        at: (α, β) of it.
        itself: whether it is evaluated itself, with its own buffers; otherwise the point at its
            place has these too.
    """

    role: Literal["origin", "target", "x", "y"]
    checkpoint: CheckpointId
    at: tuple[float, float]
    itself: bool


class RecalibrationPlan(BaseModel):
    """How running statistics are recomputed at every point: chosen once, since both can move a
    value's bits.

    Attributes:
        samples: how many of the first data set's.
        passes: into how many batches they are cut; statistics are the mean over them.
    """

    model_config = ConfigDict(frozen=True)

    samples: int
    passes: int


class SamplingRound(BaseModel):
    """Cells of one round of adaptive sampling.

    Attributes:
        object: npz with `cells`, flat indices in the order of work, and `audit`, the indices of all
            cells that are held out from this round on.
        cells: how many this round evaluates.
        tile_cells: of its tiles.
    """

    model_config = ConfigDict(frozen=True)

    object: Digest
    cells: int
    tile_cells: int


class SamplingPlan(BaseModel):
    """Adaptive sampling: `prepare` plans the first round, each `finalise` another one or the end.

    Attributes:
        tolerance: relative, on the loss.
        audit: share of the grid that is drawn at random.
        seed: of the draws.
    """

    model_config = ConfigDict(frozen=True)

    tolerance: float
    audit: float
    seed: int
    rounds: tuple[SamplingRound, ...]


class MemoryPlan(BaseModel):
    """What a worker needs for the job at its peak: the GPU's memory where there is one.

    Attributes:
        estimated_bytes: stated before the first tile; None for curvature, which has a budget.
        measured_bytes: the peak of the worker that prepared the job, a cell's evaluation included.
        halvings: how often the batch was halved because the memory did not suffice.
    """

    model_config = ConfigDict(frozen=True)

    estimated_bytes: int | None
    measured_bytes: int
    halvings: int = 0


class PrecisionErrorPlan(BaseModel):
    """How far a reduced precision lies from float32 on a sample of this job's cells and data.

    Attributes:
        cells, samples: how many were compared, of each data set.
        largest_relative_loss, mean_relative_loss: |L − L32| / |L32|; None where no loss is finite.
        largest_accuracy: largest difference of accuracies; None where there are none.
        changed_status: cells that are finite in one of the two precisions only.
    """

    model_config = ConfigDict(frozen=True)

    against: Precision
    cells: int
    samples: tuple[int, ...]
    largest_relative_loss: float | None
    mean_relative_loss: float | None
    largest_accuracy: float | None
    changed_status: int


class JobPlan(BaseModel):
    """What `prepare` decided once for all tiles, so that bits do not depend on who computes.

    `x` and `y` are the axes' points; `y` is None for a line. `part` is the kind's own. `anchors`
    are points that every result must know (the centre of a plane, both ends of a line); those that
    the grid misses are evaluated besides it, with flat indices from `cells` on. Tiles are slices
    of `order()`; the only tile of a single point's curvature is all its `steps`. With `sampling`
    only the cells of its rounds are evaluated. `networks` are those that lie there, where a point
    of the line or plane is not all of one of them; their places are anchors. `definitions` are
    those of the release that planned it: another one's workers plan anew.
    """

    model_config = ConfigDict(frozen=True)

    x: tuple[float, ...]
    y: tuple[float, ...] | None
    anchors: tuple[tuple[float, float], ...]
    directions: tuple[PlannedDirection, ...]
    cosine: float | None
    orthogonalised: bool
    precision: Precision
    buffers: BufferPolicy
    batch_size: int
    channels_last: bool = True
    combine_first: bool = False
    threads: int
    cell_seconds: float
    tile_cells: int
    first_tile_cells: int | None = None
    memory: MemoryPlan | None = None
    precision_error: PrecisionErrorPlan | None = None
    device: str
    part: SerializeAsAny[Part] | None = None
    recalibration: RecalibrationPlan | None = None
    sampling: SamplingPlan | None = None
    definitions: str = FIRST
    networks: tuple[PlannedNetwork, ...] = ()
    #: By data set, in the job's order; empty in plans from before it was counted.
    counted: tuple[Counted, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The grid's shape, (n,) or (ny, nx)."""
        return (len(self.x),) if self.y is None else (len(self.y), len(self.x))

    @property
    def cells(self) -> int:
        """Cells of the grid, without anchors beside it."""
        return len(self.x) * (1 if self.y is None else len(self.y))

    @property
    def in_plane(self) -> int:
        """Points of the plane or line: the cells and the anchors that the grid misses."""
        return self.cells + len(self._beside())

    @property
    def themselves(self) -> tuple[CheckpointId, ...]:
        """Checkpoints that are evaluated themselves, in the order of their flat indices, from
        `in_plane` on: the part's, and the networks that a line or plane passes through.
        """
        own = () if self.part is None else self.part.themselves
        return (*own, *(network.checkpoint for network in self.networks if network.itself))

    @property
    def evaluations(self) -> int:
        """Points to evaluate in all."""
        return self.in_plane + len(self.themselves)

    @property
    def steps(self) -> int:
        """What the work is counted in: points, those of the rounds so far where sampling is
        adaptive, or the products that a single point's curvature takes at most.
        """
        if self.sampling is not None:
            beside = self.evaluations - self.cells
            return beside + sum(planned.cells for planned in self.sampling.rounds)
        work = None if self.part is None else self.part.work
        return self.evaluations if work is None else work

    def objects(self) -> frozenset[str]:
        """Digests of what `prepare` and its successors stored for this plan."""
        rounds = () if self.sampling is None else self.sampling.rounds
        return frozenset(d.object for d in self.directions) | {r.object for r in rounds}

    def coordinates(self) -> NDArray[np.float64]:
        """(α, β) of every flat index, shape (evaluations, 2); β is 0 on a line.

        A checkpoint evaluated itself has the coordinates of its projection, or of its place.
        """
        rows = [
            *(() if self.part is None else self.part.places),
            *(network.at for network in self.networks if network.itself),
        ]
        return np.concatenate(
            [
                grid_coordinates(self.x, self.y),
                np.array([*self._beside(), *rows], dtype=np.float64).reshape(-1, 2),
            ]
        )

    def order(self, sampled: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Flat indices in the order of work: what lies beside the grid, then it, coarse to fine.

        Args:
            sampled: instead of the whole grid, the cells that adaptive sampling chose, round by
                round.
        """
        beside = np.arange(self.cells, self.evaluations, dtype=np.int64)
        return np.concatenate([beside, coarse_to_fine(self.shape) if sampled is None else sampled])

    def anchor_indices(self) -> tuple[int, ...]:
        """The flat index of each anchor, on the grid or beside it."""
        known: dict[tuple[float, ...], int] = {}
        for index, point in enumerate(self.coordinates()[: self.in_plane].tolist()):
            known.setdefault(tuple(point), index)
        return tuple(known[anchor] for anchor in self.anchors)

    def network_indices(self) -> tuple[int, ...]:
        """The flat index of each network's own values: beside the grid, or at its place."""
        places = dict(zip(self.anchors, self.anchor_indices(), strict=True))
        own = 0 if self.part is None else len(self.part.themselves)
        following = iter(range(self.in_plane + own, self.evaluations))
        return tuple(
            next(following) if network.itself else places[network.at] for network in self.networks
        )

    def _beside(self) -> tuple[tuple[float, float], ...]:
        xs, ys = set(self.x), {0.0} if self.y is None else set(self.y)
        return tuple(a for a in dict.fromkeys(self.anchors) if a[0] not in xs or a[1] not in ys)


def grid_coordinates(x: tuple[float, ...], y: tuple[float, ...] | None) -> NDArray[np.float64]:
    """(α, β) of every cell in flat order `iy * nx + ix`, shape (cells, 2)."""
    ys = np.zeros(1) if y is None else np.asarray(y, dtype=np.float64)
    xs = np.asarray(x, dtype=np.float64)
    return np.stack([np.tile(xs, len(ys)), np.repeat(ys, len(xs))], axis=1)


#: Where a line's ends and a plane's centre lie.
LINE_ANCHORS: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 0.0))
PLANE_ANCHORS: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
