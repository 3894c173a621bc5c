"""How a user's strictly typed program uses the client; read by mypy, never run."""

from __future__ import annotations

from typing import assert_type

import lossatlas
import numpy as np
from numpy.typing import NDArray


def at_once(client: lossatlas.Client) -> None:
    job = client.surface("ckp_1", ["dst_1"], num=(5, 7), seed=3)
    assert_type(job, lossatlas.Job)
    landscape = job.wait(timeout=3.0)
    assert_type(landscape.loss, NDArray[np.float64])
    assert_type(next(client.models(project="a")), lossatlas.Model)
    assert_type(landscape.save_figure("a.png").exists(), bool)
    client.surface("ckp_1", ["dst_1"], nmu=5)  # type: ignore[call-arg]


def beside_a_training(network: object) -> None:
    with lossatlas.training(project="p", name="n", program="n.pt2") as run:
        run.checkpoint(network, step=1, metrics={"loss": 0.5})
        assert_type(run.uploaded, list[lossatlas.Checkpoint])
        run.checkpoint(network, stpe=1)  # type: ignore[call-arg]


async def between_tasks(client: lossatlas.AsyncClient) -> None:
    model = await client.push_model("a.pt2", project="p", name="n")
    assert_type(model, lossatlas.Model)
    job = await client.surface("ckp_1", ["dst_1"], num=(5, 7), seed=3)
    assert_type(job, lossatlas.AsyncJob)
    landscape = await job.wait(timeout=3.0, progress=False)
    assert_type(landscape, lossatlas.AsyncLandscape)
    assert_type(landscape.loss, NDArray[np.float64])
    assert_type(await landscape.figure("png", view="contour"), bytes)
    async for found in client.jobs(state="failed"):
        assert_type(found, lossatlas.AsyncJob)
    async for one in client.landscapes():
        assert_type(await one.load(), lossatlas.AsyncLandscape)
    await client.surface("ckp_1", ["dst_1"], nmu=5)  # type: ignore[call-arg]
    await client.push_model("a.pt2", project=3, name="n")  # type: ignore[arg-type]


def misspelt(client: lossatlas.Client, landscape: lossatlas.Landscape) -> None:
    client.landscapes(projct="x")  # type: ignore[call-arg]
    client.models(nmae="x")  # type: ignore[call-arg]
    client.landscapes(measures={"sharpness": (None, 0.5)}, sort="-sharpness")
    client.share(landscape, expires_in=60, veiw="surface")  # type: ignore[call-arg]
    landscape.save_figure("a.png", wdith=300)  # type: ignore[call-arg]
