"""A process of its own that streams into the store and says how much memory it took.

Run as `python -m tests.store.memory MIB`, with the store in the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from service.settings import Settings
from service.store.objects import ObjectStore

_MIB = 1 << 20
_PIECE = 1 << 16


class Counter:
    """Bytes made as they are read: every 64 KiB differ, and no two salts give the same object."""

    def __init__(self, size: int, salt: bytes) -> None:
        self._size = size
        self._salt = salt
        self._at = 0

    def read(self, size: int) -> bytes:
        number, skipped = divmod(self._at, _PIECE)
        size = min(size, self._size - self._at, _PIECE - skipped)
        self._at += size
        block = hashlib.sha256(self._salt + number.to_bytes(8, "big")).digest()
        return (block * (_PIECE // len(block)))[skipped : skipped + size]


def measure(settings: Settings, mib: int) -> dict[str, float]:
    """Streams `mib` MiB in a new process.

    Returns:
        bytes sent; how far resident memory rose above what it was before, in bytes; seconds.
    """
    environment = {
        **os.environ,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_BUCKET": settings.s3_bucket,
        "S3_REGION": settings.s3_region,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.store.memory", str(mib)],
        env=environment,
        cwd=Path(__file__).parents[2],
        check=True,
        stdout=subprocess.PIPE,
        timeout=280,
    )
    told: dict[str, float] = json.loads(ran.stdout)
    return told


def main() -> int:
    size = int(sys.argv[1]) * _MIB
    store = ObjectStore.from_settings(Settings())
    salt = os.urandom(16)
    state, source = hashlib.sha256(), Counter(size, salt)
    while piece := source.read(_MIB):
        state.update(piece)
    store.put_bytes(salt)  # connections, buffers and modules are there before the measurement
    before = _peak()
    began = time.perf_counter()
    sent = store.put_stream(f"sha256:{state.hexdigest()}", Counter(size, salt), size=size)
    seconds = time.perf_counter() - began
    print(json.dumps({"bytes": sent, "growth_bytes": _peak() - before, "seconds": seconds}))
    return 0


def _peak() -> int:
    """The process's largest resident size so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak memory")


if __name__ == "__main__":
    raise SystemExit(main())
