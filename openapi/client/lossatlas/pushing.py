"""What is pushed, as steps: files up, then the registration."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossatlas.exporting import save_dataset
from lossatlas.steps import Steps, fetch, local, post
from lossatlas.tensors import weights_of, write_tensors
from lossatlas.uploading import upload
from lossatlas.values import Checkpoint, Dataset, Direction, Model


class Pushing:
    """Pushes to one service.

    Args:
        service: its address.
        progress: show long uploads.
    """

    def __init__(self, service: str, *, progress: bool) -> None:
        self.service = service
        self.progress = progress

    def model(self, body: Mapping[str, Any], program: Path | None) -> Steps[Model]:
        """Registers a network, with its program's file where it has one."""
        body = dict(body)
        if program is not None:
            body["program"] = yield from self.file(program)
        return Model.model_validate((yield from post("/v1/models", body)))

    def checkpoint(
        self, model: Model | str, weights: Any, body: Mapping[str, Any]
    ) -> Steps[Checkpoint]:
        """Registers weights: a module, a state dict, or a file's path."""
        identity = model if isinstance(model, str) else model.id
        if isinstance(weights, str | Path):
            digest = yield from self.file(Path(weights))
        else:
            if isinstance(model, str):
                model = Model.model_validate((yield from fetch(f"/v1/models/{model}")))
            digest = yield from self.tensors(weights_of(weights, stored_names(model)))
        answer = yield from post(f"/v1/models/{identity}/checkpoints", {"weights": digest, **body})
        return Checkpoint.model_validate(answer)

    def dataset(self, body: Mapping[str, Any], inputs: Any, targets: Any) -> Steps[Dataset]:
        """Registers samples: tensors, or a file's path when `targets` is None."""
        if isinstance(inputs, str | Path):
            digest = yield from self.file(Path(inputs))
        else:
            with tempfile.TemporaryDirectory(prefix="lossatlas-") as folder:
                path = Path(folder) / _file_name(str(body["name"]))
                yield from local(lambda: save_dataset(inputs, targets, path))
                digest = yield from self.file(path)
        return Dataset.model_validate((yield from post("/v1/datasets", {**body, "object": digest})))

    def direction(self, checkpoint: str, spec: Mapping[str, Any], tensors: Any) -> Steps[Direction]:
        """Registers a direction; `tensors` are those of an uploaded one, or None."""
        body = {"checkpoint": checkpoint, **spec}
        if isinstance(tensors, str | Path):
            body["object"] = yield from self.file(Path(tensors))
        elif tensors is not None:
            body["object"] = yield from self.tensors(dict(tensors))
        return Direction.model_validate((yield from post("/v1/directions", body)))

    def file(self, path: Path) -> Steps[str]:
        """Uploads a file; its digest."""
        return (yield from upload(path, self.service, progress=self.progress))

    def tensors(self, tensors: Mapping[str, Any]) -> Steps[str]:
        """Uploads tensors as a safetensors file; its digest."""
        with tempfile.TemporaryDirectory(prefix="lossatlas-") as folder:
            path = Path(folder) / "weights.safetensors"
            yield from local(lambda: write_tensors(tensors, path))
            return (yield from self.file(path))


def stored_names(model: Model) -> frozenset[str] | None:
    """The names that a model's weights must hold; None while they are not known."""
    signature = model.signature
    if signature is None:
        return None
    return frozenset(tensor.name for tensor in (*signature.parameters, *signature.buffers))


def _file_name(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
    return f"{kept[:64].lstrip('.') or 'data'}.safetensors"
