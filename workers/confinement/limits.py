"""The resource limits of a child, which hold on every machine; none of them can be raised again.

Owns the numbers. Private memory is RLIMIT_DATA (heap and private writable mappings), not
RLIMIT_AS: CUDA reserves more addresses than any machine has memory, and maps what it uses from
its devices. Shared memory, which RLIMIT_DATA does not count, is refused by the filter of system
calls.
"""

from __future__ import annotations

import math
import os
import re
import resource
import time
from pathlib import Path
from typing import Final

from workers.confinement.terms import Terms

#: A child writes no files; what it may write is the tail of its own standard error.
_FILE_BYTES: Final = 16 << 20
_OPEN_FILES: Final = 1024

#: Threads of the libraries (CUDA's, the allocators', timers) beside those that compute.
_THREADS: Final = 256
#: Where a user id is shared the kernel counts all that user's threads, on this machine and in
#: containers beside us that we do not see.
_SHARED_THREADS: Final = 8192
#: The first Linux that counts a namespace's threads by themselves.
_COUNTED_BY_NAMESPACE: Final = (5, 14)

#: Beside a request's own: imports, the first kernels, and what was begun before.
_CPU_SECONDS: Final = 120.0

#: The most willing of all processes to be killed when the machine's memory runs out.
_FIRST_TO_GO: Final = 1000


def apply(terms: Terms) -> None:
    """Everything that does not depend on who this process is."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if terms.memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, terms.memory_bytes)
    allow_cpu(terms)
    Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))


def apply_threads(terms: Terms) -> None:
    """How many threads there may be; further processes are refused by the filter.

    Call it as the user that the process stays.
    """
    count = most_threads(terms.threads)
    _lower(resource.RLIMIT_NPROC, count if _counted_alone(terms) else count + _SHARED_THREADS)


def most_threads(threads: int) -> int:
    """Of a child that computes with so many."""
    return _THREADS + 4 * threads


def allow_cpu(terms: Terms) -> None:
    """Gives the next request its processor time: its seconds on each processor.

    The supervisor's clock is the limit that callers are told of. This one needs no supervisor.
    """
    if terms.cpu_seconds is None:
        return
    processors = len(os.sched_getaffinity(0))
    allowed = time.process_time() + _CPU_SECONDS + terms.cpu_seconds * processors
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(allowed) if hard == resource.RLIM_INFINITY else min(math.ceil(allowed), hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _counted_alone(terms: Terms) -> bool:
    if terms.user is not None:
        return True
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return terms.alone and release >= _COUNTED_BY_NAMESPACE


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))
