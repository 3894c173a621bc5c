"""Grids to write: not square, with cells that have no value, and awkward names."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from service.domain.results import GridResult
from service.exports import About
from tests.figures.cases import CellStatus, data_of, hits, line_of, marked, plane_of, span

#: Of every data set: nothing is symmetric in α and β.
WIDE: Final = plane_of(
    lambda a, b: 0.1 + 3 * a**2 + b + 1.5, span(-1, 1, 5), span(-0.5, 1, 3), "test"
)
HOLES: Final = marked(
    plane_of(lambda a, b: 1 + a**2 + 2 * b**2, span(-1, 1, 7), span(-1, 1, 6)),
    {
        CellStatus.NAN: (slice(0, 1), slice(0, 1)),
        CellStatus.POSINF: (slice(5, 6), slice(6, 7)),
    },
)
LINE: Final = line_of({"train": lambda a: a**2 + 1, "test": lambda a: a**2 + 2}, span(-0.5, 1.5, 9))
NASTY: Final = "</script><script>document.title='taken'</script>/.."


def two(first: str, second: str) -> GridResult:
    """A plane over two data sets, the second one's loss higher by 10."""
    loss = WIDE.datasets[0].loss + 10
    more = data_of(second, loss, np.array([11.6]), hits(loss), hits(np.array([11.6])))
    return replace(WIDE, datasets=(replace(WIDE.datasets[0], name=first), more))


def with_path(result: GridResult) -> GridResult:
    """The result as a trajectory's: a run of three checkpoints and one of two."""
    points = np.array([[-0.9, 0.9], [-0.5, 0.2], [0.0, 0.0], [0.8, 0.6], [0.3, 0.1]])
    anchors = np.concatenate([[[0.0, 0.0]], points])
    loss = 1 + anchors[:, 0] ** 2 + 2 * anchors[:, 1] ** 2
    first = result.datasets[0]
    tile = replace(
        first.anchors,
        loss=loss,
        stderr=0 * loss,
        accuracy=None,
        status=np.zeros(len(loss), dtype=np.int8),
    )
    unknown = np.full(5, np.nan)
    path = {
        "center": np.array("final"),
        "centre": np.array(2),
        "checkpoints": np.array([f"ckp_{k}" for k in range(5)]),
        "labels": np.array(["früh", "", "last", "", ""]),
        "runs": np.array([0, 0, 0, 1, 1]),
        "run_labels": np.array(["small", "large"]),
        "steps": np.array([0.0, 10, 20, np.nan, np.nan]),
        "epochs": np.array([0.0, 1.5, 3, np.nan, np.nan]),
        "learning_rates": np.array([0.1, 0.01, 0.01, np.nan, np.nan]),
        "coordinates": points,
        "residuals": 0 * unknown,
        "distances": np.linalg.norm(points, axis=1),
        "explained_variance": np.array([0.8, 0.15]),
        "share": np.array(0.95),
        "random_shares": np.array([0.01, 0.02]),
        "true_loss": loss[None, 1:] + 0.1,
        "true_stderr": 0 * loss[None, 1:],
        "true_status": np.zeros((1, 5), dtype=np.int8),
    }
    return replace(
        result,
        anchors=anchors,
        datasets=(replace(first, anchors=tile),),
        attachments={f"trajectory.{name}": values for name, values in path.items()},
    )


def about(**changes: object) -> About:
    known = About(
        landscape="lsc_0",
        kind="surface",
        title="digits: surface",
        model="digits",
        provenance={
            "engine": "lossatlas 1",
            "dtype": "float32",
            "cosine": 0.01,
            "directions": {
                "x": {"id": "dir_x", "norm": 2.0, "spec": {"kind": "random", "seed": 1}},
                "y": {"id": "dir_y", "norm": 3.0, "spec": {"kind": "random", "seed": 2}},
            },
        },
        derived={"sharpness": {"value": 0.25, "definition": "rise < 1 & within a ball"}},
    )
    return replace(known, **changes)  # type: ignore[arg-type]
