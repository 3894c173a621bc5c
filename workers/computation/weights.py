"""Histograms of the weights at the ends of lines, counted by the job's first tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.domain.weights import WeightHistograms
from workers.engine.network import Network, Point

_BINS: Final = 1000


def histograms(network: Network, ends: Sequence[Point]) -> Mapping[str, NDArray[Any]]:
    """Of every parameter of more than one dimension, as a tile's attachments; none without any.

    Numbers that are not finite are left out.
    """
    names = [name for name, spec in network.parameters.items() if len(spec.shape) > 1]
    largest = max((_largest(end, names) for end in ends), default=0.0)
    if not names or largest == 0.0:
        return {}
    counts = np.zeros((len(ends), _BINS), dtype=np.int64)
    squares = np.zeros(len(ends))
    for row, end in enumerate(ends):
        for name in names:
            values = end.parameters[name].detach().to("cpu", torch.float64).numpy().ravel()
            counts[row] += np.histogram(values, bins=_BINS, range=(-largest, largest))[0]
            squares[row] += float(values @ values)
    edges = np.linspace(-largest, largest, _BINS + 1)
    return WeightHistograms(edges, counts, np.sqrt(squares)).arrays()


def _largest(end: Point, names: Sequence[str]) -> float:
    found = 0.0
    for name in names:
        values = end.parameters[name].abs()
        values = values[torch.isfinite(values)]
        if values.numel():
            found = max(found, float(values.max()))
    return found
