"""`python -I -m workers.confinement.trial TERMS PATH…`: whether a confinement works here.

Owns what is tried: what a child needs must still be had, and what is promised must be refused.
Run as the child itself would be. Its last line of standard error says what is wrong.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from workers.confinement.applied import confine
from workers.confinement.terms import Terms

#: There on every machine, and no business of a child's.
_NOT_GIVEN: Final = "/etc/passwd"


def main(arguments: list[str]) -> int:
    terms = Terms.of(arguments[0])
    torch = find_spec("torch")
    needed = [os.__file__, __file__, *arguments[1:]]
    if torch is not None and torch.origin is not None:
        needed.append(torch.origin)
    confine(terms)
    for path in needed:
        if not os.access(path, os.R_OK):
            return _fail(f"{path} cannot be read")
        if os.path.isfile(path):
            Path(path).open("rb").close()
    thread = threading.Thread(target=str)
    thread.start()
    thread.join()
    if terms.filtered and _has_network():
        return _fail("the network can be reached")
    if (terms.landlock or terms.own_root) and _is_readable(_NOT_GIVEN):
        return _fail(f"{_NOT_GIVEN} can be read")
    return 0


def _has_network() -> bool:
    try:
        socket.socket(socket.AF_INET).close()
    except OSError:
        return False
    return True


def _is_readable(path: str) -> bool:
    try:
        Path(path).open("rb").close()
    except OSError:
        return False
    return True


def _fail(why: str) -> int:
    sys.stderr.write(why + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
