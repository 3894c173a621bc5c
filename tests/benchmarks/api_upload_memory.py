"""Peak resident memory of the API while 1 GiB is uploaded through it, as any client would.

The peak is the kernel's own (VmHWM) of the API process, before and after.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tests.benchmarks.timing import write
from tests.support import processes
from tests.support.live import Live

MIB = 1 << 20
SIZE_MIB = 1024
CLAIM_MIB = 100


def pieces() -> Iterator[bytes]:
    """1 GiB that no store could guess, a MiB at a time."""
    for number in range(SIZE_MIB):
        yield hashlib.sha256(str(number).encode()).digest() * (MIB // 32)


def run() -> None:
    digest = hashlib.sha256()
    for piece in pieces():
        digest.update(piece)
    name = f"sha256:{digest.hexdigest()}"
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as folder:
        live = Live(Path(folder) / "data", workers=1)
        try:
            api = live.start()
            if live.process is None:
                raise AssertionError("up is not running")
            (process,) = [
                p for p in processes.descendants(live.process.pid) if p.runs("-m", "service", "api")
            ]
            api.put_object(b"the first upload imports and allocates what every one needs")
            before = _peak(process.pid)
            began = time.perf_counter()
            answer = httpx2.put(
                f"{api.url}/v1/objects/{name}",
                content=pieces(),
                headers={"Authorization": f"Bearer {api.key}"},
                timeout=600.0,
            )
            seconds = time.perf_counter() - began
            if answer.status_code != 201:
                raise AssertionError(answer.text)
            growth = (_peak(process.pid) - before) / MIB
            live.stop()
        finally:
            live.kill()
    held = growth < CLAIM_MIB
    print(
        f"{SIZE_MIB} MiB in {seconds:.1f} s ({SIZE_MIB / seconds:.0f} MiB/s): the API's peak grew "
        f"by {growth:.1f} MiB, from {before / MIB:.0f} MiB: {'held' if held else 'BROKEN'}"
    )
    write(
        "api_upload_memory",
        {
            "claim": f"an upload of 1 GiB grows the API's peak by < {CLAIM_MIB} MiB",
            "held": held,
            "mib": SIZE_MIB,
            "peak_growth_mib": round(growth, 1),
            "peak_before_mib": round(before / MIB, 1),
            "mib_per_second": round(SIZE_MIB / seconds, 1),
        },
    )


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no peak")
