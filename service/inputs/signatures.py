"""A model's stored signature in the words of the rules of fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.losses import LossName
from service.domain.problems import Problem
from service.inputs.columns import Port, Size
from service.inputs.fit import TensorShape
from service.ledger.records import ModelRecord


@dataclass(frozen=True)
class Sockets:
    """What a model takes and gives.

    Attributes:
        parameters, buffers: by name, in the program's order.
        inputs: in call order, without the targets where the program takes them.
        output: None until its shape is known.
        tied: other names of tied tensors, with the name under which they are kept.
    """

    parameters: Mapping[str, TensorShape]
    buffers: Mapping[str, TensorShape]
    inputs: tuple[Port, ...]
    output: Port | None
    tied: Mapping[str, str]

    @property
    def tensors(self) -> dict[str, TensorShape]:
        """Parameters and buffers, as a file of weights holds them."""
        return {**self.parameters, **self.buffers}


def sockets_of(model: ModelRecord) -> Sockets:
    """Reads a model's signature.

    Raises:
        Problem: `model_not_ready` for a named architecture that no worker has built yet;
            `model_refused` for one that could not be built.
    """
    if model.state == "refused":
        reason = str((model.problem or {}).get("detail", "no reason was recorded"))
        raise Problem(
            "model_refused",
            f"model {model.id} was refused: {reason}. Register a corrected program as a new model",
        )
    if model.signature is None:
        raise Problem(
            "model_not_ready",
            f"model {model.id} is being built by a worker; try again in a few seconds",
            headers={"Retry-After": "2"},
        )
    body = model.signature
    ports = tuple(_port(item, item.get("shape") or ()) for item in body["inputs"])
    takes_targets = model.loss == LossName.PROGRAM and len(ports) > 1
    output = body["outputs"][0] if body.get("outputs") else {}
    return Sockets(
        parameters=_tensors(body["parameters"]),
        buffers=_tensors(body["buffers"]),
        inputs=ports[:-1] if takes_targets else ports,
        output=_port(output, output["shape"]) if output.get("shape") else None,
        tied={item["name"]: item["as"] for item in body.get("tied", ())},
    )


def _tensors(items: list[Mapping[str, Any]]) -> dict[str, TensorShape]:
    return {item["name"]: TensorShape(item["dtype"], tuple(item["shape"])) for item in items}


def _port(item: Mapping[str, Any], shape: Any) -> Port:
    sizes: tuple[Size, ...] = tuple(size if isinstance(size, int) else None for size in shape)
    return Port(str(item.get("name", "output")), str(item.get("dtype", "float32")), sizes)
