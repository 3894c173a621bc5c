"""The child of `checking`: limits itself, reads one archive, prints the verdict as one JSON line.

    python -I -m service.programs.check PATH

Prints `{"signature": …}` or `{"refused": …}` and exits 0. Any other ending is a failure of the
check itself, and the parent says so.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Final

from service.programs.program import read_program
from service.programs.refusal import ProgramRefused

#: A transformer's graph file of the largest size taken needs 0.4 GiB once parsed.
MEMORY_BYTES: Final = 1 << 30
CPU_SECONDS: Final = 30
_OPEN_FILES: Final = 16
_TOO_LARGE: Final = ProgramRefused(
    "graph_too_large", "reading the graph takes more memory than any network needs"
)


def main(path: Path) -> None:
    """Prints the verdict on the archive at `path`."""
    _limit()
    try:
        with read_program(path) as program:
            verdict = {"signature": program.signature.to_json()}
    except ProgramRefused as refusal:
        verdict = {"refused": refusal.to_json()}
    except MemoryError:
        verdict = {"refused": _TOO_LARGE.to_json()}
    sys.stdout.write(json.dumps(verdict, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _limit() -> None:
    """No file is written, no process started, and time and memory are bounded."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _, hard = resource.getrlimit(what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
