"""Data sets against programs: names, shapes and types of inputs, and targets against losses.

Pure. Judges headers and recorded ranges; the values themselves are the worker's to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.losses import CLASSIFYING, LossName
from service.inputs.fit import FLOATING

#: A size of a program's tensor; None where it may vary.
Size = int | None


@dataclass(frozen=True)
class Port:
    """An input or output of a program: its name, type and shape, first dimension = samples."""

    name: str
    dtype: str
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class Column:
    """A tensor of a data set without the dimension of samples, shape (samples, *shape).

    `low` and `high` bound whole-number targets; None for others. `ignored`: every one of them is
    the class that marks positions without a target.
    """

    dtype: str
    shape: tuple[int, ...]
    low: int | None = None
    high: int | None = None
    ignored: bool = False


def input_faults(ports: Sequence[Port], columns: Mapping[str, Column]) -> list[str]:
    """Why these columns cannot be the program's inputs; empty when they can.

    Args:
        ports: the program's inputs in call order (without the targets, for the loss `program`).
        columns: by name; the one column of a data set stored as plain `inputs` is named "".
    """
    if len(ports) == 1 and set(columns) == {""}:
        columns = {ports[0].name: columns[""]}
    elif "" in columns:
        names = ", ".join(f"inputs.{port.name}" for port in ports)
        return [f"the program takes {len(ports)} inputs; store them as {names}"]
    faults = [f"inputs.{port.name} is missing" for port in ports if port.name not in columns]
    names_of_ports = {port.name for port in ports}
    faults += [
        f"inputs.{name} is no input of the program, which takes "
        + ", ".join(port.name for port in ports)
        for name in columns
        if name not in names_of_ports
    ]
    for port in ports:
        column = columns.get(port.name)
        if column is None:
            continue
        if not _fits(port.shape[1:], column.shape):
            faults.append(
                f"a sample of input {port.name!r} has shape {list(column.shape)}; the program "
                f"takes {_shown(port.shape[1:])}"
            )
        if column.dtype in FLOATING and port.dtype not in FLOATING:
            faults.append(f"input {port.name!r} is {column.dtype}; the program takes {port.dtype}")
    return faults


def target_faults(loss: LossName, output: Port | None, targets: Column) -> list[str]:
    """Why these targets do not suit the loss at this output; empty when they may.

    `output` is None where it is not known before a worker has run the program.
    """
    if loss in CLASSIFYING and targets.dtype == "bool":
        return ["class targets are true or false; store them as integers"]
    whole = targets.dtype not in FLOATING
    if loss in CLASSIFYING and targets.ignored:
        return ["every target is the ignored class -100, so there is nothing to average"]
    if loss is LossName.NLL and not whole:
        return [f"nll needs integer class targets, not {targets.dtype}"]
    if output is None or loss is LossName.PROGRAM:
        return []
    if loss in CLASSIFYING and whole:
        return _class_faults(loss, output, targets)
    if not _fits(_unpadded(output.shape[1:]), _unpadded(targets.shape)):
        return [
            f"a sample's targets have shape {list(targets.shape)}; {loss} compares them with "
            f"outputs of shape {_shown(output.shape[1:])}"
            + ("; one-hot encode class indices first" if whole else "")
        ]
    return []


def _class_faults(loss: LossName, output: Port, targets: Column) -> list[str]:
    if len(output.shape) < 2:
        return [f"{loss} needs outputs of shape [samples, classes, …]; the program gives one axis"]
    faults = []
    if not _fits(_unpadded(output.shape[2:]), _unpadded(targets.shape)):
        faults.append(
            f"a sample's class targets have shape {list(targets.shape)}; the program's outputs "
            f"ask for {_shown(output.shape[2:])}"
        )
    classes = output.shape[1]
    if (
        classes is not None
        and targets.low is not None
        and targets.high is not None
        and (targets.low < 0 or targets.high >= classes)
    ):
        faults.append(
            f"class targets lie between {targets.low} and {targets.high}; the program has "
            f"{classes} classes, so they must lie between 0 and {classes - 1}"
        )
    return faults


def _fits(wanted: Sequence[Size], given: Sequence[Size]) -> bool:
    return len(wanted) == len(given) and all(
        want is None or want == have for want, have in zip(wanted, given, strict=True)
    )


def _unpadded(shape: Sequence[Size]) -> tuple[Size, ...]:
    return tuple(size for size in shape if size != 1)


def _shown(shape: Sequence[Size]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
