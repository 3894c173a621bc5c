"""Batch norms on the statistics of the batch at hand, which are kept: what a new running mean and
variance are made of.

A batch norm in training normalises by the mean and the biased variance of its own input over the
batch, and would blend that mean and the *unbiased* variance into its running statistics. Here they
replace them. Layers after it see what it so computed: one pass gives every layer's statistics.

Owns the rewriting of calls, and the statistics of the passes since the last `clear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.roles import RunningStatistics
from workers.program.operators import Call

BATCH_NORM: Final = "aten.batch_norm.default"
#: Places among the operator's arguments.
_MEAN, _VARIANCE, _EPSILON = 3, 4, 7


class BatchStatistics:
    """Means and variances of every batch norm, as buffers by name."""

    def __init__(self, running: Sequence[RunningStatistics]) -> None:
        self._of_node = {item.node: item for item in running}
        self._passes: dict[str, list[Tensor]] = {}

    def clear(self) -> None:
        self._passes = {}

    def rewritten(self, calls: Sequence[Call]) -> tuple[Call, ...]:
        """The calls with every batch norm on batch statistics."""
        return tuple(
            replace(call, function=self._collecting(self._of_node[call.node]))
            if call.operator == BATCH_NORM and call.node in self._of_node
            else call
            for call in calls
        )

    def mean(self) -> dict[str, Tensor]:
        """Over the passes, each counting the same (a cumulative average), summed in float64."""
        return {
            name: torch.stack([t.double() for t in passes]).mean(0).to(passes[0].dtype)
            for name, passes in self._passes.items()
        }

    def _collecting(self, names: RunningStatistics) -> Any:
        def batch_norm(*arguments: Any) -> Tensor:
            changed = list(arguments)
            mean, variance = torch.empty_like(changed[_MEAN]), torch.empty_like(changed[_VARIANCE])
            # with a momentum of 1 the operator overwrites what it is given, which must be numbers
            changed[_MEAN], changed[_VARIANCE] = mean.zero_(), variance.fill_(1.0)
            changed[_VARIANCE + 1 : _EPSILON] = True, 1.0
            out = torch.batch_norm(*changed)
            self._passes.setdefault(names.mean, []).append(mean)
            self._passes.setdefault(names.variance, []).append(variance)
            return out

        return batch_norm
