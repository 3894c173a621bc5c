"""The child's beginning: it confines itself before anything else.

    python -I -m workers.child TERMS REQUEST_FD REPLY_FD

Owns the order. What it serves is imported afterwards: numpy and torch start threads, and what a
process gives up later they would keep.
"""

from __future__ import annotations

import sys

# found while the folder that our packages lie in may still be listed
import service.domain.problems  # noqa: F401
from workers.confinement.applied import confine
from workers.confinement.terms import Terms


def main(arguments: list[str]) -> int:
    terms = Terms.of(arguments[0])
    request_fd, reply_fd = (int(argument) for argument in arguments[1:])
    confine(terms)
    from workers.session import serve

    serve(terms, request_fd, reply_fd)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
