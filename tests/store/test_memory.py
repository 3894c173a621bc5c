"""A stream of any length takes the memory of a few parts."""

from __future__ import annotations

from service.settings import Settings
from service.store.objects import ObjectStore
from tests.store.memory import measure


def test_a_stream_is_stored_in_constant_memory(settings: Settings, store: ObjectStore) -> None:
    taken = measure(settings, 256)
    assert taken["bytes"] == 256 << 20
    assert taken["growth_bytes"] < 64 << 20, taken
