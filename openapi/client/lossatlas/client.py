"""The client: push what was trained, ask for landscapes, find what is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from pydantic import BaseModel

from lossatlas import aliases, checks, sharing
from lossatlas.checks import RuleLike
from lossatlas.curvature import density_spec, trace_spec
from lossatlas.directions import DirectionLike, direction_spec, random_directions
from lossatlas.discovery import find_endpoint
from lossatlas.errors import InputError
from lossatlas.jobs import Job
from lossatlas.landscapes import Landscape, SharedFigure
from lossatlas.listing import Listing, Pages
from lossatlas.pushing import Pushing
from lossatlas.sampling import SamplingLike, sampling_spec
from lossatlas.steps import Call, Steps, call, fetch
from lossatlas.trajectories import run_spec
from lossatlas.transport import Transport
from lossatlas.values import (
    Alias,
    AliasMove,
    Check,
    Checkpoint,
    Dataset,
    Direction,
    JobState,
    LandscapeRecord,
    MadeShare,
    Model,
    Share,
)

T = TypeVar("T")
_V = TypeVar("_V", bound=BaseModel)

Range = tuple[float, float]
Bounds = tuple[float | None, float | None]
Precision = Literal["float32", "float64", "tf32", "bf16"]
Buffers = Literal["frozen", "interpolate", "recalibrate"]
Normalisation = Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"]
PathLike = str | Path


class Client:
    """One service, seen through one key. Usable as a context manager; safe in threads.

    Args:
        url, key: the service; found by `LOSSATLAS_URL` and `LOSSATLAS_KEY`, or by the
            `endpoint.json` of a service running on this machine, when left out.
        retry_seconds: how long a call is repeated while the service is away or busy.
        progress: show bars (on a terminal) or lines (elsewhere) for long uploads.
        notice: told in words when a call has to be repeated.

    Raises:
        ConfigurationError: no service or no key is known.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_seconds: float = 30.0,
        progress: bool = True,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = find_endpoint(url, key)
        self.transport = Transport(self.endpoint, retry_seconds=retry_seconds, notice=notice)
        self._pushing = Pushing(self.endpoint.url, progress=progress)

    def __repr__(self) -> str:
        return f"<Client {self.endpoint.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self.transport.close()

    # pushing

    def push_model(
        self,
        program: PathLike | None = None,
        *,
        project: str,
        name: str,
        loss: str = "cross_entropy",
        reduction: str | None = None,
        architecture: str | Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Model:
        """Registers a network.

        Args:
            program: a `.pt2` file, as `export_model` writes it.
            loss: cross_entropy, mse, l1, huber, bce_with_logits, nll or program.
            reduction: what counts alike in the mean over a data set: every `sample` (the default),
                its loss being the mean over its positions, or every `position` of any sample, as
                programs that train language models print it.
            architecture: instead of a program, one that the service can build: a name, or
                `{"name": …, "config": {…}}`.

        Raises:
            ProgramRefusedError: what in the program is not allowed.
        """
        body: dict[str, Any] = {
            "project": project,
            "name": name,
            "loss": loss,
            "tags": sorted(tags),
            "metadata": dict(metadata or {}),
        }
        if reduction is not None:
            body["loss_options"] = {"reduction": reduction}
        if architecture is not None:
            body["architecture"] = (
                {"name": architecture} if isinstance(architecture, str) else dict(architecture)
            )
        return self._run(self._pushing.model(body, None if program is None else Path(program)))

    def push_checkpoint(
        self,
        model: Model | str,
        weights: Any,
        *,
        label: str | None = None,
        step: int | None = None,
        epoch: float | None = None,
        metrics: Mapping[str, float] | None = None,
        learning_rate: float | None = None,
    ) -> Checkpoint:
        """Registers weights of a model.

        Args:
            weights: the module, its state dict (tensors or arrays), or a safetensors file's path.

        Raises:
            WeightsInvalidError: names the tensors that do not fit.
        """
        body = {
            "label": label,
            "step": step,
            "epoch": epoch,
            "metrics": {key: float(value) for key, value in (metrics or {}).items()},
            "learning_rate": learning_rate,
        }
        return self._run(self._pushing.checkpoint(model, weights, body))

    def push_dataset(
        self,
        inputs: Any,
        targets: Any = None,
        *,
        project: str,
        name: str,
        split: str | None = None,
    ) -> Dataset:
        """Registers samples.

        Args:
            inputs: shape (samples, …), or a dict of them by the names of the program's inputs; or
                the path of a safetensors file that holds inputs and targets.
            targets: shape (samples, …); class indices as integers.

        Raises:
            DatasetInvalidError: what in the file cannot be used.
        """
        if isinstance(inputs, str | Path):
            if targets is not None:
                raise InputError("a file holds its own targets; give the path alone")
        elif targets is None:
            raise InputError("targets are missing")
        body = {"project": project, "name": name, "split": split}
        return self._run(self._pushing.dataset(body, inputs, targets))

    def push_direction(
        self,
        checkpoint: Checkpoint | str,
        direction: DirectionLike | Any,
        *,
        normalize: str = "none",
    ) -> Direction:
        """Saves a direction at a checkpoint, for use in several jobs.

        Args:
            direction: a spec (`{"kind": "random", "seed": 1}`), or tensors with the parameters'
                names and shapes (by name, or a safetensors file's path).
        """
        if isinstance(direction, Mapping) and "kind" in direction:
            return self._run(self._pushing.direction(_id(checkpoint), dict(direction), None))
        spec = {"kind": "uploaded", "normalize": normalize}
        return self._run(self._pushing.direction(_id(checkpoint), spec, direction))

    # asking

    def surface(
        self,
        checkpoint: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        seed: int = 1,
        num: int | tuple[int, int] = 51,
        range: Range = (-1.0, 1.0),
        x_range: Range | None = None,
        y_range: Range | None = None,
        normalize: Normalisation | str = "filter",
        ignore: Iterable[str] = ("bias", "norm"),
        x: DirectionLike | None = None,
        y: DirectionLike | None = None,
        orthogonalise: bool = False,
        sampling: SamplingLike = "exact",
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        recalibration_samples: int | None = None,
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for f(α, β) = L(θ + αδ + βη) around a checkpoint (Li et al. 2018).

        Args:
            datasets: one or several, at most eight.
            seed: of the two random directions, which are independent of each other.
            num: points a side, or (along x, along y).
            range: of both axes, ends included; `x_range` and `y_range` replace it.
            normalize, ignore: how random directions are scaled, and which one-dimensional tensors
                they leave alone.
            x, y: directions of your own instead: a `Direction`, its id, or a spec.
            sampling: `exact` evaluates every cell; `adaptive`, or an `Adaptive` with a tolerance,
                evaluates few and interpolates the others, each with a stated error.
            recalibration_samples: with the buffers `recalibrate`, how many samples of the first
                data set running statistics are recomputed from (1024 when left out).
            force: compute again even if the same question has an answer.

        Returns:
            The job; the one that has answered the same question before, where there is one.
        """
        nx, ny = (num, num) if isinstance(num, int) else num
        random = random_directions(seed, normalize, ignore)
        body = {
            "kind": "surface",
            "origin": _id(checkpoint),
            "datasets": _ids(datasets),
            "directions": {
                "x": random if x is None else direction_spec(x),
                "y": random if y is None else direction_spec(y),
            },
            "orthogonalise": orthogonalise,
            "sampling": sampling_spec(sampling),
            "grid": {"x": _axis(x_range or range, nx), "y": _axis(y_range or range, ny)},
        }
        return self.submit(
            body | _common(precision, buffers, tags, priority, force, recalibration_samples)
        )

    def interpolate(
        self,
        origin: Checkpoint | str,
        target: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        num: int = 51,
        range: Range = (-0.5, 1.5),
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        recalibration_samples: int | None = None,
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for f(α) = L((1−α)θ + αθ′) along the line through two checkpoints.

        Args:
            buffers: running statistics along the line: `frozen`, the origin's; `interpolate`; or
                `recalibrate`, recomputed at each point from the first data set, which should be of
                training data. Both ends are evaluated with their own in any case.
            recalibration_samples: of these; 1024 when left out.
        """
        body = {
            "kind": "interpolation",
            "origin": _id(origin),
            "target": _id(target),
            "datasets": _ids(datasets),
            "alpha": _axis(range, num),
        }
        return self.submit(
            body | _common(precision, buffers, tags, priority, force, recalibration_samples)
        )

    def line(
        self,
        checkpoint: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        seed: int = 1,
        repeats: int = 1,
        num: int = 51,
        range: Range = (-1.0, 1.0),
        normalize: Normalisation | str = "filter",
        ignore: Iterable[str] = ("bias", "norm"),
        direction: DirectionLike | None = None,
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        recalibration_samples: int | None = None,
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for f(α) = L(θ + αd) along random directions, or along one of your own.

        Args:
            seed, repeats: directions of seed, seed + 1, …; the result has each one's values, their
                mean and their spread.
            direction: instead of random ones: a `Direction`, its id, or a spec.
        """
        random = random_directions(seed, normalize, ignore)
        body = {
            "kind": "line",
            "origin": _id(checkpoint),
            "datasets": _ids(datasets),
            "direction": random if direction is None else direction_spec(direction),
            "repeats": repeats,
            "alpha": _axis(range, num),
        }
        return self.submit(
            body | _common(precision, buffers, tags, priority, force, recalibration_samples)
        )

    def plane_through(
        self,
        a: Checkpoint | str,
        b: Checkpoint | str,
        c: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        num: int | tuple[int, int] = 51,
        range: Range = (-0.5, 1.5),
        x_range: Range | None = None,
        y_range: Range | None = None,
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        recalibration_samples: int | None = None,
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for the plane through three networks: a at (0, 0), b at (1, 0), c at (0, 1)."""
        return self.surface(
            a,
            datasets,
            x={"kind": "between", "target": _id(b)},
            y={"kind": "between", "target": _id(c)},
            num=num,
            range=range,
            x_range=x_range,
            y_range=y_range,
            precision=precision,
            buffers=buffers,
            recalibration_samples=recalibration_samples,
            tags=tags,
            priority=priority,
            force=force,
        )

    def trajectory(
        self,
        model: Model | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        checkpoints: Sequence[Checkpoint | str] | Literal["all"] = "all",
        label: str | None = None,
        runs: Sequence[Model | str | Mapping[str, Any]] = (),
        center: Literal["final", "mean"] | str = "final",
        exclude: Iterable[str] = (),
        num: int = 51,
        margin: float = 0.3,
        sampling: SamplingLike = "exact",
        true_loss: bool = True,
        random_planes: int = 8,
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        recalibration_samples: int | None = None,
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for the path of training on its principal plane, with the surface under it.

        Args:
            checkpoints: in order; all that the model has now by default, three at least.
            label: of this run beside others.
            runs: further runs on the same plane: models of networks with the same tensors, or
                mappings with `model`, `checkpoints` and `label`.
            center: `final` looks at θ_i − θ_n as they are (the paper); `mean` subtracts the mean
                too (its published code).
            exclude: `bias`, `norm`: parameters not to look at.
            num: points a side of the surface.
            margin: beyond the path on each side, as a share of its length there.
            sampling: of the surface; see `surface`.
            true_loss: evaluate every checkpoint itself too, beside its place in the plane.
            random_planes: how many random planes to compare the share of variation with.
            recalibration_samples: with buffers `recalibrate`, the first data set's that running
                statistics are recomputed from at every point of the plane.

        Returns:
            The job; its landscape has the path as `trajectory`.
        """
        body: dict[str, Any] = {
            "kind": "trajectory",
            "model": _id(model),
            "datasets": _ids(datasets),
            "checkpoints": "all" if isinstance(checkpoints, str) else _ids(checkpoints),
            "label": label,
            "runs": [run_spec(run) for run in runs],
            "center": center,
            "exclude": sorted(exclude),
            "surface": {"num": num, "margin": margin},
            "sampling": sampling_spec(sampling),
            "true_loss": true_loss,
            "random_planes": random_planes,
        }
        return self.submit(
            body | _common(precision, buffers, tags, priority, force, recalibration_samples)
        )

    def curvature(
        self,
        checkpoint: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        largest: int = 1,
        smallest: int = 1,
        trace: str | Mapping[str, Any] | None = None,
        samples: int = 16,
        density: bool | Mapping[str, Any] = False,
        layers: bool = False,
        along: Sequence[DirectionLike] = (),
        exclude: Iterable[str] = (),
        tolerance: float | None = None,
        max_products: int = 300,
        seed: int = 0,
        precision: Precision | str = "float32",
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for the Hessian's spectrum at a checkpoint, over the first data set.

        Args:
            largest, smallest: how many of the most positive and most negative eigenvalues.
            trace: `deflated`, `hutchinson`, `hutch++` or `xtrace`, from `samples` products.
            density: True, or `{"steps": 60, "probes": 4}`.
            layers: the ends and the trace of each layer's block too.
            along: directions d to give dᵀHd/dᵀd along.
            exclude: `bias`, `norm`: parameters held fixed.
            tolerance: of residuals, relative to the largest |eigenvalue|; 1e-5 when left out.
            precision: float32 or float64.

        Returns:
            The job; its landscape has the arrays as `curvature`.
        """
        body: dict[str, Any] = {
            "kind": "curvature",
            "origin": _id(checkpoint),
            "datasets": _ids(datasets),
            "largest": largest,
            "smallest": smallest,
            "trace": trace_spec(trace, samples),
            "density": density_spec(density),
            "layers": layers,
            "along": [direction_spec(direction) for direction in along],
            "exclude": sorted(exclude),
            "tolerance": tolerance,
            "max_products": max_products,
            "seed": seed,
        }
        return self.submit(body | _common(precision, "frozen", tags, priority, force))

    def convexity_map(
        self,
        checkpoint: Checkpoint | str,
        datasets: Sequence[Dataset | str] | Dataset | str,
        *,
        seed: int = 1,
        num: int | tuple[int, int] = 21,
        range: Range = (-1.0, 1.0),
        x_range: Range | None = None,
        y_range: Range | None = None,
        normalize: Normalisation | str = "filter",
        ignore: Iterable[str] = ("bias", "norm"),
        x: DirectionLike | None = None,
        y: DirectionLike | None = None,
        orthogonalise: bool = False,
        exclude: Iterable[str] = (),
        tolerance: float | None = None,
        max_products: int = 300,
        precision: Precision | str = "float32",
        buffers: Buffers | str = "frozen",
        tags: Iterable[str] = (),
        priority: int = 0,
        force: bool = False,
    ) -> Job:
        """Asks for λ_max, λ_min and |λ_min / λ_max| at every cell of a plane (Li et al. 2018, §6).

        A cell takes 20 to 25 Hessian-vector products, mostly. Arguments are those of `surface` and
        `curvature`.

        Returns:
            The job; its landscape has `extra["ratio"]`, `extra["lambda_max"]`… in the first data
            set, beside the loss.
        """
        nx, ny = (num, num) if isinstance(num, int) else num
        random = random_directions(seed, normalize, ignore)
        body: dict[str, Any] = {
            "kind": "curvature",
            "origin": _id(checkpoint),
            "datasets": _ids(datasets),
            "map": {
                "directions": {
                    "x": random if x is None else direction_spec(x),
                    "y": random if y is None else direction_spec(y),
                },
                "orthogonalise": orthogonalise,
                "grid": {"x": _axis(x_range or range, nx), "y": _axis(y_range or range, ny)},
            },
            "exclude": sorted(exclude),
            "tolerance": tolerance,
            "max_products": max_products,
        }
        return self.submit(body | _common(precision, buffers, tags, priority, force))

    def submit(self, spec: Mapping[str, Any]) -> Job:
        """Submits a job by its spec. A broken connection cannot make it twice."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        request = Call("POST", "/v1/jobs", json_body=dict(spec), headers=headers)
        return self._run(self._submitting(request))

    # judging

    def check(
        self,
        landscape: Landscape | str,
        rules: Sequence[RuleLike] | RuleLike,
        *,
        baseline: Landscape | Model | Checkpoint | str | None = None,
        standard_errors: float | None = None,
    ) -> Check:
        """Holds a landscape against rules over its derived measures; the verdict is kept.

        Args:
            rules: lines such as `sharpness <= 3`, `sharpness <= baseline + 10%` or
                `center_accuracy[test] >= baseline - 1%`, or mappings of a rule's fields.
            baseline: a landscape; an alias (`vision/prod`); or a model or a checkpoint, which
                stands for its latest comparable landscape.
            standard_errors: how many count as doubt; 2 when left out.

        Raises:
            NotComparableError: names every term in which the landscapes differ.
        """
        other = None if baseline is None else _id(baseline)
        return self._run(checks.checking(_id(landscape), rules, other, standard_errors))

    def verdict(self, check: str) -> Check:
        """A check on record by its id."""
        return self._run(_found(Check, f"/v1/checks/{check}"))

    def checks(
        self,
        *,
        project: str | None = None,
        landscape: Landscape | str | None = None,
        verdict: str | None = None,
        limit: int | None = None,
    ) -> Listing[Check]:
        """Checks on record, newest first; `limit` are fetched at a time."""
        wanted = {"project": project, "landscape": _given(landscape), "verdict": verdict}
        return self._listed("/v1/checks", {**wanted, "limit": limit}, Check.model_validate)

    def set_alias(
        self,
        alias: str,
        target: Landscape | Model | Checkpoint | str,
        *,
        note: str | None = None,
        expected: str | None = None,
    ) -> Alias:
        """Points an alias (`vision/prod`) at something of its project; the move is on record.

        Args:
            expected: what it must name still; `absent`: there must be none yet.

        Raises:
            ForbiddenError: this key has no right to move aliases.
            PreconditionFailedError: it is not as expected.
        """
        return self._run(aliases.moving(alias, _id(target), note, expected))

    def remove_alias(self, alias: str, *, expected: str | None = None) -> Alias:
        """Removes an alias; what it was. Its history stays. Raises as `set_alias`."""
        return self._run(aliases.removing(alias, expected))

    def alias(self, alias: str) -> Alias:
        """What `vision/prod` names."""
        return self._run(aliases.finding(alias))

    def aliases(self, *, project: str | None = None, limit: int | None = None) -> Listing[Alias]:
        """Aliases by project and name; `limit` are fetched at a time."""
        wanted = {"project": project, "limit": limit}
        return self._listed("/v1/aliases", wanted, Alias.model_validate)

    def alias_history(self, alias: str) -> Listing[AliasMove]:
        """Its moves, newest first."""
        return self._listed(f"{aliases.place(alias)}/history", {}, AliasMove.model_validate)

    def share(
        self,
        /,
        landscape: Landscape | str,
        *,
        expires_in: timedelta | float | None = None,
        **figure: Unpack[SharedFigure],
    ) -> MadeShare:
        """A link to a landscape's picture (PNG) for people without a key; `url` is its address.

        Args:
            expires_in: seconds; a week when left out, 90 days at most.
            figure: what it shows, as for `Landscape.figure` (`view`, `metric`, `theme`, …), fixed
                from now on.

        Raises:
            ConflictError: an administrator has not turned links on for the project.
        """
        return self._run(sharing.making(self.endpoint.url, _id(landscape), expires_in, figure))

    def unshare(self, share: Share | str) -> Share:
        """Ends a link, at once and for good. Raises NotFoundError."""
        return self._run(sharing.ending(_id(share)))

    def shares(self, *, project: str | None = None, limit: int | None = None) -> Listing[Share]:
        """Links, newest first, dead ones included; `limit` are fetched at a time."""
        wanted = {"project": project, "limit": limit}
        return self._listed("/v1/shares", wanted, Share.model_validate)

    # finding

    def job(self, job: str) -> Job:
        """A job by its id."""
        return self._run(self._found_job(job))

    def landscape(self, landscape: str) -> Landscape:
        """A landscape by its id, or by its job's."""
        return self._run(self._found_landscape(landscape))

    def model(self, model: str) -> Model:
        """A model by its id."""
        return self._run(_found(Model, f"/v1/models/{model}"))

    def checkpoint(self, checkpoint: str) -> Checkpoint:
        """A checkpoint by its id."""
        return self._run(_found(Checkpoint, f"/v1/checkpoints/{checkpoint}"))

    def dataset(self, dataset: str) -> Dataset:
        """A data set by its id."""
        return self._run(_found(Dataset, f"/v1/datasets/{dataset}"))

    def models(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        state: str | None = None,
        limit: int | None = None,
    ) -> Listing[Model]:
        """Models, newest first; `limit` are fetched at a time."""
        wanted = {"project": project, "name": name, "tag": tag, "state": state, "limit": limit}
        return self._listed("/v1/models", wanted, Model.model_validate)

    def checkpoints(self, model: Model | str) -> Listing[Checkpoint]:
        """A model's checkpoints, in order."""
        path = f"/v1/models/{_id(model)}/checkpoints"
        return self._listed(path, {}, Checkpoint.model_validate)

    def datasets(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        split: str | None = None,
        limit: int | None = None,
    ) -> Listing[Dataset]:
        """Data sets, newest first; `limit` are fetched at a time."""
        wanted = {"project": project, "name": name, "split": split, "limit": limit}
        return self._listed("/v1/datasets", wanted, Dataset.model_validate)

    def jobs(
        self,
        *,
        project: str | None = None,
        model: Model | str | None = None,
        kind: str | None = None,
        state: str | None = None,
        limit: int | None = None,
    ) -> Listing[Job]:
        """Jobs, newest first; `limit` are fetched at a time."""
        wanted = {"project": project, "model": _given(model), "kind": kind, "state": state}
        return self._listed("/v1/jobs", {**wanted, "limit": limit}, self._job)

    def landscapes(
        self,
        *,
        project: str | None = None,
        model: Model | str | None = None,
        kind: str | None = None,
        tag: str | None = None,
        dataset: Dataset | str | None = None,
        author: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        text: str | None = None,
        sort: str | None = None,
        measures: Mapping[str, Bounds] | None = None,
        limit: int | None = None,
    ) -> Listing[Landscape]:
        """Landscapes, newest first or by `sort`; `limit` are fetched at a time.

        Args:
            author: id of the key that asked for them.
            since, until: made then or later, and before; a datetime with a time zone.
            text: words, each in the title, the model's name, a tag or the note.
            sort: a measure such as `sharpness`; with `-` in front the largest first.
            measures: inclusive ends by measure, None for no end: `{"sharpness": (None, 0.5)}`.
        """
        ends = {
            f"derived.{measure}.{which}": value
            for measure, bounds in (measures or {}).items()
            for which, value in zip(("min", "max"), bounds, strict=True)
        }
        wanted = {
            "project": project,
            "model": _given(model),
            "kind": kind,
            "tag": tag,
            "dataset": _given(dataset),
            "author": author,
            "since": since.isoformat() if isinstance(since, datetime) else since,
            "until": until.isoformat() if isinstance(until, datetime) else until,
            "text": text,
            "sort": sort,
            "limit": limit,
        }
        return self._listed("/v1/landscapes", {**wanted, **ends}, self._landscape)

    def items(self, path: str, filters: Mapping[str, Any]) -> Listing[dict[str, Any]]:
        """Every item of the list at an address, with its own filters by name."""
        return self._listed(path, filters, dict)

    # the wire: `AsyncClient` has its own of these and shares everything above

    def _run(self, steps: Steps[T]) -> T:
        return self.transport.run(steps)

    def _listed(
        self, path: str, filters: Mapping[str, Any], made: Callable[[Any], T]
    ) -> Listing[T]:
        return Listing(self.transport, Pages(path, filters), made)

    def _job(self, body: Any) -> Job:
        return Job(self.transport, JobState.model_validate(body))

    def _landscape(self, body: Any) -> Landscape:
        return Landscape(self.transport, LandscapeRecord.model_validate(body))

    def _submitting(self, request: Call) -> Steps[Job]:
        return self._job((yield from call(request)).json())

    def _found_job(self, job: str) -> Steps[Job]:
        return self._job((yield from fetch(f"/v1/jobs/{job}")))

    def _found_landscape(self, landscape: str) -> Steps[Landscape]:
        if landscape.startswith("job_"):
            job = yield from self._found_job(landscape)
            return (yield from job.finishing())
        return self._landscape((yield from fetch(f"/v1/landscapes/{landscape}")))


def _found(kind: type[_V], path: str) -> Steps[_V]:
    return kind.model_validate((yield from fetch(path)))


def _id(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.id)


def _given(thing: Any) -> str | None:
    return None if thing is None else _id(thing)


def _ids(things: Any) -> list[str]:
    if isinstance(things, str | Dataset):
        things = [things]
    return [_id(thing) for thing in things]


def _axis(ends: Range, num: int) -> dict[str, Any]:
    return {"min": float(ends[0]), "max": float(ends[1]), "num": int(num)}


def _common(
    precision: str,
    buffers: str,
    tags: Iterable[str],
    priority: int,
    force: bool,
    recalibration_samples: int | None = None,
) -> dict[str, Any]:
    body = {
        "precision": precision,
        "buffers": buffers,
        "tags": sorted(tags),
        "priority": priority,
        "force": force,
    }
    if recalibration_samples is not None:
        body["recalibration"] = {"samples": recalibration_samples}
    return body
