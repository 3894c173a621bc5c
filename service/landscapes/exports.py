"""Files of a landscape in other programs' formats: what they say of it, and their bytes.

Owns what may be asked and the names (entity tags) of the answers. The formats are
`service.exports`'.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.digests import digest_json
from service.domain.problems import Problem
from service.domain.results import unique_names
from service.exports import About, encode_hdf5, encode_page, encode_vts, page_policy, path_of
from service.exports.page import MOST_CELLS
from service.figures import Caption
from service.http.services import Services
from service.landscapes.figures import FigureQuery, name_of
from service.landscapes.results import arrays_of, figure_of
from service.ledger import datasets, models
from service.ledger.records import LandscapeRecord
from service.ledger.session import Session
from service.store.headers import read_safetensors_header

#: Raised when the same landscape would be written as other bytes.
REVISION: Final = 2

#: Directions' tensors are put into a file up to this many bytes in all.
MOST_TENSOR_BYTES: Final = 256 << 20

_DTYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class Hdf5Query(BaseModel):
    """What the HDF5 file holds beside the values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: bool = Field(
        default=False, description="The directions' tensors too, in `xdirection` and `ydirection`."
    )


class VtsQuery(BaseModel):
    """What the height is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Annotated[str, StringConstraints(max_length=210)] | None = Field(
        default=None, description="By name. Left out: the first one."
    )
    log: bool | None = Field(
        default=None,
        description="log₁₀ of the loss as height. Left out: chosen for values over more than two "
        "decades.",
    )


def about(session: Session, landscape: LandscapeRecord) -> About:
    """What every file says of a landscape."""
    model = models.get(session, landscape.model_id)
    found = [datasets.get(session, identity) for identity in landscape.spec.get("datasets", [])]
    known = [d for d in found if d is not None]
    names = unique_names([d.name for d in known])
    return About(
        landscape=landscape.id,
        kind=landscape.kind,
        title=landscape.title or landscape.id,
        model=None if model is None else model.name,
        provenance=landscape.provenance,
        derived=landscape.derived,
        splits={name: d.split for name, d in zip(names, known, strict=True)},
    )


def tag_of(landscape: LandscapeRecord, what: About, query: BaseModel | None, format: str) -> str:
    """Names the bytes of a file by everything that they depend on."""
    asked = None if query is None else query.model_dump(mode="json")
    return digest_json([REVISION, format, landscape.data, asdict(what), asked])


def page_tag_of(landscape: LandscapeRecord, what: About, caption: Caption) -> str:
    """Names a page: by its script and styles too, whose digests are in the policy, and by the
    figure within it.
    """
    figure = name_of(landscape.data, FigureQuery(), caption)
    return digest_json([tag_of(landscape, what, None, "page"), page_policy(), figure])


def hdf5_of(services: Services, landscape: LandscapeRecord, what: About, query: Hdf5Query) -> bytes:
    """Raises Problem `not_supported` when the directions' tensors are too many for a file."""
    result = arrays_of(services, landscape)
    tensors = _tensors(services, what) if query.directions else None
    return encode_hdf5(result, what, tensors)


def vts_of(services: Services, landscape: LandscapeRecord, what: About, query: VtsQuery) -> bytes:
    """Raises Problem `invalid_request` for a data set that is not there."""
    result = arrays_of(services, landscape)
    names = [d.name for d in result.datasets]
    if query.dataset is not None and query.dataset not in names:
        raise Problem(
            "invalid_request",
            f"there is no data set {query.dataset!r}; there are {', '.join(names)}",
            pointer="/dataset",
        )
    return encode_vts(result, what, dataset=query.dataset, log=query.log)


def page_of(services: Services, landscape: LandscapeRecord, what: About, caption: Caption) -> bytes:
    """Raises Problem `not_supported` for a grid of more cells than a browser turns."""
    result = arrays_of(services, landscape)
    if result.status.size > MOST_CELLS:
        raise Problem(
            "not_supported",
            f"a page of {result.status.size} cells would be too large; at most {MOST_CELLS}. "
            "data.vts opens in ParaView",
        )
    query = FigureQuery()
    name = name_of(landscape.data, query, caption)
    still = figure_of(services, landscape, query, caption, "png", name)
    return encode_page(result, what, still, path_of(result))


def _tensors(services: Services, what: About) -> dict[str, dict[str, NDArray[Any]]]:
    planned = what.provenance.get("directions") or {}
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
