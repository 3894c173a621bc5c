"""Confines this process, once and for good, as its terms say.

Owns the order: what needs a right comes before that is given up.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from workers.confinement import filesystem, identity, landlock, limits, seccomp
from workers.confinement.system import prctl
from workers.confinement.terms import Terms

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def confine(terms: Terms) -> None:
    """Call it first thing, with a single thread.

    Raises:
        OSError: something that the terms ask for is not to be had; nothing may be computed then.
    """
    if terms.own_root:
        filesystem.enter(terms.readable, terms.devices)
    if terms.folder is not None:
        # by it files are reached for whose folders above the way is closed afterwards
        os.chdir(terms.folder)
    limits.apply(terms)
    rules = None
    if terms.landlock:
        rules = landlock.ruleset(terms.readable, terms.devices)
    if terms.user is not None:
        identity.take_user(terms.user)
    if terms.namespace:
        identity.enter_namespace()
    limits.apply_threads(terms)
    identity.drop_capabilities()
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # only now: the kernel forgets it when a process changes its user
    die_with_parent(terms.parent)
    if rules is not None:
        landlock.restrict(rules)
    if terms.filtered:
        seccomp.install(with_devices=bool(terms.devices))


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends.

    Args:
        parent: its process; 0 where a process namespace hides that.
    """
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        # it died between starting us and the line above
        os._exit(1)
