"""Every command by subprocess against the whole live service: output, files and exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lossatlas
import pytest
import torch

from tests.client import networks
from tests.support.live import Api, Live
from tests.support.reference import ROOT

FOLDER = ROOT / "digits_mlp"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def id(self) -> str:
        """The last line of the result: an id."""
        return self.out.strip().splitlines()[-1]

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def command(*arguments: object, cwd: Path | None = None, **environment: str) -> Ran:
    """Runs `lossatlas` as a shell would, with nothing but these variables."""
    done = subprocess.run(
        [sys.executable, "-m", "lossatlas.cli.command", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "200", **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def run(live: Live, live_api: Api) -> Run:
    def run(*arguments: object, code: int = 0, cwd: Path | None = None, **environment: str) -> Ran:
        folder = str(live.folder)
        ran = command(*arguments, cwd=cwd, LOSSATLAS_DATA_DIR=folder, **environment)
        assert ran.code == code, (arguments, ran)
        return ran

    return run


@dataclass(frozen=True)
class Ids:
    model: str
    first: str
    final: str
    data: str


@pytest.fixture(scope="module")
def ids(run: Run) -> Ids:
    model = run(
        "push-model", FOLDER / "program.pt2", "--project", "cli", "--name", "mlp",
        "--loss", "cross_entropy", "--tag", "reference", "--meta", "optimizer=sgd",
    ).id  # fmt: skip
    first = run("push-checkpoint", model, FOLDER / "checkpoint_00.safetensors", "--step", 0).id
    final = run(
        "push-checkpoint", model, FOLDER / "checkpoint_12.safetensors", "--label", "final",
        "--step", 12, "--epoch", 1.5, "--metric", "accuracy=0.9", "--learning-rate", 0.1,
    ).id  # fmt: skip
    data = run(
        "push-dataset", FOLDER / "data.safetensors", "--name", "digits", "--split", "train",
        LOSSATLAS_PROJECT="cli",
    ).id  # fmt: skip
    return Ids(model, first, final, data)


def test_a_surface_from_nothing_to_files(run: Run, ids: Ids, tmp_path: Path) -> None:
    png, values = tmp_path / "out" / "s.png", tmp_path / "s.json"
    ran = run(
        "surface", ids.final, "--dataset", ids.data, "--num", "5x3", "--seed", 4,
        "--range", "-1:1", "--y-range", "-0.5:0.5", "--normalize", "layer", "--ignore", "bias",
        "--precision", "float64", "--tag", "t", "--output", png, "-o", values,
        "--view", "heatmap",
    )  # fmt: skip
    assert ran.id.startswith("lsc_")
    assert "wrote" in ran.err
    assert png.read_bytes().startswith(PNG)
    body = json.loads(values.read_text())
    assert (body["x"][0], body["y"][0], len(body["x"]), len(body["y"])) == (-1, -0.5, 5, 3)
    spec = run("fetch", ran.id, "--output", tmp_path / "f.svg", "--json").json()["spec"]
    assert spec["precision"] == "float64"
    direction = spec["directions"]["y"]
    assert (direction["seed"], direction["normalize"]) == (4, "layer")
    assert direction["ignore"] == ["bias"]
    assert "<svg" in (tmp_path / "f.svg").read_text()
    assert run("list", "landscapes", "--tag", "t", "--json").json()["items"][0]["id"] == ran.id


def test_what_counts_alike_in_the_mean(run: Run) -> None:
    named = ("--project", "cli", "--name", "pooled", "--json")
    program = FOLDER / "program.pt2"
    asked = run("push-model", program, *named, "--reduction", "position").json()
    assert asked["loss_options"] == {"reduction": "position"}
    told = run("push-model", program, *named, LOSSATLAS_REDUCTION="position").json()
    assert told["loss_options"] == {"reduction": "position"}
    assert run("push-model", program, *named).json()["loss_options"] == {"reduction": "sample"}
    run("push-model", program, *named, "--reduction", "sum", code=2)


def test_an_adaptive_surface(run: Run, ids: Ids, tmp_path: Path) -> None:
    values = tmp_path / "s.json"
    run("surface", ids.final, "-d", ids.data, "--num", 31, "--adaptive", "10%", "-o", values)
    told = json.loads(values.read_text())["sampling"]
    assert (told["mode"], told["tolerance"]) == ("adaptive", 0.1)
    assert told["evaluations"] < told["cells"] == 31 * 31


def test_every_format_is_fetched(run: Run, ids: Ids, tmp_path: Path) -> None:
    job = run("surface", ids.final, "-d", ids.data, "--num", 3, "--wait").id
    formats = {
        "h5": b"\x89HDF\r\n",
        "vts": b"<?xml",
        "html": b"<!doctype html>",
        "json": b"{",
        "npz": b"PK",
        "png": PNG,
        "svg": b"<?xml",
    }
    asked = [part for name in formats for part in ("--format", name)]
    done = run("fetch", job, *asked, "--json", cwd=tmp_path).json()
    assert done["files"] == [f"{job}.{name}" for name in formats]
    for name, start in formats.items():
        assert (tmp_path / f"{job}.{name}").read_bytes().startswith(start), name
    assert "exe" in run("fetch", job, "--format", "exe", code=2).err


def test_a_line_waited_for(run: Run, ids: Ids, tmp_path: Path) -> None:
    job = run("interpolate", ids.first, ids.final, "-d", ids.data, "--num", 5, "--force").id
    assert job.startswith("job_")
    waited = run("wait", job, "--json", "--output", tmp_path / "line.png").json()
    assert waited["job"]["state"] == "succeeded"
    assert waited["files"] == [str(tmp_path / "line.png")]
    assert run("wait", job).id == waited["landscape"]["id"]
    status = run("status", job, "--json").json()
    assert status["progress"]["done"] == status["progress"]["total"]
    assert "succeeded" in run("status", job).out
    assert "barrier" in run("fetch", job).out


@pytest.mark.parametrize("what", ["models", "datasets", "jobs", "landscapes"])
def test_lists(run: Run, ids: Ids, what: str) -> None:
    items = run("list", what, "--project", "cli", "--limit", 3, "--json").json()["items"]
    assert len(items) <= 3
    assert all(item["project"] == "cli" for item in items)
    assert run("list", what, "--project", "cli").out.startswith("id ")


def test_checkpoints_are_listed_by_model(run: Run, ids: Ids) -> None:
    listed = run("list", "checkpoints", "--model", ids.model, "--json").json()["items"]
    assert [c["id"] for c in listed] == [ids.first, ids.final]
    assert listed[1]["metrics"] == {"accuracy": 0.9}
    assert "--model" in run("list", "checkpoints", code=2).err


def test_timeout_cancel_and_retry(run: Run, ids: Ids) -> None:
    # far more than can be done meanwhile
    job = run("surface", ids.final, "-d", ids.data, "--num", 601, "--force", "--no-wait").id
    late = run("wait", job, "--timeout", 0.3, code=4)
    assert f"lossatlas wait {job}" in late.err
    assert run("wait", job, "--timeout", 0.1, "--json", code=4).json()["error"]["job"] == job
    run("cancel", job)
    assert "cancelled" in run("wait", job, code=3).err
    assert run("status", job, "--json", code=3).out
    again = run("retry", job, "--no-wait")
    assert again.id == job
    assert "cancelled" in run("cancel", job).err


def test_a_failed_job(run: Run, live_api: Api, tmp_path: Path) -> None:
    network = networks.seeded(networks.Tied)
    with lossatlas.Client(live_api.url, live_api.key) as client:
        path = lossatlas.export_model(
            network, torch.zeros(2, 5, dtype=torch.int64), tmp_path / "t.pt2"
        )
        model = client.push_model(path, project="cli", name="tied")
        checkpoint = client.push_checkpoint(model, network)
        # the embedding has 11 rows
        tokens = torch.full((4, 5), 10_000)
        data = client.push_dataset(tokens, tokens[:, 0] % 11, project="cli", name="wild")
    failed = run("surface", checkpoint.id, "-d", data.id, "--num", 3, "--wait", code=3)
    assert "failed (" in failed.err
    assert "lossatlas retry job_" in failed.err
    body = run("surface", checkpoint.id, "-d", data.id, "--num", 3, "--wait", "--json", code=3)
    assert body.json()["error"]["problem"]["detail"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["surface", "{final}", "-d", "{data}", "--num", "many"], "--num"),
        (["surface", "{final}", "-d", "{data}", "--range", "1"], "--range"),
        (["surface", "{final}", "-d", "{data}", "--range", "1:-1"], "/grid/x"),
        (["surface", "{final}", "-d", "{data}", "--adaptive", "much"], "--adaptive"),
        (["surface", "{final}", "-d", "{data}", "--adaptive", "300%"], "/sampling/tolerance"),
        (["surface", "{final}", "-d", "{data}", "--output", "a.gif"], ".png"),
        (["surface", "{final}"], "--dataset"),
        (["surface", "nonsense", "-d", "{data}"], "/origin"),
        (["push-checkpoint", "{model}", "{other}"], "/weights"),
        (["push-checkpoint", "{model}", "/nonexistent"], "does not exist"),
        (["push-model", "{other}", "--project", "cli", "--name", "x"], "program_refused"),
        (["push-model", "{other}", "--name", "x"], "--project"),
        (["wait", "job_00000000000000000000000000"], "not_found"),
        (["list", "models", "--kind", "surface"], "--kind"),
        (["explode"], "explode"),
    ],
)
def test_wrong_use_is_one_clear_refusal(
    run: Run, ids: Ids, arguments: list[str], said: str
) -> None:
    names = {"final": ids.final, "data": ids.data, "model": ids.model}
    other = ROOT / "digits_convnet" / "checkpoint_00.safetensors"
    filled = [a.format(**names, other=other) if "{" in a else a for a in arguments]
    assert said in run(*filled, code=2).err
    assert run(*filled, "--json", code=2).json()["error"]["detail"]


def test_a_wrong_key(live_api: Api) -> None:
    env = {"LOSSATLAS_URL": live_api.url, "LOSSATLAS_KEY": "wrong"}
    ran = command("list", "jobs", **env)
    assert ran.code == 2
    assert "unauthenticated" in ran.err
    assert command("doctor", **env).code == 2


def test_no_service_is_known(tmp_path: Path) -> None:
    ran = command("list", "jobs", LOSSATLAS_DATA_DIR=str(tmp_path))
    assert ran.code == 2
    assert "no service is known" in ran.err
    assert command("doctor", LOSSATLAS_DATA_DIR=str(tmp_path)).code == 2


def test_an_outage() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        env = {
            "LOSSATLAS_URL": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "LOSSATLAS_KEY": "k",
            "LOSSATLAS_RETRY_SECONDS": "1",
        }
        ran = command("list", "jobs", **env)
        assert ran.code == 5
        assert "cannot be reached" in ran.err
        assert command("list", "jobs", "--json", **env).code == 5
        assert command("doctor", **env).code == 5


def test_doctor_is_content_with_a_live_service(run: Run) -> None:
    body = run("doctor", "--json").json()
    assert body["ok"] is True
    states = {check["name"]: check["state"] for check in body["checks"]}
    assert states == dict.fromkeys(
        ["client", "torch", "address", "file", "service", "clock", "ready", "key"], "ok"
    )


def test_help_names_the_exit_codes() -> None:
    assert "3 the job failed" in command("--help").out
    assert "--num" in command("surface", "--help").out
