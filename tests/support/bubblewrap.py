"""Bubblewrap for the tests: the machine's, or Debian's package unpacked into a folder.

Owns where it comes from; installs nothing, so that what else runs here stays as it is.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SECONDS = 60.0


def bubblewrap(folder: Path) -> str | None:
    """Its path; None where there is none to be had."""
    found = shutil.which("bwrap")
    if found is not None or shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return found
    if not _done(["apt-get", "download", "-q", "bubblewrap"], folder):
        return None
    for package in folder.glob("bubblewrap_*.deb"):
        if _done(["dpkg", "-x", str(package), str(folder)], folder):
            return str(folder / "usr" / "bin" / "bwrap")
    return None


def _done(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
