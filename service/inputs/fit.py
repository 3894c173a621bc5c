"""Does a file of tensors fit a program? Names, shapes and types compared, no data read.

Owns the rules that checkpoints, uploaded directions and the ends of a line share. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.problems import FieldError, Problem

#: Problems name this many tensors one by one and count the rest.
NAMED_MISFITS: Final = 50

FLOATING: Final = frozenset({"float16", "bfloat16", "float32", "float64"})


@dataclass(frozen=True)
class TensorShape:
    """A tensor as its header declares it: torch's name of the type, and the sizes."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of an uploaded file: what its header says, and where its bytes lie in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def declared(self) -> TensorShape:
        return TensorShape(self.dtype, self.shape)


@dataclass(frozen=True)
class TensorFile:
    """An uploaded safetensors file by its digest; tensors by name, no data in memory."""

    digest: str
    tensors: Mapping[str, StoredTensor]

    @property
    def declared(self) -> dict[str, TensorShape]:
        """Types and shapes by name."""
        return {name: tensor.declared for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Misfit:
    """One tensor that is not as the program needs it. `kind`: missing, extra, shape or type."""

    name: str
    kind: str
    detail: str


def misfits(
    wanted: Mapping[str, TensorShape],
    given: Mapping[str, TensorShape],
    *,
    optional: Mapping[str, TensorShape] | None = None,
) -> list[Misfit]:
    """Every tensor that is missing, unknown, of another shape or of another type.

    A floating tensor may come in any floating type; others only in their own. Tensors of
    `optional` may be absent, and so may every `num_batches_tracked`, which nothing depends on in
    evaluation mode.
    """
    optional = optional or {}
    found: list[Misfit] = []
    for name, want in {**wanted, **optional}.items():
        have = given.get(name)
        if have is None:
            if name not in optional and not _may_be_absent(name):
                found.append(Misfit(name, "missing", f"{name!r} is missing; expected {want}"))
        elif have.shape != want.shape:
            found.append(
                Misfit(name, "shape", f"{name!r} has shape {list(have.shape)}; expected {want}")
            )
        elif not _same_type(want.dtype, have.dtype):
            found.append(Misfit(name, "type", f"{name!r} is {have.dtype}; expected {want}"))
    for name, have in given.items():
        if name not in wanted and name not in optional:
            found.append(Misfit(name, "extra", f"{name!r} ({have}) is not in the program"))
    return found


def untied(given: Mapping[str, TensorShape], tied: Mapping[str, str]) -> dict[str, TensorShape]:
    """The same tensors under the names that the program keeps.

    Args:
        tied: other names of tied tensors, with the name kept.
    """
    found = {name: tensor for name, tensor in given.items() if name not in tied}
    for other, name in tied.items():
        if other in given:
            found.setdefault(name, given[other])
    return found


def common_prefix(wanted: Mapping[str, TensorShape], given: Mapping[str, TensorShape]) -> str:
    """What stands before every name of `given` and would make them fit, such as `module.`.

    Empty when nothing does.
    """
    needed = {name for name in wanted if not _may_be_absent(name)}
    if not needed or not given:
        return ""
    shortest = min(needed, key=len)
    for name in given:
        if name != shortest and name.endswith(shortest):
            prefix = name.removesuffix(shortest)
            # ends at the first name that is not there: both sides are callers' to choose
            if all(prefix + wanted_name in given for wanted_name in needed):
                return prefix
    return ""


def refuse(code: str, pointer: str, what: str, found: Sequence[Misfit], *, fix: str) -> Problem:
    """The problem that names each misfit (the first fifty, with a count of all).

    Args:
        code: of the catalogue.
        pointer: the field that named the file.
        what: how the sentence begins, "the weights do not fit the program" for example.
        fix: what the caller can do.
    """
    words = {
        "missing": "missing",
        "extra": "unknown to it",
        "shape": "of another shape",
        "type": "of another type",
        "value": "not finite",
    }
    counts = [
        f"{sum(1 for m in found if m.kind == kind)} {word}"
        for kind, word in words.items()
        if any(m.kind == kind for m in found)
    ]
    errors = [FieldError(pointer, m.detail) for m in found[:NAMED_MISFITS]]
    if len(found) > NAMED_MISFITS:
        errors.append(FieldError(pointer, f"and {len(found) - NAMED_MISFITS} more tensors"))
    return Problem(
        code,
        f"{what}: {', '.join(counts)}; first, {found[0].detail}. {fix}",
        errors=errors,
        extra={"misfits": len(found)},
    )


def _may_be_absent(name: str) -> bool:
    return name == "num_batches_tracked" or name.endswith(".num_batches_tracked")


def _same_type(want: str, have: str) -> bool:
    return have in FLOATING if want in FLOATING else have == want
