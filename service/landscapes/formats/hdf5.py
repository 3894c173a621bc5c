"""A landscape as HDF5 with the keys of the published code."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.domain.problems import Problem
from service.exports import About, encode_hdf5
from service.exports.hdf5 import MEDIA_TYPE
from service.http.services import Services
from service.landscapes.formats.format import DataFormat
from service.landscapes.results import arrays_of
from service.ledger.records import LandscapeRecord
from service.store.headers import read_safetensors_header

#: Directions' tensors are put into a file up to this many bytes in all.
MOST_TENSOR_BYTES: Final = 256 << 20

_DTYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class Hdf5Query(BaseModel):
    """What the HDF5 file holds beside the values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: bool = Field(
        default=False, description="The directions' tensors too, in `xdirection` and `ydirection`."
    )


class Hdf5(DataFormat[Hdf5Query]):
    """The keys that the scripts of Li et al. (2018) read."""

    suffix: ClassVar = "h5"
    link: ClassVar = "h5"
    label: ClassVar = "HDF5"
    summary: ClassVar = "The values as HDF5"
    answer: ClassVar = "Keys of the published code, and a group for each data set."
    media_type: ClassVar = MEDIA_TYPE
    problems: ClassVar = ("not_supported",)
    query = Hdf5Query
    description: ClassVar = (
        "`xcoordinates ycoordinates train_loss train_acc test_loss test_acc` as the scripts of\n"
        "Li et al. 2018 read them (arrays `[iy][ix]`, accuracies in per cent), "
        "`datasets/<name>/…` with\neverything, `xdirection` and `ydirection`, and the provenance."
    )

    def encode(
        self, services: Services, landscape: LandscapeRecord, about: About, query: Hdf5Query
    ) -> bytes:
        """Raises Problem `not_supported` when the directions' tensors are too many for a file."""
        result = arrays_of(services, landscape)
        return encode_hdf5(result, about, _tensors(services, about) if query.directions else None)


def _tensors(services: Services, about: About) -> dict[str, dict[str, NDArray[Any]]]:
    planned = about.provenance.get("directions") or {}
    digests = {axis: entry["object"] for axis, entry in planned.items() if entry.get("object")}
    size = sum(services.store.size(digest) for digest in digests.values())
    if size > MOST_TENSOR_BYTES:
        raise Problem(
            "not_supported",
            f"the directions are {size} bytes, more than the {MOST_TENSOR_BYTES} that go into one "
            "file; fetch them from /v1/directions/{id}/tensors",
            pointer="/directions",
        )
    return {axis: _read(services, digest) for axis, digest in digests.items()}


def _read(services: Services, digest: str) -> dict[str, NDArray[Any]]:
    data = services.store.get_bytes(digest, max_bytes=MOST_TENSOR_BYTES)
    entries = read_safetensors_header(lambda start, stop: data[start:stop], len(data))
    return {
        name: np.frombuffer(data[entry.start : entry.stop], _DTYPES[entry.dtype]).reshape(
            entry.shape
        )
        for name, entry in entries.items()
        if entry.dtype in _DTYPES
    }
