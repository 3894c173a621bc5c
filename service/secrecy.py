"""Keeps a process's secrets to itself once its settings are read.

Owns taking them out of the environment, the kernel's copy included, and closing this process's
memory to others of the same user. Whoever starts programs afterwards hands on what they need.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, SecretStr

from service.settings import Settings

_PR_SET_DUMPABLE: Final = 4

#: Fields that hold a secret within a longer text, or a name that goes with one.
_BESIDE: Final = ("database_url", "broker_url", "s3_access_key")

#: In /proc/self/stat, counted from the state on: where the environment lies.
_ENVIRONMENT_FROM: Final = 47


def variables() -> list[str]:
    """The environment's variables that hold secrets of ours."""
    found = []
    for name, field in Settings.model_fields.items():
        if field.annotation is SecretStr or name in _BESIDE:
            alias = field.validation_alias
            found += (
                [str(alias.choices[0])]
                if isinstance(alias, AliasChoices)
                else [f"{Settings.model_config['env_prefix']}{name.upper()}"]
            )
    return found


def keep() -> None:
    """Takes the secrets out of this process's environment and closes its memory to others.

    Call it when the settings have been read, before threads and other processes are started.
    """
    names = variables()
    _blank(names)
    for name in names:
        os.environ.pop(name, None)
    close_memory()


def close_memory() -> None:
    """No core dumps, no debugger but root's, and no look by others of this user into /proc."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _blank(names: list[str]) -> None:
    """Overwrites the values where the kernel put them at the start, for /proc/self/environ."""
    # what cannot be seen here cannot be seen by others either
    with contextlib.suppress(OSError, ValueError, IndexError):
        whole = Path("/proc/self/environ").read_bytes()
        status = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = (int(each) for each in status[_ENVIRONMENT_FROM : _ENVIRONMENT_FROM + 2])
        if end - begin < len(whole):
            return
        place = begin
        for entry in whole.split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name.decode(errors="replace") in names:
                ctypes.memset(place + len(name) + 1, 0, len(value))
            place += len(entry) + 1
