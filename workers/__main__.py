"""`lossatlas-server worker [--queues cpu] [--name NAME]`: one worker, with the right options.

Owns the command line only; the same as `celery -A workers.app worker` with what has no setting.
"""

from __future__ import annotations

import argparse
import sys

from workers.app import app, confinement_of
from workers.sandbox import ConfinementLacking


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lossatlas-server worker", description=__doc__)
    parser.add_argument("--queues", default="cpu", help="queues to listen to, comma-separated")
    parser.add_argument("--name", default="worker@%h", help="Celery's name for this worker")
    chosen = parser.parse_args(arguments)
    try:
        confinement_of()
    except ConfinementLacking as lacking:
        sys.stderr.write(f"lossatlas-server: {lacking}\n")
        return 2
    app.worker_main(
        [
            "worker",
            f"--hostname={chosen.name}",
            f"--queues={chosen.queues}",
            "--pool=prefork",
            "--concurrency=1",
            # workers need to know nothing of each other: the ledger decides
            "--without-mingle",
            "--without-gossip",
            "--without-heartbeat",
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
