"""A kind that only the tests know goes the whole way: nothing shared knows a kind by name.

Submitted over HTTP, planned, computed by a real worker's child, published, measured, drawn,
exported, found in the catalog, fetched by the client and by the command line, judged by a gate.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import lossatlas
import numpy as np
import pytest

from service.ledger import keys
from service.ledger.session import Database
from service.settings import Settings
from tests.features.reference import CONVNET, read
from tests.support.live import Api
from tests.support.servers import Servers, SettingsFactory, settings_factory

ROOT = Path(__file__).parents[2]
RADII = [0.0, 0.25, 0.5, 0.75, 1.0]


@contextmanager
def process(settings: Settings, *command: str, said: str) -> Iterator[str]:
    """One of the service's processes that knows the toy, and the line by which it is ready."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_REGION": settings.s3_region,
        "S3_BUCKET": settings.s3_bucket,
        "BROKER_URL": settings.broker_url,
        "LOSSATLAS_PORT": "0",
        "LOSSATLAS_DATA_DIR": str(settings.data_dir),
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.toy.process", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    try:
        told = []
        for line in running.stdout:
            told.append(line)
            if re.search(said, line):
                threading.Thread(target=running.stdout.read, daemon=True).start()
                yield line
                break
        else:
            raise AssertionError(f"{command} was not ready: " + "".join(told))
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()


@pytest.fixture(scope="module")
def toy(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with settings_factory(servers, tmp_path_factory.mktemp("toy")) as make:
        yield from _served(make)


def _served(make: SettingsFactory) -> Iterator[Api]:
    settings = make()
    database = Database(settings.database_url)
    with database.transaction() as session:
        _, secret = keys.create(
            session, name="toy", role="admin", projects=None, expires_at=None, created_by=None
        )
    database.dispose()
    with ExitStack() as running:
        line = running.enter_context(process(settings, "api", said=r"serving http://"))
        running.enter_context(process(settings, "relay", said=r"relay is listening"))
        running.enter_context(process(settings, "worker", said=r"exchange=cpu"))
        address = re.search(r"serving (http://\S+)", line)
        assert address is not None
        yield Api(address.group(1), secret)


@pytest.fixture(scope="module")
def pushed(toy: Api) -> dict[str, str]:
    model = toy.create(
        "/v1/models",
        {
            "project": "toys",
            "name": "convnet",
            "program": toy.put_object(read(CONVNET, "program.pt2")),
            "loss": "cross_entropy",
        },
    )
    weights = toy.put_object(read(CONVNET, "checkpoint_08.safetensors"))
    checkpoint = toy.create(f"/v1/models/{model['id']}/checkpoints", {"weights": weights})
    data = toy.put_object(read(CONVNET, "data.safetensors"))
    dataset = toy.create("/v1/datasets", {"project": "toys", "name": "digits", "object": data})
    return {"origin": checkpoint["id"], "dataset": dataset["id"]}


@pytest.fixture(scope="module")
def done(toy: Api, pushed: dict[str, str]) -> dict[str, Any]:
    spec = {
        "kind": "toy",
        "origin": pushed["origin"],
        "datasets": [pushed["dataset"]],
        "seed": 3,
    }
    found = toy.landscape_of(spec)
    assert found["progress"]["unit"] == "cells"
    # the same question has the same answer
    assert toy.create("/v1/jobs", spec)["id"] == found["id"]
    return found


def test_it_is_computed_measured_and_published(toy: Api, done: dict[str, Any]) -> None:
    landscape = toy.get(f"/v1/landscapes/{done['landscape']}").json()
    assert landscape["kind"] == "toy"
    assert landscape["title"] == "convnet: toy"
    grid = toy.data(done)
    assert grid["x"] == RADII
    # the toy's own array, which its child made, and its own member, which its question made
    assert sorted(grid["toy"]["radii"]) == RADII
    (dataset,) = grid["datasets"].values()
    loss = dataset["loss"]["values"]
    rise = landscape["derived"]["toy_rise"]
    assert rise["value"] == pytest.approx(loss[-1] - loss[0])
    assert landscape["derived"]["center_loss"]["value"] == pytest.approx(loss[0])
    found = toy.get("/v1/landscapes", **{"kind": "toy", "derived.toy_rise.min": -100}).json()
    assert [item["id"] for item in found["items"]] == [done["landscape"]]
    assert [item["id"] for item in toy.get("/v1/jobs", kind="toy").json()["items"]] == [done["id"]]


def test_what_is_wrong_points_at_the_field(toy: Api, pushed: dict[str, str]) -> None:
    spec = {"kind": "toy", "origin": pushed["origin"], "datasets": [pushed["dataset"]], "seed": -1}
    answer = toy.post("/v1/jobs", spec)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/seed"
    answer = toy.post("/v1/jobs", {**spec, "seed": 1, "origin": "ckp_" + "0" * 26})
    assert answer.json()["errors"][0]["pointer"] == "/origin"


def test_it_is_drawn_and_exported(toy: Api, done: dict[str, Any]) -> None:
    here = f"/v1/landscapes/{done['landscape']}"
    for link in toy.get(here).json()["links"].values():
        assert toy.get(link).status_code == 200, link
    assert toy.get(f"{here}/figure.svg", view="curve").content.startswith(b"<?xml")
    with h5py.File(io.BytesIO(toy.get(f"{here}/data.h5").content)) as file:
        assert np.allclose(file["xcoordinates"][:], RADII)
    with np.load(io.BytesIO(toy.get(f"{here}/data.npz").content)) as arrays:
        assert "attached.toy.radii" in arrays.files


def test_the_catalog_knows_it(toy: Api, done: dict[str, Any]) -> None:
    page = toy.get("/", kind="toy").text
    assert done["landscape"] in page
    assert "Toy" in page
    shown = toy.get(f"/landscapes/{done['landscape']}").text
    assert "Rise of the toy" in shown
    assert "Loss at growing radii of convnet" in shown


def test_the_client_and_the_command_line_fetch_it(
    toy: Api, done: dict[str, Any], pushed: dict[str, str], tmp_path: Path
) -> None:
    with lossatlas.Client(toy.url, toy.key, progress=False) as client:
        spec = {
            "kind": "toy",
            "origin": pushed["origin"],
            "datasets": [pushed["dataset"]],
            "seed": 4,
            "num": 3,
        }
        landscape = client.submit(spec).wait()
        assert landscape.kind == "toy"
        assert landscape.loss.shape == (3,)
        landscape.save_figure(tmp_path / "toy.png")
    ran = subprocess.run(
        [
            *(Path(sys.executable).with_name("lossatlas"), "fetch", done["landscape"]),
            *("--output", str(tmp_path / "toy.json"), "--output", str(tmp_path / "toy.svg")),
        ],
        env={**os.environ, "LOSSATLAS_URL": toy.url, "LOSSATLAS_KEY": toy.key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(json.loads((tmp_path / "toy.json").read_text())["toy"]["radii"]) == RADII
    assert (tmp_path / "toy.svg").stat().st_size > 1000


def test_a_gate_judges_its_measure(toy: Api, done: dict[str, Any]) -> None:
    body = {
        "landscape": done["landscape"],
        "rules": [{"measure": "toy_rise", "max": 1000}],
    }
    verdict = toy.create("/v1/checks", body)
    assert verdict["verdict"] == "pass", verdict
