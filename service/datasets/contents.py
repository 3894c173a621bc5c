"""What a data set's file must hold: `inputs` or `inputs.<name>`, and `targets`, equally long.

Pure: judges the header. Values are scanned by `service`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.problems import FieldError, Problem
from service.inputs.fit import StoredTensor

_LAYOUT = (
    "A data set holds `inputs` (or `inputs.<name>` for each input) and `targets`, "
    "first dimension = samples"
)


@dataclass(frozen=True)
class Contents:
    """A data set's tensors. `inputs` by the program's name of the input, "" for plain `inputs`."""

    samples: int
    inputs: Mapping[str, StoredTensor]
    targets: StoredTensor


def read_contents(tensors: Mapping[str, StoredTensor]) -> Contents:
    """Tells inputs and targets apart.

    Raises:
        Problem: `dataset_invalid` at `/object`, one error for each fault.
    """
    inputs = {
        name.removeprefix("inputs").removeprefix("."): tensor
        for name, tensor in tensors.items()
        if name == "inputs" or (name.startswith("inputs.") and name != "inputs.")
    }
    known = {tensor.name for tensor in inputs.values()} | {"targets"}
    faults = [f"{name!r} is neither inputs nor targets" for name in tensors if name not in known]
    if not inputs:
        faults.append("there is no `inputs`")
    if "" in inputs and len(inputs) > 1:
        faults.append("there are both `inputs` and `inputs.<name>`; give one or the other")
    targets = tensors.get("targets")
    if targets is None:
        faults.append("there is no `targets`")
    columns = [*inputs.values(), *([] if targets is None else [targets])]
    faults += [
        f"{column.name!r} has no dimension; the first one is the samples'"
        for column in columns
        if not column.shape
    ]
    lengths = {column.name: column.shape[0] for column in columns if column.shape}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in lengths.items())
        faults.append(f"the numbers of samples differ: {counts}")
    elif set(lengths.values()) == {0}:
        faults.append("there are no samples")
    faults += [
        f"{column.name!r} has a dimension of size 0: {list(column.shape)}"
        for column in columns
        if 0 in column.shape[1:]
    ]
    if faults or targets is None:
        raise refused(faults)
    return Contents(samples=targets.shape[0], inputs=inputs, targets=targets)


def refused(faults: list[str]) -> Problem:
    """The problem that names each fault at the field `object`."""
    return Problem(
        "dataset_invalid",
        f"{'; '.join(faults[:5])}. {_LAYOUT}",
        errors=[FieldError("/object", fault) for fault in faults[:50]],
    )
