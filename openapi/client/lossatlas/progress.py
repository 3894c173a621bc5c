"""Progress for people: a bar on a terminal or in a notebook, a line now and then in a log.

Writes to stderr only, or to the notebook's cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from lossatlas import display
from lossatlas.display import in_notebook
from lossatlas.printable import for_terminal

#: A log gets a line at least so far apart, unless the words change.
_LINE_SECONDS: Final = 10.0
#: A notebook's bar moves so often at most.
_CELL_SECONDS: Final = 0.2
#: Smaller files are sent before a bar could be read.
_BAR_BYTES: Final = 8 << 20


class Reporter(Protocol):
    """Hears how far something is."""

    def __call__(
        self, done: int, total: int | None, words: str, picture: bytes | None = None
    ) -> None:
        """`done` of `total` (None while unknown), with a few words about it, and a PNG."""


@contextmanager
def following(title: str, *, unit: str = "cells", shown: bool = True) -> Iterator[Reporter]:
    """Shows the progress of a job."""
    console = Console(stderr=True)
    if not shown:
        yield _silent
    elif in_notebook():
        with _cell(title, unit) as report:
            yield report
    elif console.is_terminal:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TextColumn("{task.fields[words]}", markup=False),
        ]
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task(for_terminal(title), total=None, words="")

            def on_bar(
                done: int, total: int | None, words: str, picture: bytes | None = None
            ) -> None:
                bar.update(task, completed=done, total=total, words=for_terminal(words))

            yield on_bar
    else:
        yield _lines(console, title, unit)


@contextmanager
def sending(title: str, size: int, *, shown: bool = True) -> Iterator[Reporter]:
    """Shows the progress of a large upload; small ones are silent."""
    console = Console(stderr=True)
    if not shown or size < _BAR_BYTES:
        yield _silent
    elif in_notebook():
        with _cell(title, "bytes") as report:
            yield report
    elif console.is_terminal:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        ]
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task(for_terminal(title), total=size)

            def on_bar(
                done: int, total: int | None, words: str, picture: bytes | None = None
            ) -> None:
                bar.update(
                    task, completed=done, total=total, description=for_terminal(words or title)
                )

            yield on_bar
    else:
        yield _lines(console, title, "bytes")


def _silent(done: int, total: int | None, words: str, picture: bytes | None = None) -> None:
    return None


@contextmanager
def _cell(title: str, unit: str) -> Iterator[Reporter]:
    """A bar in a notebook's cell, with a picture below it; it goes when the work is done."""
    handle = display.shown(display.bar(0, None, title))
    last_at = 0.0
    last_picture: bytes | None = None

    def on_bar(done: int, total: int | None, words: str, picture: bytes | None = None) -> None:
        nonlocal last_at, last_picture
        now = time.monotonic()
        last_picture = picture or last_picture
        if picture is not None or now - last_at >= _CELL_SECONDS or done == total:
            last_at = now
            below = "" if last_picture is None else display.image(last_picture, title)
            words = f"{unit} · {title} · {words}"
            display.replace(handle, display.bar(done, total, words) + below)

    try:
        yield on_bar
    finally:
        display.replace(handle, "")


def _lines(console: Console, title: str, unit: str) -> Reporter:
    last_words: str | None = None
    last_at = 0.0

    def line(done: int, total: int | None, words: str, picture: bytes | None = None) -> None:
        nonlocal last_words, last_at
        head = words.split(",")[0]
        now = time.monotonic()
        if head == last_words and now - last_at < _LINE_SECONDS:
            return
        last_words, last_at = head, now
        count = "" if total is None else f" {done}/{total} {unit}"
        console.print(
            for_terminal(f"{title}: {words}{count}"),
            markup=False,
            highlight=False,
            soft_wrap=True,
            emoji=False,
        )

    return line
