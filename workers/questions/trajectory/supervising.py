"""A path of training on the supervisor's side: the files that the child reads, and what it found.

Owns the order of a path's rows: the checkpoints of all runs, one run after another.
"""

from __future__ import annotations

from typing import ClassVar, Final

from service.domain.questions.trajectory.part import TrajectoryPart
from service.domain.questions.trajectory.result import rows_of
from service.domain.questions.trajectory.spec import TrajectoryJob
from workers.childprocess import ChildDied
from workers.protocol import Prepared
from workers.questions.supervising import Found, Supervising
from workers.questions.trajectory.messages import AskedPath, FoundPath
from workers.tools import InHand


class SupervisedPath(Supervising[TrajectoryJob]):
    """The child is given every checkpoint's file, and opens the origin alone."""

    finds: ClassVar = FoundPath

    def prepare_part(self, spec: TrajectoryJob, hand: InHand) -> AskedPath:
        ids, runs = rows_of(spec)
        checkpoints = hand.assignment.checkpoints
        return AskedPath(
            paths=tuple(str(hand.fetched(checkpoints[identity].weights)) for identity in ids),
            centre=runs.count(0) - 1,
            centring=spec.center,
            exclude=spec.exclude,
            random_planes=spec.random_planes,
            margin=spec.surface.margin,
        )

    def found(self, spec: TrajectoryJob, answer: Prepared) -> Found:
        path = answer.of(FoundPath)
        ids, runs = rows_of(spec)
        if {len(path.coordinates), len(path.residuals), len(path.distances)} != {len(ids)}:
            raise ChildDied("the child found another path than it was asked for")
        part = TrajectoryPart(
            **path.model_dump(exclude={"extent"}),
            checkpoints=tuple(ids),
            runs=tuple(runs),
            centre=runs.count(0) - 1,
            true_loss=spec.true_loss,
        )
        return Found(part, path.extent)


HALF: Final = SupervisedPath()
