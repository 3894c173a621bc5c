"""Checkpoints of a training that goes on: what is sent is what was there, and nothing that the
service does is felt."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lossatlas
import pytest
import torch
from lossatlas.callbacks.background import Background
from safetensors.torch import load
from torch import nn

from tests.client.answering import Reply, Server, answering, problem

MODEL = lossatlas.Model.model_validate(
    {
        "id": "mdl_1", "project": "p", "name": "n", "loss": "cross_entropy", "state": "checked",
        "created_at": "2026-01-01T00:00:00Z",
    }
)  # fmt: skip
CHECKPOINT = {
    "id": "ckp_1", "model": "mdl_1", "seq": 0, "weights": "sha256:0",
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
ABSENT = Reply(404, problem("not_found", 404))
STEPS = 20


class Tied(nn.Module):
    """One tensor by two names, and a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.second(self.first(x)))
        return out


def train(run: lossatlas.Run, steps: int = STEPS) -> nn.Module:
    """A loop as a user writes it; returns when all of its steps are done."""
    torch.manual_seed(0)
    network = Tied()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(steps):
        loss = network(torch.randn(8, 4)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.checkpoint(network, step=step, learning_rate=0.1, metrics={"loss": loss})
    return network


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def bodies(server: Server, method: str) -> list[bytes]:
    return [seen.body for seen in server.seen if seen.method == method]


def test_what_is_sent_is_what_was_there_at_the_call() -> None:
    gate = threading.Event()
    replies = []
    for _ in range(2):
        replies += [
            Reply(404, problem("not_found", 404), gate=gate), Reply(201, {}), Reply(201, CHECKPOINT)
        ]  # fmt: skip
    network = Tied()
    with answering(*replies) as server:
        with lossatlas.training(MODEL, url=server.url, key="k", strict=True) as run:
            taken = []
            for step in range(2):
                run.checkpoint(network, step=step, metrics={"loss": torch.tensor(float("nan"))})
                taken.append({n: v.clone() for n, v in network.state_dict().items()})
                with torch.no_grad():
                    for tensor in (*network.parameters(), *network.buffers()):
                        tensor.add_(1)
            # until here the service has answered nothing
            assert not run.uploaded
            gate.set()
        sent = [load(body) for body in bodies(server, "PUT")]
        posted = [body for body in bodies(server, "POST") if b'"step"' in body]
    assert [c.id for c in run.uploaded] == ["ckp_1", "ckp_1"]
    for then, weights in zip(taken, sent, strict=True):
        # a tied tensor goes once
        assert set(weights) == set(then) - {"second.weight"}
        for name, value in weights.items():
            assert torch.equal(value, then[name]), name
    assert not torch.equal(taken[0]["first.weight"], taken[1]["first.weight"])
    assert b'"step":1' in posted[1].replace(b" ", b"")
    assert b"NaN" not in posted[1]


@contextmanager
def dead() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("place", [dead, hanging])
def test_a_service_that_does_not_answer_is_not_felt(
    place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with place() as url:
        run = lossatlas.training(MODEL, url=url, key="k", deadline=0.2)
        run.start()
        train(run)
        # every step is done while the first upload is still being tried
        assert run._background is not None
        assert run._background._busy
        assert not run.uploaded
        assert run.failed == 0
        assert run.dropped >= STEPS - 4
        run.close()
    assert run.failed == 3
    assert len(warnings_of(caplog)) == 1


def test_a_wrong_key_ends_it_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with answering(Reply(401, problem("unauthenticated", 401))) as server:
        with lossatlas.training("mdl_1", url=server.url, key="wrong") as run:
            train(run)
        assert len(server.seen) == 1
    assert not run.uploaded
    (warning,) = warnings_of(caplog)
    assert "AuthenticationError" in warning
    assert "no more checkpoints are sent" in warning


def test_weights_that_do_not_fit_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    misfit = problem("weights_invalid", 422, errors=[{"pointer": "/weights", "detail": "'a'"}])
    replies = (ABSENT, Reply(201, {}), Reply(422, misfit))
    with answering(*replies) as server, lossatlas.training(MODEL, url=server.url, key="k") as run:
        train(run)
    (warning,) = warnings_of(caplog)
    assert "WeightsInvalidError" in warning


def test_strict_raises_what_went_wrong_and_drops_nothing() -> None:
    with (
        answering(Reply(401, problem("unauthenticated", 401))) as server,
        pytest.raises(lossatlas.AuthenticationError),
        lossatlas.training("mdl_1", url=server.url, key="wrong", strict=True) as run,
    ):
        train(run, 3)
    replies = [ABSENT, Reply(201, {}), Reply(201, CHECKPOINT)] * STEPS
    with (
        answering(*replies) as server,
        lossatlas.training(MODEL, url=server.url, key="k", strict=True, capacity=1) as run,
    ):
        train(run)
    assert (len(run.uploaded), run.dropped, run.failed) == (STEPS, 0, 0)
    with (
        hanging() as url,
        pytest.raises(lossatlas.LossatlasError, match="within"),
        lossatlas.training(MODEL, url=url, key="k", strict=True, deadline=0.1) as run,
    ):
        run.checkpoint(Tied())


def test_the_last_checkpoint_is_never_the_dropped_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = threading.Event()
    first = Reply(404, problem("not_found", 404), gate=gate)
    replies = [first, Reply(201, {}), Reply(201, CHECKPOINT)] + [
        ABSENT, Reply(201, {}), Reply(201, CHECKPOINT),
    ] * 2  # fmt: skip
    with answering(*replies) as server:
        with lossatlas.training(MODEL, url=server.url, key="k") as run:
            network = train(run)
            last = {n: v.clone() for n, v in network.state_dict().items()}
            gate.set()
        sent = load(bodies(server, "PUT")[-1])
    assert len(run.uploaded) + run.dropped == STEPS
    assert warnings_of(caplog) == [
        f"Lossatlas: {run.dropped} checkpoints were dropped: uploads were slower than checkpoints "
        "came; the last one was kept"
    ]
    assert all(torch.equal(value, last[name]) for name, value in sent.items())


def test_the_training_s_own_error_is_the_one_seen() -> None:
    with (  # noqa: PT012 - the block is what is tested
        hanging() as url,
        pytest.raises(ZeroDivisionError),
        lossatlas.training(MODEL, url=url, key="k", strict=True, deadline=0.1) as run,
    ):
        run.checkpoint(Tied())
        raise ZeroDivisionError


def test_other_processes_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with (
        answering(Reply(500)) as server,
        lossatlas.training(MODEL, url=server.url, key="k", strict=True) as run,
    ):
        before = threading.active_count()
        train(run)
        assert threading.active_count() == before
        assert not server.seen
    monkeypatch.setenv("RANK", "0")
    assert lossatlas.training(MODEL)._active


def test_spread_weights_and_missing_arguments_are_told(caplog: pytest.LogCaptureFixture) -> None:
    spread = type("FullyShardedDataParallel", (Tied,), {})()
    with (
        answering(Reply(500)) as server,
        lossatlas.training(MODEL, url=server.url, key="k") as run,
    ):
        run.checkpoint(spread)
        run.checkpoint({"a": "no tensor"})
    assert run.failed == 2
    (warning,) = warnings_of(caplog)
    assert "gather a full state dict" in warning
    with pytest.raises(lossatlas.InputError, match="give a model, or project, name and program"):
        lossatlas.training(project="p")


FULL_DISK = """
import logging, resource, signal, sys, torch, lossatlas
from torch import nn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# no file can grow beyond this: writing the weights fails half-way
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
model = lossatlas.Model.model_validate({
    "id": "mdl_1", "project": "p", "name": "n", "loss": "mse", "state": "checked",
    "created_at": "2026-01-01T00:00:00Z"})
network = nn.Linear(100, 100)
with lossatlas.training(model, url=sys.argv[1], key="k") as run:
    for step in range(10):
        run.checkpoint(network, step=step)
print("trained", step, len(run.uploaded), run.failed + run.dropped)
"""


def test_a_full_disk_is_one_warning(tmp_path: Path) -> None:
    with answering(ABSENT) as server:
        ran = subprocess.run(
            [sys.executable, "-c", FULL_DISK, server.url],
            check=False, capture_output=True, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert not bodies(server, "PUT")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "trained 9 0 10"
    assert ran.stderr.count("Lossatlas:") == 1
    assert not list(tmp_path.iterdir())


def test_the_queue_keeps_its_order_and_the_newest() -> None:
    gate, done = threading.Event(), []

    def do(work: int) -> None:
        gate.wait(30)
        done.append(work)

    background = Background(do, lambda error: None, capacity=2)
    kept = [background.put(0)]
    with background._change:
        background._change.wait_for(lambda: background._busy, 30)
    kept += [background.put(n) for n in range(1, 5)]
    assert kept == [True, True, True, False, False]
    assert background.full
    gate.set()
    assert background.close(30) == 0
    assert done == [0, 1, 4]
    background._thread.join(30)
    assert not background._thread.is_alive()
