"""A small organisation's landscapes, with names that try to be markup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.features.reference import MLP, ROOT, read
from tests.support.serving import Serving

#: In a name, a note and a form.
NASTY = "<script>alert(1)</script> & \"quotes\" <b>'bold'</b>"
PROJECT = "atlas"


@dataclass(frozen=True)
class Atlas:
    """Ids. The surfaces are of the same grid and data, each steeper than the one before."""

    model: str
    other: str
    dataset: str
    checkpoints: tuple[str, ...]
    surfaces: tuple[str, ...]
    line: str
    nasty: str

    def surface(self, num: int = 9, **more: Any) -> dict[str, Any]:
        """A job's spec."""
        axis = {"min": -1, "max": 1, "num": num}
        return {
            "kind": "surface",
            "origin": self.checkpoints[-1],
            "directions": {
                "x": {"kind": "random", "seed": 1, "normalize": "filter"},
                "y": {"kind": "random", "seed": 2, "normalize": "filter"},
            },
            "grid": {"x": axis, "y": axis},
            "datasets": [self.dataset],
            "force": True,
            **more,
        }


def build(running: Serving, api: Caller) -> Atlas:
    """Pushes two networks and has landscapes made, with the tests as the worker."""
    program = api.put(read(MLP, "program.pt2"))
    model = api.create(
        "/v1/models",
        {"project": PROJECT, "name": "Perceptron", "program": program, "tags": ["paper"]},
    )["id"]
    nasty_model = api.create(
        "/v1/models", {"project": PROJECT, "name": NASTY, "program": program, "tags": ["paper"]}
    )["id"]
    data = api.put(read(MLP, "data.safetensors"))
    dataset = api.create(
        "/v1/datasets", {"project": PROJECT, "name": "digits", "object": data, "split": "test"}
    )["id"]
    nasty_data = api.create("/v1/datasets", {"project": PROJECT, "name": NASTY, "object": data})[
        "id"
    ]
    paths = sorted((ROOT / MLP).glob("checkpoint_*.safetensors"))
    checkpoints = tuple(
        api.create(
            f"/v1/models/{model}/checkpoints",
            {
                "weights": api.put(path.read_bytes()),
                "epoch": epoch,
                "label": f"epoch {epoch}",
                "metrics": {
                    "train_loss": 2.0 / (1 + epoch),
                    "test_loss": 2.2 / (1 + epoch),
                    "test_error": 0.5 / (1 + epoch),
                },
            },
        )["id"]
        for epoch, path in ((0, paths[0]), (5, paths[5]), (20, paths[-1]))
    )
    nasty_weights = api.create(
        f"/v1/models/{nasty_model}/checkpoints",
        {"weights": api.put(paths[-1].read_bytes()), "label": NASTY},
    )["id"]
    atlas = Atlas(model, nasty_model, dataset, checkpoints, (), "", "")
    surfaces = tuple(
        made(
            running,
            api,
            atlas.surface(origin=checkpoints[place], tags=[f"steep-{steep}", "paper"]),
            steepness=float(steep),
        )
        for place, steep in ((0, 1), (1, 3), (2, 9))
    )
    line = made(
        running,
        api,
        {
            "kind": "interpolation",
            "origin": checkpoints[-1],
            "target": checkpoints[0],
            "alpha": {"min": -0.5, "max": 1.5, "num": 9},
            "datasets": [dataset],
            "force": True,
        },
    )
    nasty = made(running, api, atlas.surface(origin=nasty_weights, datasets=[nasty_data]))
    return Atlas(model, nasty_model, dataset, checkpoints, surfaces, line, nasty)


def made(running: Serving, api: Caller, spec: dict[str, Any], steepness: float = 1.0) -> str:
    """The landscape of a job from beginning to end."""
    job = api.create("/v1/jobs", spec)["id"]
    ByHand(running.services, job, steepness).whole()
    return str(api.get(f"/v1/jobs/{job}").json()["landscape"])
