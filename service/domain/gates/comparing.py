"""Whether two landscapes answer the same question about two networks.

Compared is everything that was asked but the network itself: kind, data (by digest), loss, grid,
directions (by what they were made from), precision, buffers, sampling. What this version does not
know of is compared too: a new option makes landscapes differ until somebody says that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.domain.definitions import version_of
from service.domain.digests import digest_json

#: Members of a job's spec that say which network, or ask for nothing that moves a measure.
_NOT_COMPARED: Final = frozenset(
    {
        # the network, and what is compared by digest instead
        *("origin", "target", "model", "checkpoints", "label", "runs"),
        *("datasets", "directions", "direction", "along"),
        # how and when to compute
        *("tags", "priority", "force", "max_products", "seed"),
        # what else to compute, or how far to go with it: errors say how good it is
        *("largest", "smallest", "trace", "density", "layers", "true_loss", "random_planes"),
    }
)
_MOST_SHOWN: Final = 50


@dataclass(frozen=True)
class Difference:
    """A term that two landscapes do not share."""

    field: str
    landscape: Any
    baseline: Any

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "landscape": self.landscape, "baseline": self.baseline}

    def text(self) -> str:
        if self.field == "definitions":
            return _of_versions(self.landscape, self.baseline)
        return f"{self.field} is {_shown(self.landscape)} here and {_shown(self.baseline)} there"


def terms(
    *,
    kind: str,
    spec: Mapping[str, Any],
    loss: str,
    loss_options: Mapping[str, Any],
    definitions: str | None,
    datasets: Sequence[str],
    directions: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, str],
    objects: Mapping[str, str],
) -> dict[str, Any]:
    """What a landscape's measures depend on besides the network, by dotted name.

    Args:
        spec: the job's, defaults filled in.
        loss_options: of the model, defaults filled in.
        definitions: under which its numbers were computed.
        datasets: digests, in the job's order.
        directions: specs by axis.
        weights: digests of the weights of checkpoints that directions name, by id.
        objects: digests of the data sets that directions name, by id.
    """
    asked = {name: value for name, value in spec.items() if name not in _NOT_COMPARED}
    if asked.get("buffers") != "recalibrate":
        asked.pop("recalibration", None)
    if isinstance(asked.get("map"), Mapping):
        asked["map"] = {k: v for k, v in asked["map"].items() if k != "directions"}
    return _flat(
        {
            **asked,
            "kind": kind,
            "loss": loss,
            "loss_options": dict(loss_options),
            "definitions": definitions,
            "datasets": list(datasets),
            "directions": {
                axis: _direction(made, weights, objects) for axis, made in directions.items()
            },
        }
    )


def differences(landscape: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[Difference]:
    """Every term in which two landscapes differ, by name."""
    return [
        Difference(name, landscape.get(name), baseline.get(name))
        for name in sorted({*landscape, *baseline})
        if landscape.get(name) != baseline.get(name)
    ][:_MOST_SHOWN]


def _direction(
    spec: Mapping[str, Any], weights: Mapping[str, str], objects: Mapping[str, str]
) -> dict[str, Any]:
    """A direction's spec with digests for ids."""
    made = dict(spec)
    if isinstance(made.get("target"), str):
        made["target"] = weights.get(made["target"], made["target"])
    if isinstance(made.get("dataset"), str):
        made["dataset"] = objects.get(made["dataset"], made["dataset"])
    if isinstance(made.get("checkpoints"), list | tuple):
        made["checkpoints"] = digest_json([weights.get(c, c) for c in made["checkpoints"]])
    if isinstance(made.get("ignore"), list | tuple):
        made["ignore"] = sorted(made["ignore"])
    return made


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Mappings as dotted names; lists stay whole, None is left out."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{name}.{key}" if name else str(key))
    return found


def _of_versions(landscape: Any, baseline: Any) -> str:
    """What to do about numbers that mean different things."""
    said = (
        f"the definitions are {_shown(landscape)} here and {_shown(baseline)} there, so that equal "
        "names mean different numbers"
    )
    one, other = version_of(landscape), version_of(baseline)
    if one is None or other is None:
        return said
    what = "the landscape" if one < other else "the baseline"
    return f"{said}; compute {what} again: submit its job anew, which answers under today's"


def _shown(value: Any) -> str:
    text = "not there" if value is None else str(value)
    return text if len(text) <= 100 else text[:99] + "…"
