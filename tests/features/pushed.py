"""A reference network in the service: model, two checkpoints, data."""

from __future__ import annotations

from dataclasses import dataclass

from tests.features.caller import Caller
from tests.features.reference import ROOT, read


@dataclass(frozen=True)
class Pushed:
    """Ids. `first` and `final` are the checkpoints before and after training."""

    folder: str
    model: str
    dataset: str
    first: str
    final: str


def push(api: Caller, folder: str, project: str) -> Pushed:
    """Registers a reference folder."""
    program = api.put(read(folder, "program.pt2"))
    model = api.create("/v1/models", {"project": project, "name": folder, "program": program})["id"]
    data = api.put(read(folder, "data.safetensors"))
    dataset = api.create("/v1/datasets", {"project": project, "name": folder, "object": data})["id"]
    paths = sorted((ROOT / folder).glob("checkpoint_*.safetensors"))
    first, final = (
        api.create(f"/v1/models/{model}/checkpoints", {"weights": api.put(path.read_bytes())})["id"]
        for path in (paths[0], paths[-1])
    )
    return Pushed(folder, model, dataset, first, final)
