"""What a kind of question says of itself. Knows no kind; every kind is one folder beside this file.

Owns the interface between the kinds and the code that serves all of them: what is asked, what it
refers to, what makes two of them the same, and what they are called. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from numpy.typing import NDArray

from service.domain.derived.grid import CENTER_ACCURACY
from service.domain.derived.rule import Rule
from service.domain.directions import AnyDirection
from service.domain.grids import Axis
from service.domain.plan import PLANE_ANCHORS, JobPlan, Part
from service.domain.questions.references import Recorded, References
from service.domain.questions.spec import BufferPolicy, ExactSampling, QuestionSpec, Sampling
from service.domain.results import GridResult

S = TypeVar("S", bound=QuestionSpec)

#: (lowest, highest) along each axis.
Extent = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Words:
    """What a kind is called.

    Attributes:
        name: in tables and facets, such as "Surface".
        shows: what its figure shows, for those who do not see it, such as "Loss surface".
        thumbnail: the view of small pictures in lists; None is the usual one.
    """

    name: str
    shows: str
    thumbnail: str | None = None


@dataclass(frozen=True)
class RecordedRun:
    """A run as it was found: every checkpoint named."""

    checkpoints: Sequence[str]
    label: str


class Question(ABC, Generic[S]):
    """One kind of question.

    Attributes:
        kind: on the wire and in the ledger.
        spec: the type of what callers submit; its field `kind` has this kind as its only value.
        words: what it is called.
        size_at: pointer of the field that makes the grid smaller.
        directions_at: pointer of the plane's directions, where it has a plane.
        examples: bodies for the API's documentation, by name.
        part: what a plan holds for this kind alone.
        between_networks: whether points always lie between networks.
        recalibratable: whether running statistics may be recomputed at every point.
        opened_whole: whether every checkpoint it refers to is in memory while it is worked on;
            else the origin alone is, and the others are read one by one when they are due.
    """

    kind: ClassVar[str]
    spec: type[S]
    words: ClassVar[Words]
    size_at: ClassVar[str] = "/grid"
    directions_at: ClassVar[str] = "/directions"
    examples: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    part: ClassVar[type[Part] | None] = None
    between_networks: ClassVar[bool] = False
    recalibratable: ClassVar[bool] = True
    opened_whole: ClassVar[bool] = True

    @abstractmethod
    def shape(self, spec: S) -> tuple[int, ...]:
        """The grid's shape: (n,) for a line, (ny, nx) for a plane, (1,) for a single point."""

    @abstractmethod
    def references(self, spec: S) -> References:
        """Everything that the spec names, with the pointer of each field."""

    def axes_of_path(self, spec: S, checkpoints: Sequence[str]) -> Mapping[str, AnyDirection]:
        """Directions by axis that the found checkpoints make, one run after another; none usually.

        Args:
            checkpoints: ids of every run, in order.
        """
        return {}

    def recorded(
        self,
        spec: S,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        """The spec as it is put on record: directions settled, every checkpoint named.

        Args:
            body: the spec as JSON, defaults filled in.
            directions: by axis: the id of a saved one, or the settled spec.
            runs: in the order of `References.runs`.
        """
        return dict(body)

    @abstractmethod
    def axes(self, spec: S, part: Part | None, extent: Extent | None) -> tuple[Axis, Axis | None]:
        """The grid's axes; None for the second of a line.

        Args:
            part: of the plan.
            extent: how far the child says that the grid must reach, where the spec does not.
        """

    def anchors(self, part: Part | None) -> tuple[tuple[float, float], ...]:
        """(α, β) of the points that every result must know: the centre, unless said otherwise."""
        return PLANE_ANCHORS

    def compared(self, spec: S) -> Sequence[tuple[float, float]]:
        """Points where a reduced precision is compared with float32; none where the child chooses.

        The plan's axes are not known yet.
        """
        return ()

    def orthogonalise(self, spec: S) -> bool:
        """Whether y is made orthogonal to x."""
        return False

    def surface_cells(self, spec: S) -> int:
        """Cells that share their first linear map's products; 0 where they cannot."""
        return 0

    def sampling(self, spec: S) -> Sampling:
        """Which of the grid's cells are evaluated: all, unless said otherwise."""
        return ExactSampling()

    def networks(self, spec: S) -> Sequence[tuple[str, str]]:
        """Role and checkpoint of every network that the points lie between by the kind itself."""
        return ()

    def network_role(self, axis: str) -> str | None:
        """The role of the network that a direction of this axis leads to; None for no such one."""
        return None

    def attachments(
        self, plan: JobPlan, spec: S, checkpoints: Mapping[str, Recorded]
    ) -> dict[str, NDArray[Any]]:
        """Arrays that a result has from the plan on, beside its grid.

        Args:
            checkpoints: records of those that the question refers to, by id.
        """
        return {}

    def finished(self, plan: JobPlan, result: GridResult) -> GridResult:
        """The result as it is published, of the grid as its tiles lay it out."""
        return result

    def provenance(self, plan: JobPlan, spec: S) -> dict[str, Any]:
        """Members of the provenance that are this kind's."""
        return {}

    def title(self, spec: S) -> str:
        """What a landscape's title calls it."""
        return self.kind

    def members(
        self, result: GridResult, provenance: Mapping[str, Any]
    ) -> Mapping[str, dict[str, Any]]:
        """Members of the grid JSON that are this kind's."""
        return {}

    @abstractmethod
    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        """Measures of every data set."""

    def accuracies(self, result: GridResult) -> tuple[Rule, ...]:
        """Measures of every data set whose loss has an accuracy."""
        return (CENTER_ACCURACY,)

    def first_measures(self, result: GridResult) -> tuple[Rule, ...]:
        """Measures of the first data set alone."""
        return ()

    @property
    @abstractmethod
    def every_measure(self) -> tuple[Rule, ...]:
        """All that any of its results can have."""

    def require_possible(self, spec: S, signature: Mapping[str, Any]) -> None:
        """Holds what is asked against the origin's network.

        Args:
            signature: of the model, as its program was read.
        Raises:
            Problem: what it cannot give, at the field that asks for it.
        """

    def lies_along(self, axis: str) -> bool:
        """Whether points lie along the direction of this axis; else it is only looked along."""
        return True

    def own_statistics(self, spec: Mapping[str, Any]) -> str:
        """What is evaluated with running statistics of its own, as a sentence; "" for nothing.

        Args:
            spec: as recorded.
        """
        return "Networks on it are evaluated with their own as well."

    def unasked(self, spec: S) -> frozenset[str]:
        """Fields that count for nothing beside the others of this spec, in its identity."""
        return frozenset()


def unused(spec: QuestionSpec) -> frozenset[str]:
    """Fields that count for nothing in any kind's spec beside the others of this one."""
    return frozenset() if spec.buffers is BufferPolicy.RECALIBRATE else frozenset({"recalibration"})
