"""What a supervisor and its child say to each other: one frozen type for each message.

    requests  `open` a job, `ingest`, `prepare`, `tile`, `ping`
    replies   `ready` once when warm; `progress` any number of times; then exactly one of `done`,
              with what the request asked for, and `failed`

Owns the messages' fields and their reading: whoever reads one believes no field that has not been
checked, since the child runs what strangers uploaded. What only one kind of question says is the
`part` of a message, a type of that kind's folder. Files are named by their paths; tensors and
tiles travel as blobs beside a message. Knows no kind; imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
)

from service.domain.counted import Counted
from service.domain.plan import (
    MemoryPlan,
    PlannedNetwork,
    PrecisionErrorPlan,
    RecalibrationPlan,
)
from service.domain.problems import KINDS, FieldError, Problem
from service.domain.questions.spec import BufferPolicy, Precision
from workers.frames import Frame, ProtocolError

_FAULTS_TOLD = 3

#: What the ledger has room for.
Count = Annotated[int, Field(ge=0, lt=2**31)]
Seconds = Annotated[FiniteFloat, Field(ge=0)]
#: (α, β).
Place = tuple[FiniteFloat, FiniteFloat]


class Fields(BaseModel):
    """Some fields of a message."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MessagePart(Fields):
    """What a message says of one kind of question alone; types of it are in the kinds' folders."""


P = TypeVar("P", bound=MessagePart)


class Message(Fields):
    """One message, `word` being the type of its frame."""

    word: ClassVar[str]

    def frame(self, *blobs: bytes) -> Frame:
        """The message with the blobs that belong to it."""
        return Frame(self.word, self.model_dump(mode="json"), blobs)

    @classmethod
    def read(cls, frame: Frame, part: type[MessagePart] | None = None) -> Self:
        """The message in a frame.

        Args:
            part: the type of its part, where the kind of question has one.
        Raises:
            ProtocolError: another message, or one whose fields are not those of its type.
        """
        if frame.type != cls.word:
            raise ProtocolError(f"{cls.word!r} was expected, a {frame.type!r} frame came")
        body: dict[str, Any] = dict(frame.body)
        try:
            if part is not None:
                body["part"] = part.model_validate(body.get("part"))
            return cls.model_validate(body)
        except ValidationError as error:
            raise ProtocolError(f"{cls.word!r} with {_faults(error)}") from error


class _Parted(Message):
    """A message with a part of its kind's."""

    part: SerializeAsAny[MessagePart] | None = None

    def of(self, kind: type[P]) -> P:
        """Its part. Raises ProtocolError where that is of another type."""
        if not isinstance(self.part, kind):
            raise ProtocolError(f"{self.word!r} with another kind's part")
        return self.part


# Requests


class CanonicalProgram(Fields):
    """An uploaded program in the form that is kept: files of the graph and of its constants."""

    graph: str
    constants: str | None


class NamedArchitecture(Fields):
    """A network that the workers know by name."""

    name: str
    config: dict[str, Any] = {}


class DatasetFile(Fields):
    """A data set: its id, its name in results, and its file."""

    id: str
    name: str
    path: str


class Half(Fields):
    """Where the child's half of the job's kind is.

    Attributes:
        module: has it as `HALF`.
        folder: that the module is found in; None where everything of the workers is.
    """

    module: str
    folder: str | None = None


class Open(Message):
    """A job's inputs, read once and kept for all its units.

    Attributes:
        weights: files of checkpoints by id, the origin's among them.
        recalibration_samples: see `JobContext`.
        memory_bytes: what a program's values may take at once; None for the child's default.
    """

    word: ClassVar = "open"

    job: str
    half: Half
    device: str
    threads: PositiveInt
    memory_bytes: PositiveInt | None = None
    model: CanonicalProgram | NamedArchitecture
    loss: str
    loss_options: dict[str, Any] = {}
    precision: Precision
    buffers: BufferPolicy
    recalibration_samples: PositiveInt
    weights: dict[str, str]
    origin: str
    datasets: tuple[DatasetFile, ...]


class Ingest(Message):
    """A new model to bind and probe: the file of its archive, or a named architecture.

    Attributes:
        memory_bytes: see `Open`.
    """

    word: ClassVar = "ingest"

    loss: str
    loss_options: dict[str, Any] = {}
    device: str
    memory_bytes: PositiveInt | None = None
    archive: str | None = None
    architecture: NamedArchitecture | None = None


class ReadyDirection(Fields):
    """A direction whose tensors are there: their file."""

    materialised: str


class AskedDirection(Fields):
    """A direction to make.

    Attributes:
        spec: as it is on record (`service.domain.directions`).
        origin: the checkpoint that it is made and normalised at; None is the job's.
        object: the file that an uploaded one's spec names.
    """

    spec: dict[str, Any]
    origin: str | None = None
    object: str | None = None


class Candidate(Fields):
    """A network that the line or plane may pass through.

    Attributes:
        axis: of the unnormalised direction that leads to it; "" for the origin and for the end of a
            segment.
    """

    role: str
    checkpoint: str
    axis: str = ""


