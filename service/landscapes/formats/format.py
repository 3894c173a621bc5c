"""What a data format of landscapes says of itself. Knows no format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from service.exports import About
from service.http.services import Services
from service.landscapes.exports import tag_of
from service.ledger.records import LandscapeRecord


class NoQuery(BaseModel):
    """Nothing may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Q = TypeVar("Q", bound=BaseModel)


class DataFormat(ABC, Generic[Q]):
    """One format, served as `data.<suffix>`.

    Attributes:
        suffix: of the address and of files, without the dot.
        link: among a landscape's links.
        label: on pages.
        summary, description, answer: in the API's documentation.
        media_type: of the bytes.
        problems: codes that its answers can have, beside those of every landscape's.
        saved: whether browsers are told to save it under the landscape's name.
        query: what may be asked.
        content: examples for the API's documentation.
        lines: whether a line or a point is worth writing so.
    """

    suffix: ClassVar[str]
    link: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    description: ClassVar[str]
    answer: ClassVar[str]
    media_type: ClassVar[str]
    problems: ClassVar[tuple[str, ...]] = ()
    saved: ClassVar[bool] = True
    query: type[Q]
    content: ClassVar[Mapping[str, Any]] = {}
    lines: ClassVar[bool] = True

    def tag(self, landscape: LandscapeRecord, about: About, query: Q) -> str:
        """Names the bytes by everything that they depend on, without reading the arrays."""
        return tag_of(landscape, about, query, self.suffix)

    @abstractmethod
    def encode(
        self, services: Services, landscape: LandscapeRecord, about: About, query: Q
    ) -> bytes:
        """The bytes. Raises Problem for what cannot be written so."""
