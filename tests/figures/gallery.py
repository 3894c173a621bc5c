"""Writes every case's figure into a folder, to be looked at.

python -m tests.figures.gallery FOLDER [PART OF A NAME]
"""

from __future__ import annotations

import sys
from pathlib import Path

from service.figures import render
from tests.figures import paths
from tests.figures.cases import cases


def main(folder: str, part: str = "") -> None:
    """Files named after the cases."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, case in (cases() | paths.cases()).items():
        if part in name:
            (out / f"{name}.png").write_bytes(render(case.grid, case.options))


if __name__ == "__main__":
    main(*sys.argv[1:])
