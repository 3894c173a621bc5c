"""Lists of the service, page by page as their items are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lossatlas.display import SHOWN, table_of
from lossatlas.steps import Steps, fetch

if TYPE_CHECKING:
    from lossatlas.transport import Transport

T = TypeVar("T")


class Pages:
    """Where in a list the next page begins; knows no more."""

    def __init__(self, path: str, filters: Mapping[str, Any]) -> None:
        self._path = path
        self._filters = dict(filters)
        self._cursor: str | None = None
        self.over = False

    def next(self) -> Steps[list[dict[str, Any]]]:
        """The next page's items."""
        page = yield from fetch(self._path, {**self._filters, "cursor": self._cursor})
        self._cursor = page.get("next_cursor")
        self.over = self._cursor is None
        items: list[dict[str, Any]] = page["items"]
        return items


class Listing(Generic[T]):
    """An iterator over a list of the service; in a notebook, a table of its next items."""

    def __init__(self, transport: Transport, pages: Pages, made: Callable[[Any], T]) -> None:
        self._transport = transport
        self._pages = pages
        self._made = made
        self._ready: deque[T] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        self._look_ahead(1)
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def _repr_html_(self) -> str:
        self._look_ahead(SHOWN + 1)
        return table_of(list(self._ready))

    def _look_ahead(self, count: int) -> None:
        while len(self._ready) < count and not self._pages.over:
            items = self._transport.run(self._pages.next())
            self._ready.extend(self._made(item) for item in items)
