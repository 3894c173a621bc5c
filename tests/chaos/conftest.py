"""A Lossatlas of these tests' own, with short leases, that they may do anything to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.victim import Victim
from tests.support.live import Live

#: Short leases make the tests quick; one test runs at the defaults.
QUICK = {
    "LOSSATLAS_LEASE_SECONDS": "5",
    "LOSSATLAS_BEAT_SECONDS": "1",
    "LOSSATLAS_CANCEL_POLL_SECONDS": "0.5",
    "LOSSATLAS_REAPER_SECONDS": "1",
    "LOSSATLAS_HINT_RESEND_SECONDS": "2",
    "LOSSATLAS_TILE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """Two workers on a private folder, digits_convnet pushed."""
    live = Live(tmp_path_factory.mktemp("chaos") / "data", workers=2, env=QUICK)
    try:
        yield Victim.start(live)
        live.stop()
    finally:
        live.kill()
