"""`tile`: the values of one slice of a job's cells, computed by the child and stored.

Owns the check that what the child returns is the tile it was asked for.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from service.domain.plan import JobPlan
from service.domain.results import Tile
from service.ledger import units
from workers import protocol
from workers.childprocess import ChildDied
from workers.protocol import Computed, DirectionFile
from workers.questions import table
from workers.steps.networks import themselves_of
from workers.steps.opening import open_job
from workers.steps.rounds import order_of
from workers.tools import InHand


def carry_out(hand: InHand) -> None:
    """Raises what `opening.open_job` raises, and ChildDied for values of other cells."""
    begun = time.monotonic()
    open_job(hand)
    assignment, tools = hand.assignment, hand.tools
    plan = assignment.plan
    index = order_of(hand, plan)[assignment.unit.start : assignment.unit.stop]
    _, blobs = tools.runner.request(
        assignment.job.id, _request(hand, plan, index), Computed.read, hand.asking()
    )
    if len(blobs) != 1:
        raise ChildDied("the child's answer holds no tile")
    data = blobs[0]
    _check(data, index, len(assignment.datasets))
    hand.heart.cells_done = len(index)
    digest = hand.store_bytes(data, "application/x-npz")
    seconds = time.monotonic() - begun

    def report() -> None:
        with tools.database.transaction() as session:
            units.report_tile(
                session,
                assignment.unit.id,
                assignment.unit.attempt,
                result=digest,
                seconds=seconds,
                size=len(data),
            )

    hand.persist(report, "reporting a tile")


def _request(hand: InHand, plan: JobPlan, index: NDArray[np.int64]) -> protocol.Tile:
    spec = hand.assignment.spec
    half = table.supervising(spec.kind)
    return protocol.Tile(
        indices=tuple(index.tolist()),
        points=tuple(map(tuple, plan.coordinates()[index].tolist())),
        batch_size=plan.batch_size,
        channels_last=plan.channels_last,
        combine_first=plan.combine_first,
        directions={
            planned.axis: DirectionFile(
                digest=planned.object,
                path=str(hand.fetched(planned.object)) if half.reads_directions else None,
            )
            for planned in plan.directions
        },
        recalibration=plan.recalibration,
        checkpoints=themselves_of(hand, plan, index),
        part=half.tile_part(spec, plan, hand),
    )


def _check(data: bytes, index: NDArray[np.int64], datasets: int) -> None:
    """Whether the bytes are a tile of exactly these cells and data sets."""
    try:
        tile = Tile.from_npz(data)
    except ValueError as error:
        raise ChildDied(f"the child's answer is no tile: {error}") from error
    shapes = {
        array.shape
        for d in tile.datasets
        for array in (d.loss, d.stderr, d.status, d.accuracy)
        if array is not None
    }
    if (
        not np.array_equal(tile.index, index)
        or len(tile.datasets) != datasets
        or shapes != {index.shape}
    ):
        raise ChildDied("the child's answer is another tile than it was asked for")
