"""What a mean over a data set was over: which reduction, how many samples and positions.

Owns the names of these numbers in results, and the words that figures and pages say them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.domain.losses import Reduction


class Counted(BaseModel):
    """How many targets of a data set count, as the worker that prepared the job counted them.

    Attributes:
        samples: that have a target.
        positions: that have one: tokens or pixels where targets are classes, else the values that
            a sample's loss is the mean of.
        ignored_samples: without any target; they count nowhere.
        ignored_positions: without one, those of ignored samples included.
        effective_samples: as many samples of equal weight would leave a mean as uncertain as these
            do (Kish 1965); `samples` where all weigh alike.
    """

    model_config = ConfigDict(frozen=True)

    reduction: Reduction
    samples: int
    positions: int
    ignored_samples: int
    ignored_positions: int
    effective_samples: float

    def to_json(self) -> dict[str, Any]:
        """The members beside `samples` of a data set on the wire."""
        return {
            "reduction": self.reduction.value,
            "positions": self.positions,
            "ignored": {"samples": self.ignored_samples, "positions": self.ignored_positions},
            "effective_samples": self.effective_samples,
        }

    @classmethod
    def of_json(cls, samples: int, body: Mapping[str, Any] | None) -> Counted | None:
        """The inverse of `to_json`; None of None."""
        if body is None:
            return None
        ignored = body["ignored"]
        return cls(
            reduction=Reduction(body["reduction"]),
            samples=samples,
            positions=body["positions"],
            ignored_samples=ignored["samples"],
            ignored_positions=ignored["positions"],
            effective_samples=body["effective_samples"],
        )

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Named arrays of a result, beside `<prefix>.samples`."""
        return {
            f"{prefix}.reduction": np.array(self.reduction.value, dtype=np.str_),
            f"{prefix}.positions": np.array(self.positions, dtype=np.int64),
            f"{prefix}.ignored_samples": np.array(self.ignored_samples, dtype=np.int64),
            f"{prefix}.ignored_positions": np.array(self.ignored_positions, dtype=np.int64),
            f"{prefix}.effective_samples": np.array(self.effective_samples, dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Counted | None:
        """The inverse; None for a result that was made before these were counted."""
        if f"{prefix}.reduction" not in arrays:
            return None
        return cls(
            reduction=Reduction(str(arrays[f"{prefix}.reduction"])),
            samples=int(arrays[f"{prefix}.samples"]),
            positions=int(arrays[f"{prefix}.positions"]),
            ignored_samples=int(arrays[f"{prefix}.ignored_samples"]),
            ignored_positions=int(arrays[f"{prefix}.ignored_positions"]),
            effective_samples=float(arrays[f"{prefix}.effective_samples"]),
        )


def counted_provenance(names: Sequence[str], counted: Sequence[Counted]) -> dict[str, Any]:
    """The members `samples` and `counted` of a provenance, by data set."""
    return {
        "samples": {name: c.samples for name, c in zip(names, counted, strict=True)},
        "counted": {name: c.to_json() for name, c in zip(names, counted, strict=True)},
    }


def samples_in_words(samples: int, counted: Counted | None) -> str:
    """`1,000 samples`, and what else there is to say of what a mean was over.

    Where every sample has as many positions as any other, both reductions are the same number and
    nothing is said of them.
    """
    words = _many(samples, "sample")
    if counted is None:
        return words
    uneven = counted.ignored_positions > 0 and counted.positions > counted.samples
    if counted.reduction is Reduction.POSITION and counted.positions > counted.samples:
        words = f"{_many(counted.positions, 'position')} of {words}, each position alike"
    elif uneven:
        words += f", each the mean of its positions ({counted.positions:,} in all)"
    if counted.ignored_samples:
        words += f"; {counted.ignored_samples:,} without a target left out"
    return words


def _many(count: int, word: str) -> str:
    return f"{count:,}\u00a0{word}{'' if count == 1 else 's'}"
