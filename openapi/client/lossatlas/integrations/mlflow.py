"""MLflow runs: their safetensors artifacts as checkpoints, with steps, metrics and parameters.

Reads through MLflow's client and writes nothing there. Nothing is ever unpickled, so models that
MLflow's PyTorch flavour logged (`data/model.pth` and the like) are not read: log a safetensors file
beside them (`lossatlas.save_weights`, then `mlflow.log_artifact`).
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lossatlas.callbacks.snapshots import finite
from lossatlas.client import Client
from lossatlas.errors import InputError, WeightsInvalidError
from lossatlas.values import Checkpoint, Model

_PICKLED: Final = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib"})
_SHARD: Final = re.compile(r"-\d+-of-\d+\.safetensors$")
#: `checkpoint-100/…`, `step_100.safetensors`, `epoch=3-step=100`.
_STEP: Final = re.compile(r"(?:step|checkpoint|iter|global_step)[-_=]?(\d+)", re.IGNORECASE)
_EPOCH: Final = re.compile(r"epoch[-_=]?(\d+)", re.IGNORECASE)
_RATES: Final = ("learning_rate", "lr", "train/learning_rate", "lr-SGD", "lr-Adam", "lr-AdamW")
_MOST: Final = 10_000


@dataclass(frozen=True)
class Skipped:
    """An artifact that was not read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What came of an MLflow run.

    Attributes:
        checkpoints: those that were added, in order of their steps.
        skipped: artifacts that look like weights and were not read.
    """

    model: Model
    checkpoints: tuple[Checkpoint, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _Weights:
    path: str
    step: int | None
    epoch: float | None


def import_run(
    run_id: str,
    *,
    client: Client | None = None,
    model: Model | str | None = None,
    project: str | None = None,
    name: str | None = None,
    program: str | Path | None = None,
    loss: str = "cross_entropy",
    reduction: str | None = None,
    tracking_uri: str | None = None,
) -> Imported:
    """Adds a run's checkpoints to a model, a registered one or one that it registers.

    Steps and epochs are read from the artifacts' paths (`checkpoint-100/model.safetensors`,
    `epoch=3-step=100.safetensors`); metrics are those logged last up to that step. The run's
    parameters become the new model's metadata. Artifacts that the model has already (by their
    path, as label) are left alone, so that a run may be imported again as it goes on.

    Args:
        client: of the service; found as `Client` does when left out.
        model: a registered one, or its id; otherwise `project` and a program register one.
        name: of the new model; the run's by default.
        loss, reduction: of the new model, as `Client.push_model`'s.
        program: a `.pt2` file; by default the run's only `.pt2` artifact.
        tracking_uri: MLflow's; `MLFLOW_TRACKING_URI` by default.

    Raises:
        InputError: there is no such run, it has nothing that can be read, or no model to add to.
        LossatlasError: as `Client.push_model` and `Client.push_checkpoint`.
    """
    tracking, fault = _tracking(tracking_uri)
    try:
        run = tracking.get_run(run_id)
        paths = _artifacts(tracking, run_id)
    except fault as error:
        raise InputError(f"MLflow run {run_id}: {error}") from None
    found, skipped = _weights(paths)
    if not found:
        raise InputError(_nothing(run_id, skipped))
    own = client is None
    service = client or Client()
    try:
        with tempfile.TemporaryDirectory(prefix="lossatlas-") as folder:
            into = _model(
                service,
                tracking,
                run,
                paths,
                Path(folder),
                model,
                project,
                name,
                program,
                loss,
                reduction,
            )
            known = {checkpoint.label for checkpoint in service.checkpoints(into)}
            history = _history(tracking, run)
            added: list[Checkpoint] = []
            for weights in found:
                if weights.path in known:
                    continue
                local = Path(tracking.download_artifacts(run_id, weights.path, folder))
                metrics = _metrics_at(history, weights.step)
                try:
                    added.append(
                        service.push_checkpoint(
                            into,
                            local,
                            label=weights.path,
                            step=weights.step,
                            epoch=weights.epoch,
                            metrics=metrics,
                            learning_rate=_rate(metrics, run.data.params),
                        )
                    )
                except WeightsInvalidError as error:
                    skipped.append(Skipped(weights.path, error.detail or error.title))
                finally:
                    local.unlink(missing_ok=True)
            return Imported(into, tuple(added), tuple(skipped))
    finally:
        if own:
            service.close()


def _tracking(uri: str | None) -> tuple[Any, type[Exception]]:
    try:
        mlflow: Any = importlib.import_module("mlflow")
        fault: type[Exception] = importlib.import_module("mlflow.exceptions").MlflowException
    except ImportError:
        raise InputError("this needs MLflow's client: pip install 'lossatlas[mlflow]'") from None
    return mlflow.MlflowClient(tracking_uri=uri), fault


def _artifacts(tracking: Any, run_id: str) -> list[str]:
    """Paths of all files of a run, folder by folder."""
    files: list[str] = []
    folders: list[str | None] = [None]
    while folders:
        for item in tracking.list_artifacts(run_id, folders.pop()):
            (folders if item.is_dir else files).append(str(item.path))
            if len(files) + len(folders) > _MOST:
                raise InputError(f"MLflow run {run_id} has more than {_MOST} artifacts")
    return sorted(files)


def _weights(paths: Sequence[str]) -> tuple[list[_Weights], list[Skipped]]:
    found, skipped = [], []
    for path in paths:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in _PICKLED:
            skipped.append(Skipped(path, "it may hold a pickle, which is never read"))
        elif suffix != ".safetensors":
            continue
        elif _SHARD.search(path):
            skipped.append(Skipped(path, "a part of weights only; log them as one file"))
        else:
            step, epoch = _number(_STEP, path), _number(_EPOCH, path)
            found.append(_Weights(path, step, None if epoch is None else float(epoch)))
    last = float("inf")
    found.sort(key=lambda w: (_or(w.step, last), _or(w.epoch, last), w.path))
    return found, skipped


def _number(pattern: re.Pattern[str], path: str) -> int | None:
    numbers = pattern.findall(path)
    return int(numbers[-1]) if numbers else None


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _nothing(run_id: str, skipped: Sequence[Skipped]) -> str:
    words = f"MLflow run {run_id} has no safetensors artifact"
    if skipped:
        words += f" that can be read ({skipped[0].path}: {skipped[0].reason})"
    return words + "; log one with lossatlas.save_weights and mlflow.log_artifact"


def _model(
    service: Client,
    tracking: Any,
    run: Any,
    paths: Sequence[str],
    folder: Path,
    model: Model | str | None,
    project: str | None,
    name: str | None,
    program: str | Path | None,
    loss: str,
    reduction: str | None,
) -> Model:
    if model is not None:
        return service.model(model) if isinstance(model, str) else model
    if project is None:
        raise InputError("give a model to add to, or a project to register one in")
    if program is None:
        programs = [path for path in paths if path.endswith(".pt2")]
        if len(programs) != 1:
            raise InputError(
                f"the run has {len(programs)} .pt2 artifacts; give the program's file, or a model"
            )
        program = tracking.download_artifacts(run.info.run_id, programs[0], str(folder))
    run_name = getattr(run.info, "run_name", None) or run.info.run_id
    metadata = {
        "mlflow_run": run.info.run_id,
        "mlflow_experiment": run.info.experiment_id,
        "params": dict(run.data.params),
    }
    return service.push_model(
        program,
        project=project,
        name=name or run_name,
        loss=loss,
        reduction=reduction,
        metadata=metadata,
    )


def _history(tracking: Any, run: Any) -> Mapping[str, list[tuple[int, float]]]:
    """Each metric's values by their steps, in order."""
    return {
        key: sorted(
            (int(m.step), float(m.value)) for m in tracking.get_metric_history(run.info.run_id, key)
        )
        for key in run.data.metrics
    }


def _metrics_at(
    history: Mapping[str, list[tuple[int, float]]], step: int | None
) -> dict[str, float]:
    """The values logged last up to a step; the last ones of all without a step."""
    values: dict[str, float] = {}
    for key, points in history.items():
        until = [value for at, value in points if step is None or at <= step]
        if until:
            values[key] = until[-1]
    return finite(values)


def _rate(metrics: Mapping[str, float], params: Mapping[str, str]) -> float | None:
    for numbers in (metrics, finite(params)):
        for name in _RATES:
            rate = numbers.get(name)
            if rate is not None and rate >= 0:
                return rate
    return None
