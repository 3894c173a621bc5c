"""From a direction's spec to its tensors: made, normalised, and rounded as every tile uses it.

Owns the translation of specs (plain JSON here) into the engine's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from service.domain.problems import Problem
from workers.computation import tensors
from workers.computation.context import JobContext
from workers.engine.direction import Direction
from workers.engine.directions import between, random_direction, uploaded
from workers.engine.network import Point
from workers.engine.normalisation import Rule, normalise


def read_direction(context: JobContext, path: Path) -> Direction:
    """A materialised direction, as `tensors.encode_direction` wrote it."""
    found = tensors.read(path, code="direction_invalid", what="the direction")
    return uploaded(context.network, tensors.plain_names(found))


def build_direction(
    context: JobContext,
    axis: str,
    spec: Mapping[str, Any],
    path: Path | None,
    *,
    origin: Point | None = None,
) -> Direction:
    """The direction of `spec` at `origin` (default: the job's), rounded to float32.

    Args:
        axis: "x" or "y", for random directions that do not name their stream.
        path: of the object that an `uploaded` spec names.

    Raises:
        DirectionInvalid: uploaded tensors do not fit the network.
        Problem: an unknown kind, or a tensor file that cannot be read.
    """
    start = context.origin if origin is None else origin
    raw = _raw(context, start, axis, spec, path)
    rule = Rule.from_words(spec["normalize"], spec["ignore"], spec.get("convention", "lossatlas"))
    return normalise(raw, start, context.network, rule).to(torch.float32)


def _raw(
    context: JobContext, start: Point, axis: str, spec: Mapping[str, Any], path: Path | None
) -> Direction:
    match spec["kind"]:
        case "random":
            return random_direction(context.network, spec["seed"], spec.get("axis") or axis)
        case "between":
            return between(context.network, start, context.points[spec["target"]])
        case "uploaded" if path is not None:
            found = tensors.read(path, code="direction_invalid", what="the uploaded direction")
            prefix = spec.get("prefix", "")
            return uploaded(context.network, tensors.plain_names(found, prefix))
        case kind:
            raise Problem("not_supported", f"directions of kind {kind!r} cannot be made here")
