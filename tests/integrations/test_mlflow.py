"""Import from a real MLflow store: what was logged as safetensors, and nothing pickled."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lossatlas
import mlflow
import pytest
import torch
from lossatlas.integrations.mlflow import import_run
from torch import nn

from tests.support.live import Api


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


@dataclass(frozen=True)
class Logged:
    """A finished MLflow run and the trap in it."""

    uri: str
    run: str
    sprung: Path


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """Three checkpoints, metrics along the way, parameters, a program and a pickled model."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracking = mlflow.MlflowClient(tracking_uri=uri)
    experiment = tracking.create_experiment("digits", artifact_location=(folder / "art").as_uri())
    run = tracking.create_run(experiment, run_name="first try").info.run_id
    tracking.log_param(run, "optimizer", "sgd")
    tracking.log_param(run, "learning_rate", "0.1")
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    program = lossatlas.export_model(network, torch.zeros(2, 4), folder / "net.pt2")
    tracking.log_artifact(run, str(program), "program")
    for step in range(0, 101, 10):
        tracking.log_metric(run, "loss", 2.0 - step / 100, step=step)
        if step in (0, 50, 100):
            with torch.no_grad():
                network.weight.add_(step / 100)
            saved = lossatlas.save_weights(network, folder / "model.safetensors")
            tracking.log_artifact(run, str(saved), f"checkpoints/checkpoint-{step}")
    other = lossatlas.save_weights({"a": torch.zeros(2)}, folder / "other.safetensors")
    tracking.log_artifact(run, str(other), "elsewhere")
    sprung = folder / "sprung"
    trap = folder / "model.pth"
    trap.write_bytes(pickle.dumps(Trap(sprung)))
    tracking.log_artifact(run, str(trap), "model/data")
    tracking.set_terminated(run)
    return Logged(uri, run, sprung)


def test_a_run_becomes_a_model_and_its_checkpoints(
    client: lossatlas.Client, logged: Logged
) -> None:
    imported = import_run(logged.run, client=client, project="mlflow", tracking_uri=logged.uri)
    assert imported.model.name == "first try"
    assert imported.model.metadata["params"] == {"optimizer": "sgd", "learning_rate": "0.1"}
    assert imported.model.metadata["mlflow_run"] == logged.run
    assert [c.step for c in imported.checkpoints] == [0, 50, 100]
    assert [c.metrics["loss"] for c in imported.checkpoints] == [2.0, 1.5, 1.0]
    assert {c.learning_rate for c in imported.checkpoints} == {0.1}
    reasons = {skipped.path: skipped.reason for skipped in imported.skipped}
    assert set(reasons) == {"elsewhere/other.safetensors", "model/data/model.pth"}
    assert "pickle" in reasons["model/data/model.pth"]
    assert not logged.sprung.exists()
    again = import_run(logged.run, client=client, model=imported.model.id, tracking_uri=logged.uri)
    assert again.checkpoints == ()
    assert len(list(client.checkpoints(imported.model))) == 3


def test_from_the_shell(live_api: Api, logged: Logged) -> None:
    environment = {**os.environ, "LOSSATLAS_URL": live_api.url, "LOSSATLAS_KEY": live_api.key}
    command = [sys.executable, "-m", "lossatlas.cli.command", "import-mlflow"]
    more = ["--project", "mlflow", "--tracking-uri", logged.uri]
    ran = subprocess.run(
        [*command, logged.run, *more], check=False, capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("mdl_")
    assert "checkpoint 2: checkpoints/checkpoint-100/model.safetensors" in ran.stderr
    assert "not read: model/data/model.pth" in ran.stderr
    absent = subprocess.run(
        [*command, "0" * 32, *more], check=False, capture_output=True, text=True, env=environment
    )
    assert absent.returncode == 2
    assert "Traceback" not in absent.stderr
    assert "0" * 32 in absent.stderr


def test_a_run_without_anything_to_read_says_what_to_log(
    client: lossatlas.Client, logged: Logged
) -> None:
    tracking = mlflow.MlflowClient(tracking_uri=logged.uri)
    experiment = tracking.get_run(logged.run).info.experiment_id
    run = tracking.create_run(experiment).info.run_id
    with pytest.raises(lossatlas.InputError, match=r"no safetensors artifact.*save_weights"):
        import_run(run, client=client, project="mlflow", tracking_uri=logged.uri)
    with pytest.raises(lossatlas.InputError, match="a model to add to, or a project"):
        import_run(logged.run, client=client, tracking_uri=logged.uri)
