"""Ids grow within a process, whatever the clock does and however many threads make them."""

from __future__ import annotations

import threading
import time

import pytest

from service.domain.ids import is_id
from service.ledger.ids import new_id


def test_ids_of_one_millisecond_grow() -> None:
    made = [new_id("job") for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(is_id("job", identity) for identity in made)


def test_ids_grow_though_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("key")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600 * 10**9)
    assert new_id("key") > before


def test_threads_make_different_ids() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend([new_id("unt") for _ in range(2_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8_000
