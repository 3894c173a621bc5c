"""The GPUs of this machine, counted without torch and without asking a driver.

Owns nothing else: what they can do is the workers' to find out.
"""

from __future__ import annotations

import os
from pathlib import Path


def visible_devices() -> list[str]:
    """Names for `CUDA_VISIBLE_DEVICES`, one for each GPU; empty where there is none."""
    if os.environ.get("LOSSATLAS_DEVICE") == "cpu":
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name not in ("", "-1")]
    found = Path("/dev").glob("nvidia[0-9]*")
    return sorted((path.name.removeprefix("nvidia") for path in found), key=int)
