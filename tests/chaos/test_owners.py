"""A fault goes to what caused it: one rotten object, a worker without a place for its files.

Each is done to a running service from outside; who is not concerned goes on or waits, and loses
nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from tests.chaos.conftest import QUICK
from tests.chaos.victim import Victim
from tests.support.live import Live
from tests.support.processes import until
from tests.support.reference import ROOT, push

pytestmark = pytest.mark.server


def rot(folder: Path, data: bytes) -> int:
    """Flips one bit of every copy of these bytes on the object store's disk; how many."""
    middle, flipped = data[len(data) // 2 :][:64], 0
    for volume in (folder / "s3" / "data").rglob("*.dat"):
        held = volume.read_bytes()
        at = held.find(middle)
        while at >= 0:
            with volume.open("r+b") as file:
                file.seek(at)
                file.write(bytes([held[at] ^ 1]))
            flipped += 1
            at = held.find(middle, at + 1)
    return flipped


def fresh_checkpoint(victim: Victim) -> tuple[str, bytes]:
    """A checkpoint whose bytes no other has, so that none rots along; its id and its bytes."""
    tensors = load_file(ROOT / victim.pushed.folder / "checkpoint_05.safetensors")
    name = next(name for name, values in tensors.items() if values.ndim > 1)
    tensors[name] = tensors[name] + np.float32(secrets.randbelow(1 << 20) / (1 << 20))
    weights = save(tensors)
    made = victim.api.create(
        f"/v1/models/{victim.pushed.model}/checkpoints",
        {"weights": victim.api.put_object(weights), "step": 99, "label": "fresh"},
    )
    return str(made["id"]), weights


def test_a_rotten_object_fails_its_own_job_and_nobody_elses(victim: Victim) -> None:
    rotten, weights = fresh_checkpoint(victim)
    assert rot(victim.live.folder, weights) > 0
    job = victim.submit(origin=rotten, num=3)
    others = [victim.submit(num=3) for _ in range(5)]
    assert [victim.finish(other)["state"] for other in others] == ["succeeded"] * 5
    failed = victim.finish(job)
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "object_corrupt"
    assert not failed["error"]["retryable"]
    # sending the right bytes again mends it
    victim.api.put_object(weights)
    assert victim.api.post(f"/v1/jobs/{job}/retry").status_code == 202
    assert victim.finish(job)["state"] == "succeeded"


def test_a_forced_job_writes_over_a_damaged_result(victim: Victim) -> None:
    first = victim.finish(victim.submit(num=3))["landscape"]
    data = victim.api.get(f"/v1/landscapes/{first}/data.npz").content
    assert rot(victim.live.folder, data) > 0
    assert victim.api.get(f"/v1/landscapes/{first}/data.npz").status_code >= 500
    second = victim.finish(victim.submit(num=3))["landscape"]
    for landscape in (first, second):
        assert victim.api.get(f"/v1/landscapes/{landscape}/data.npz").content == data


def waiting(victim: Victim, jobs: list[str]) -> set[str]:
    return {str((victim.read(f"/v1/jobs/{job}") or {}).get("state")) for job in jobs}


def test_workers_without_a_place_for_files_charge_nobody(victim: Victim) -> None:
    """Whatever keeps them from writing: here a file stands where their folder was."""
    cache = victim.live.folder / "cache"
    aside = cache.with_name("cache-aside")
    cache.rename(aside)
    cache.write_bytes(b"")
    try:
        jobs = [victim.submit(num=3) for _ in range(12)]
        log = victim.live.folder / "logs"

        def told() -> bool:
            return all(
                "takes no work" in one.read_text(errors="replace")
                for one in log.glob("worker-*.log")
            )

        until("both workers to say why they take no work", told)
        assert not waiting(victim, jobs) & {"failed", "succeeded"}
    finally:
        cache.unlink()
        aside.rename(cache)
    assert [victim.finish(job)["state"] for job in jobs] == ["succeeded"] * 12
    assert not [e for job in jobs for e in victim.events(job, "unit_redone")]


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Live]:
    """A worker that wants more room than any disk has."""
    live = Live(
        tmp_path / "data", workers=1, env={**QUICK, "LOSSATLAS_SCRATCH_BYTES": str(1 << 60)}
    )
    try:
        yield live
        live.stop()
    finally:
        live.kill()


def test_a_worker_that_lacks_room_takes_nothing_and_says_so(cramped: Live) -> None:
    api = cramped.start()
    (log,) = (cramped.folder / "logs").glob("worker-*.log")
    pushed = push(api, "digits_convnet", project="cramped")
    until("the worker to say so", lambda: "MiB of room" in log.read_text(errors="replace"))
    model = api.get(f"/v1/models/{pushed.model}").json()
    assert model["state"] == "checked", model
