"""How much memory a stream of 1 GiB into the store takes, and how fast it goes.

On the S3 server that the environment names, or on an embedded one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import SecretStr

from service.settings import Settings
from tests.benchmarks import timing
from tests.store.memory import measure
from tests.support.servers import fresh_bucket, running

MIB = (64, 1024)


def run() -> None:
    """Prints and keeps the peak growth of resident memory for a short and a long stream."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as servers,
        fresh_bucket(servers.s3) as bucket,
    ):
        settings = Settings(
            s3_endpoint=servers.s3["S3_ENDPOINT"],
            s3_access_key=servers.s3["S3_ACCESS_KEY"],
            s3_secret_key=SecretStr(servers.s3["S3_SECRET_KEY"]),
            s3_bucket=bucket,
        )
        for mib in MIB:
            taken = measure(settings, mib)
            row = {
                "mib": mib,
                "peak_growth_mib": round(taken["growth_bytes"] / (1 << 20), 1),
                "mib_per_second": round(mib / taken["seconds"], 1),
            }
            rows.append(row)
            print(
                f"{mib:6d} MiB streamed: memory grew by {row['peak_growth_mib']} MiB at most, "
                f"{row['mib_per_second']} MiB/s"
            )
    print(f"written to {timing.write('upload_memory', {'streams': rows}).name}")
