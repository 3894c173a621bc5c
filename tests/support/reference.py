"""The reference folders, pushed through HTTP as a user would push them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.live import Api

ROOT = Path(__file__).parent.parent / "data" / "reference"


@dataclass(frozen=True)
class Pushed:
    """Ids of one reference folder in a running service."""

    folder: str
    model: str
    dataset: str
    checkpoints: tuple[str, ...]
    expected: dict[str, Any]

    @property
    def final(self) -> str:
        return self.checkpoints[-1]


def push(api: Api, folder: str, project: str = "reference") -> Pushed:
    """Uploads program, data and every checkpoint of a folder."""
    root = ROOT / folder
    program = api.put_object((root / "program.pt2").read_bytes())
    model = api.create(
        "/v1/models",
        {"project": project, "name": folder, "program": program, "loss": "cross_entropy"},
    )
    data = api.put_object((root / "data.safetensors").read_bytes())
    dataset = api.create(
        "/v1/datasets", {"project": project, "name": folder, "object": data, "split": "train"}
    )
    checkpoints = []
    for step, path in enumerate(sorted(root.glob("checkpoint_*.safetensors"))):
        weights = api.put_object(path.read_bytes())
        body = {"weights": weights, "step": step}
        checkpoints.append(api.create(f"/v1/models/{model['id']}/checkpoints", body)["id"])
    return Pushed(
        folder=folder,
        model=model["id"],
        dataset=dataset["id"],
        checkpoints=tuple(checkpoints),
        expected=json.loads((root / "expected.json").read_text()),
    )


def directions_of(api: Api, folder: str, tag: str) -> str:
    """Uploads the directions of a tag (both axes in one object); returns the digest."""
    return api.put_object((ROOT / folder / f"directions_{tag}.safetensors").read_bytes())
