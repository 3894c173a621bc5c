"""What every file says of a landscape, and its interactive page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from pydantic import BaseModel

from service.domain.digests import digest_json
from service.domain.problems import Problem
from service.domain.results import unique_names
from service.exports import About, encode_page, page_policy, path_of
from service.exports.page import MOST_CELLS
from service.figures import Caption
from service.http.services import Services
from service.landscapes.figures import FigureQuery, name_of
from service.landscapes.results import arrays_of, figure_of
from service.ledger import datasets, models
from service.ledger.records import LandscapeRecord
from service.ledger.session import Session

#: Raised when the same landscape would be written as other bytes.
REVISION: Final = 2


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


def tag_of(landscape: LandscapeRecord, about: About, query: BaseModel | None, format: str) -> str:
    """Names a file's bytes by what it says of the landscape and by what was asked."""
    asked = None if query is None else query.model_dump(mode="json")
    return digest_json([REVISION, format, landscape.data, asdict(about), asked])


def page_tag_of(landscape: LandscapeRecord, what: About, caption: Caption) -> str:
    """Names a page: by its script and styles too, whose digests are in the policy, and by the
    figure within it.
    """
    figure = name_of(landscape.data, FigureQuery(), caption)
    return digest_json([tag_of(landscape, what, None, "page"), page_policy(), figure])


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
