"""Batch sizes and memory formats that were measured before, by program and kind of machine.

Owns a folder with one small file for each. Several worker processes share it: a file appears by an
atomic rename. What it says only saves a measurement: losing it costs a fraction of a second, and a
file that cannot be read counts as absent. Imports no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from service.domain.digests import digest_json, hex_of

_LARGEST_BATCH: Final = 1 << 16


class KnownBatchings:
    """A folder of choices. Safe for many processes at once."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, readable by the owner alone. Raises OSError when it cannot."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def known(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """`{batch_size, channels_last, device}`, or None where nothing was measured."""
        try:
            found = json.loads(self._path(key).read_text())
            size, device = found["batch_size"], found["device"]
            channels_last = found["channels_last"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if type(size) is not int or not 1 <= size <= _LARGEST_BATCH:
            return None
        if type(channels_last) is not bool or type(device) is not str:
            return None
        return {"batch_size": size, "channels_last": channels_last, "device": device}

    def keep(self, key: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Remembers a choice; a folder that cannot be written to remembers nothing."""
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".")
            with os.fdopen(descriptor, "w") as file:
                json.dump(dict(choice), file)
            Path(name).replace(self._path(key))

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self._folder / f"{hex_of(digest_json({**key, 'machine': machine()}))}.json"


@cache
def machine() -> str:
    """The kind of machine that a measurement is good for: the processor's model and number."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model} x {os.cpu_count()}"
