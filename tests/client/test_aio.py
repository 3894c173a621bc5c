"""The client between other tasks: the same surface, the same steps, awaited."""

from __future__ import annotations

import inspect
import time
from pathlib import Path

import anyio
import lossatlas
import numpy as np
import pytest
import torch

from tests.client import networks
from tests.client.answering import Reply, answering, problem
from tests.support.live import Api

BUSY = Reply(503, problem("unavailable", 503, retryable=True), {"Retry-After": "1"})


@pytest.mark.parametrize(
    ("plain", "between"),
    [
        (lossatlas.Client, lossatlas.AsyncClient),
        (lossatlas.Job, lossatlas.AsyncJob),
        (lossatlas.Landscape, lossatlas.AsyncLandscape),
    ],
)
def test_nothing_is_missing(plain: type, between: type) -> None:
    public = {n for n, _ in inspect.getmembers(plain) if not n.startswith("_")}
    assert public <= {n for n, _ in inspect.getmembers(between)}


def test_the_whole_way(live_api: Api, tmp_path: Path) -> None:
    network = networks.seeded(networks.ConvNet)
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(24, 1, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (24,), generator=generator)
    program = lossatlas.export_model(network, images[:1], tmp_path / "conv.pt2")
    landscapes: list[lossatlas.AsyncLandscape] = []

    async def ask(client: lossatlas.AsyncClient, checkpoint: str, data: str, seed: int) -> None:
        job = await client.surface(checkpoint, data, num=3, seed=seed)
        assert isinstance(job, lossatlas.AsyncJob)
        landscapes.append(await job.wait(120, progress=False))

    async def main() -> None:
        async with lossatlas.AsyncClient(live_api.url, live_api.key, progress=False) as client:
            model = await client.push_model(program, project="aio", name="conv")
            checkpoint = await client.push_checkpoint(model.id, network, label="final")
            data = await client.push_dataset(images, classes, project="aio", name="noise")
            async with anyio.create_task_group() as tasks:
                for seed in (1, 2):
                    tasks.start_soon(ask, client, checkpoint.id, data.id, seed)
            first = landscapes[0]
            assert first.loss.shape == (3, 3)
            assert (await first.figure("png", width=300))[:4] == b"\x89PNG"
            saved = await first.save(tmp_path / "a.npz")
            with np.load(saved) as arrays:
                assert np.array_equal(arrays["d0.loss"], first.loss)
            assert first.id in first._repr_html_()
            found = [one async for one in client.landscapes(model=model.id, limit=1)]
            assert {one.id for one in found} == {one.id for one in landscapes}
            with pytest.raises(lossatlas.InputError, match=r"await landscape\.load"):
                found[0].loss  # noqa: B018
            again = await found[0].load()
            assert np.isfinite(again.loss).all()
            by_job = await client.landscape(first.record.job)
            assert np.array_equal(by_job.loss, first.loss)
            assert [c.label async for c in client.checkpoints(model)] == ["final"]
            with pytest.raises(lossatlas.NotFoundError):
                await client.model("mdl_" + "0" * 26)

    anyio.run(main)
    assert len(landscapes) == 2


def test_busy_is_waited_out_while_other_tasks_go_on() -> None:
    turns = 0

    async def others(over: anyio.Event) -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await anyio.sleep(0.01)

    async def main() -> None:
        over = anyio.Event()
        async with anyio.create_task_group() as tasks, lossatlas.AsyncClient(url, "k") as client:
            tasks.start_soon(others, over)
            began = time.monotonic()
            assert [m async for m in client.models()] == []
            assert time.monotonic() - began >= 1.0
            over.set()

    with answering(BUSY, Reply(200, {"items": [], "next_cursor": None})) as server:
        url = server.url
        anyio.run(main)
        assert len(server.seen) == 2
    assert turns > 10


def test_the_rules_of_repeating_are_the_same() -> None:
    async def main(url: str) -> None:
        async with lossatlas.AsyncClient(url, "k", retry_seconds=0.5) as client:
            with pytest.raises(lossatlas.ServiceUnreachable):
                await client.push_model(project="p", name="n", architecture="mlp")

    with answering(Reply(cut=True)) as server:
        anyio.run(main, server.url)
        # a POST that may have been heard is not made twice
        assert len(server.seen) == 1


def test_a_wait_that_is_cancelled_leaves_the_job_and_a_clean_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = {
        "id": "job_1", "kind": "surface", "project": "p", "model": "mdl_1", "state": "running",
        "progress": {"phase": "tile", "done": 1, "total": 9}, "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip

    async def main(url: str) -> None:
        async with lossatlas.AsyncClient(url, "k") as client:
            job = await client.job("job_1")
            with anyio.move_on_after(0.5) as scope:
                await job.wait()
            assert scope.cancelled_caught
            assert job.state == "running"
            with pytest.raises(lossatlas.WaitTimeout):
                await job.wait(0.2, progress=False)

    with answering(Reply(200, state)) as server:
        anyio.run(main, server.url)
        assert {seen.method for seen in server.seen} == {"GET"}
    assert "computing" in capsys.readouterr().err
