"""Use cases of data sets: register samples after looking at every value once."""

from __future__ import annotations

from typing import Any, Final

from service.datasets.contents import Contents, read_contents, refused
from service.datasets.schemas import NewDataset
from service.http.services import Services
from service.inputs import lookup
from service.inputs.files import all_finite, integer_range, open_tensors
from service.inputs.fit import StoredTensor
from service.inputs.lookup import Caller
from service.ledger import datasets
from service.ledger.records import DatasetRecord

#: Marks positions without a target (PyTorch's ignore_index); no class, so out of account here.
IGNORED_CLASS: Final = -100


def register(services: Services, caller: Caller, body: NewDataset) -> DatasetRecord:
    """Records a data set.

    The file is read in constant memory, outside any transaction.

    Raises:
        Problem: `forbidden`, `object_missing`, `object_invalid` (no safetensors file),
            `dataset_invalid` for a wrong layout, no samples, or values that are not finite.
    """
    lookup.may_submit(caller, body.project, "/project")
    with services.database.transaction() as session:
        size = lookup.uploaded(session, caller, body.object, "/object").size
    file = open_tensors(services.store, body.object, size, pointer="/object")
    contents = read_contents(file.tensors)
    _require_finite(services, body.object, contents)
    targets = _column(contents.targets)
    bounds = integer_range(services.store, body.object, contents.targets, besides=IGNORED_CLASS)
    if bounds is not None:
        targets |= {"min": bounds[0], "max": bounds[1]}
    with services.database.transaction() as session:
        return datasets.create(
            session,
            project=body.project,
            name=body.name,
            split=body.split,
            object=body.object,
            samples=contents.samples,
            inputs={name: _column(tensor) for name, tensor in contents.inputs.items()},
            targets=targets,
            created_by=caller.key.id,
        )


def _require_finite(services: Services, digest: str, contents: Contents) -> None:
    spoilt = [
        f"{tensor.name!r} holds values that are not finite (NaN or infinity): every loss would be "
        "NaN; clean or drop those samples"
        for tensor in (*contents.inputs.values(), contents.targets)
        if not all_finite(services.store, digest, tensor)
    ]
    if spoilt:
        raise refused(spoilt)


def _column(tensor: StoredTensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "shape": list(tensor.shape[1:])}
