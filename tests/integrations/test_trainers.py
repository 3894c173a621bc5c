"""Real trainers with real uploads: what the service has is what each epoch ended with."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import lossatlas
import pytest
import torch
import transformers
from lossatlas.callbacks.huggingface import LossatlasCallback as HuggingFaceCallback
from lossatlas.callbacks.lightning import LossatlasCallback as LightningCallback
from safetensors.torch import load
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.live import Api

EPOCHS, BATCHES = 3, 4


def body() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(8 * BATCHES, 6, generator=generator)
    return inputs, inputs[:, :3].argmax(1)


class Lit(lightning.LightningModule):
    """The network under a name of its own, as Lightning users write it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = body()
        self.ends: list[dict[str, torch.Tensor]] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.ends.append({n: v.clone() for n, v in self.net.state_dict().items()})

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Wrapped(nn.Module):
    """The network as Hugging Face's trainer wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = body()

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    return lossatlas.export_model(body(), samples()[0][:2], path)


def fit(callback: LightningCallback, folder: Path) -> Lit:
    network = Lit()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=[callback], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, default_root_dir=folder,
        log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(network, DataLoader(TensorDataset(*samples()), batch_size=8))
    return network


def hugging_face(callback: HuggingFaceCallback, folder: Path) -> Wrapped:
    network = Wrapped()
    inputs, labels = samples()
    rows = [{"inputs": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=8,
        learning_rate=0.05, save_strategy="no", report_to="none", use_cpu=True, logging_steps=1,
        disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(
        model=network, args=arguments, train_dataset=rows, callbacks=[callback]
    ).train()
    return network


def weights(client: lossatlas.Client, checkpoint: lossatlas.Checkpoint) -> dict[str, torch.Tensor]:
    found = client.transport.call("GET", f"/v1/objects/{checkpoint.weights}")
    return dict(load(found.content))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_lightning(client: lossatlas.Client, program: Path, tmp_path: Path) -> None:
    callback = LightningCallback(
        project="trainers", name="lit", program=program, client=client, strict=True,
        network=lambda module: module.net,
    )  # fmt: skip
    network = fit(callback, tmp_path)
    assert callback.run is not None
    assert callback.run.model is not None
    sent = list(client.checkpoints(callback.run.model))
    assert [c.step for c in sent] == [BATCHES * n for n in (1, 2, 3)]
    assert [c.epoch for c in sent] == [1, 2, 3]
    assert {c.learning_rate for c in sent} == {0.05}
    assert all("loss" in c.metrics for c in sent)
    for checkpoint, then in zip(sent, network.ends, strict=True):
        assert same(weights(client, checkpoint), then)
    data = client.push_dataset(*samples(), project="trainers", name="noise")
    path = client.trajectory(callback.run.model, data, num=3, random_planes=2).wait(
        120, progress=False
    )
    assert path.trajectory is not None
    assert path.trajectory.steps.tolist() == [4, 8, 12]
    assert path.trajectory.checkpoints == tuple(c.id for c in sent)


def test_hugging_face(client: lossatlas.Client, program: Path, tmp_path: Path) -> None:
    callback = HuggingFaceCallback(
        project="trainers", name="hf", program=program, client=client, strict=True,
        every_epochs=None, every_steps=5, network=lambda model: model.net,
    )  # fmt: skip
    network = hugging_face(callback, tmp_path)
    assert callback.run is not None
    assert callback.run.model is not None
    sent = list(client.checkpoints(callback.run.model))
    assert [c.step for c in sent] == [5, 10, EPOCHS * BATCHES]
    assert "loss" in sent[-1].metrics
    rates = [c.learning_rate for c in sent]
    assert all(rate is not None for rate in rates)
    assert rates == sorted(rates, key=lambda rate: -(rate or 0))
    assert same(weights(client, sent[-1]), dict(network.net.state_dict()))


@pytest.mark.parametrize("trainer", ["lightning", "huggingface"])
def test_a_service_that_hangs_is_not_felt(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        options = {"url": url, "key": "k", "deadline": 0.2}
        if trainer == "lightning":
            callback: Any = LightningCallback("mdl_1", every_steps=1, **options)
            assert len(fit(callback, tmp_path).ends) == EPOCHS
        else:
            callback = HuggingFaceCallback("mdl_1", every_steps=1, **options)
            hugging_face(callback, tmp_path)
    run = callback.run
    assert not run.uploaded
    assert run.dropped + run.failed == EPOCHS * BATCHES
    told = [r for r in caplog.records if r.name == "lossatlas.training"]
    assert len([r for r in told if r.levelno >= logging.WARNING]) == 1


def test_a_training_that_breaks_off_leaves_what_it_had(
    client: lossatlas.Client, program: Path, tmp_path: Path
) -> None:
    class Breaking(Lit):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            if self.current_epoch == 1:
                raise ZeroDivisionError
            return super().training_step(batch, index)

    callback = LightningCallback(
        project="trainers", name="broken", program=program, client=client,
        network=lambda module: module.net,
    )  # fmt: skip
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, callbacks=[callback], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        trainer.fit(Breaking(), DataLoader(TensorDataset(*samples()), batch_size=8))
    assert callback.run is not None
    assert [c.epoch for c in callback.run.uploaded] == [1]
