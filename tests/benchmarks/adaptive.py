"""How many evaluations adaptive sampling saves, and whether what it states is true.

Replays the sampler on exact surfaces of trained networks (`tests/data/adaptive`, made by
`exact_surfaces`), several random audits each, at three tolerances. Counts evaluations, which is
what costs: choosing cells takes milliseconds. The promise is 95 % of the cells within the tolerance
and 95 % within their own stated error; the worst of the audits is shown.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from tests.adaptive.surfaces import Run, exact, sample
from tests.benchmarks.timing import write

TOLERANCES: Final = (0.1, 0.03, 0.01)
AUDITS: Final = 8

#: The surfaces, with what they are of.
SURFACES: Final = {
    "mlp_51": "MLP 64-128-128-10",
    "vgg_51": "VGG of width 4, batch norm",
    "vgg_plain_51": "VGG of width 4, no norm",
    "resnet20_51": "ResNet-20 of width 8",
    "resnet56_51": "ResNet-56 of width 6",
    "mlp_33": "MLP 64-128-128-10",
    "resnet20_33": "ResNet-20 of width 8",
    "plain56_33": "56 layers of width 6, no skips",
    "held_vgg_51": "VGG of width 5, batch norm",
}
#: Made after the sampler's constants were chosen; nothing was changed for them.
HELD_OUT: Final = {
    "held_mlp_51": "MLP 64-64-64-10",
    "held_resnet14_51": "ResNet-14 of width 8",
    "held_plain26_51": "26 layers of width 6, no skips",
    "held_vgg6_51": "VGG of width 6, batch norm",
    "held_vgg_plain6_51": "VGG of width 6, no norm",
    "held_resnet26_51": "ResNet-26 of width 7",
}


def measure(name: str, tolerance: float) -> dict[str, Any]:
    """One surface at one tolerance over several audits."""
    loss, _ = exact(name)
    began = time.perf_counter()
    runs: list[Run] = [sample(loss, tolerance=tolerance, seed=1000 + k) for k in range(AUDITS)]
    seconds = (time.perf_counter() - began) / AUDITS
    return {
        "tolerance": tolerance,
        "evaluations_median": statistics.median(r.evaluations for r in runs),
        "saved_median": round(statistics.median(r.saved for r in runs), 2),
        "saved_least": round(min(r.saved for r in runs), 2),
        "rounds_median": statistics.median(r.rounds for r in runs),
        "within_tolerance_least": round(min(r.within(tolerance) for r in runs), 4),
        "within_stated_least": round(min(r.within_stated for r in runs), 4),
        "error_worst": round(max(float(r.error.max()) for r in runs), 4),
        "choosing_s": round(seconds, 3),
    }


def run() -> None:
    """Prints the table and keeps it."""
    print(
        f"{'surface':<34} {'grid':>7} {'tol':>5} {'cells':>6} {'saved':>6} "
        f"{'≤ tol':>6} {'≤ own':>6} {'worst':>6}"
    )
    body: dict[str, Any] = {"audits": AUDITS, "surfaces": {}, "held_out": {}}
    for name, what in {**SURFACES, **HELD_OUT}.items():
        part = "held_out" if name in HELD_OUT else "surfaces"
        shape = exact(name)[0].shape
        rows = [measure(name, tolerance) for tolerance in TOLERANCES]
        body[part][name] = {"network": what, "grid": [*shape], "at": rows}
        for row in rows:
            print(
                f"{what:<34} {shape[1]}×{shape[0]:<4} {row['tolerance']:>5.0%} "
                f"{row['evaluations_median']:>6.0f} {row['saved_median']:>5.1f}× "
                f"{row['within_tolerance_least']:>6.1%} {row['within_stated_least']:>6.1%} "
                f"{row['error_worst']:>6.0%}",
                flush=True,
            )
    print(f"kept in {write('adaptive', body)}")