class Prepare(_Parted):
    """The decisions to take once for a whole job.

    Attributes:
        cells: how many share their first linear map's products; 0 where they cannot.
        compared: (α, β) where a reduced precision is compared with float32; the kind's half
            chooses where there are none.
        memory_bytes: what the process may hold in all; None for no limit.
    """

    word: ClassVar = "prepare"

    directions: dict[str, ReadyDirection | AskedDirection]
    orthogonalise: bool = False
    cells: NonNegativeInt = 0
    compared: tuple[Place, ...] = ()
    memory_bytes: PositiveInt | None = None
    networks: tuple[Candidate, ...] = ()


class DirectionFile(Fields):
    """A direction of the plan; `path` is None where it is not read."""

    digest: str
    path: str | None = None


class Tile(_Parted):
    """Some cells to evaluate, as the plan has decided.

    Attributes:
        indices: flat, of each cell.
        points: (α, β) of each cell.
        checkpoints: for each cell the id, or the file, of the checkpoint that is evaluated itself;
            None for a point of the line or plane. Empty where all are such points.
    """

    word: ClassVar = "tile"

    indices: tuple[NonNegativeInt, ...]
    points: tuple[Place, ...]
    batch_size: PositiveInt
    channels_last: bool = True
    combine_first: bool = False
    directions: dict[str, DirectionFile] = {}
    recalibration: RecalibrationPlan | None = None
    checkpoints: tuple[str | None, ...] = ()


class Ping(Message):
    """Whether anybody is there."""

    word: ClassVar = "ping"


# Replies


class Ready(Message):
    """The child is warm; said once."""

    word: ClassVar = "ready"


class Progress(Message):
    """How many cells of the request are done, or products of a single point."""

    word: ClassVar = "progress"

    cells_done: Count


class Done(Message):
    """What was asked is done: `open` and `ping` are answered by that alone."""

    word: ClassVar = "done"


class Ingested(Message):
    """A model's signature, as its row keeps it (`service.programs`).

    Blobs: the canonical graph and, where there are any, its constants; none for an architecture.
    """

    word: ClassVar = "done"

    signature: dict[str, Any]


class Prepared(_Parted):
    """What was decided. Blobs: the directions' tensors, in the order of `axes`.

    Attributes:
        own: axes of directions that are this job's own and not what their specs say: y where it
            was made orthogonal to x.
        cell_seconds: of one cell, or of one product of a single point.
        norms: of the directions, by axis.
        about: what is known of how each came to be, by axis.
        networks: those on the line or plane, where one of them is evaluated itself.
        counted: by data set.
    """

    word: ClassVar = "done"

    axes: tuple[str, ...]
    own: tuple[str, ...]
    norms: dict[str, FiniteFloat]
    about: dict[str, dict[str, bool | int | FiniteFloat]]
    cosine: FiniteFloat | None
    orthogonalised: bool
    batch_size: PositiveInt
    channels_last: bool
    combine_first: bool
    recalibration: RecalibrationPlan | None
    cell_seconds: Seconds
    memory: MemoryPlan
    precision_error: PrecisionErrorPlan | None
    device: str
    networks: tuple[PlannedNetwork, ...]
    counted: tuple[Counted, ...]


class Computed(Message):
    """A tile, which is the one blob; `peak_memory_bytes` is what the child has held at most."""

    word: ClassVar = "done"

    cells: NonNegativeInt
    peak_memory_bytes: NonNegativeInt


class Fault(Fields):
    """A problem at one field of what the caller submitted."""

    pointer: str
    detail: str


class Reason(Fields):
    """Which rule a program breaks, and where in it."""

    code: str
    detail: str
    pointer: str


def _in_the_catalogue(code: str) -> str:
    if code not in KINDS:
        raise ValueError("not in the catalogue of problems")
    return code


class ToldProblem(Fields):
    """A problem (`service.domain.problems`) without what its code says already."""

    code: Annotated[str, AfterValidator(_in_the_catalogue)]
    detail: str
    errors: tuple[Fault, ...] = ()
    reason: Reason | None = None

    @classmethod
    def of(cls, problem: Problem) -> ToldProblem:
        return cls(
            code=problem.code,
            detail=problem.detail,
            errors=tuple(Fault(pointer=e.pointer, detail=e.detail) for e in problem.errors),
            reason=problem.extra.get("reason"),
        )

    def to_problem(self) -> Problem:
        return Problem(
            self.code,
            self.detail,
            errors=[FieldError(e.pointer, e.detail) for e in self.errors],
            extra=None if self.reason is None else {"reason": self.reason.model_dump()},
        )


class Failed(Message):
    """Why the request failed.

    Attributes:
        retry: another attempt may fare better.
        broken: this child is not to be used again.
    """

    word: ClassVar = "failed"

    problem: ToldProblem
    retry: bool
    broken: bool = False


def _faults(error: ValidationError) -> str:
    """Where a message is wrong, without what stood there."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    told = [
        f"{'/'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        for fault in faults[:_FAULTS_TOLD]
    ]
    more = len(faults) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
