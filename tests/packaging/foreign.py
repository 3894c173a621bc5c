"""A working folder whose own modules have our names, and must not be what runs."""

from __future__ import annotations

from pathlib import Path

NAMES = ("service", "workers", "migrations", "lossatlas", "torch", "celery", "numpy")


def foreign_folder(folder: Path) -> Path:
    """Makes it; whoever imports one of its packages fails, and says which."""
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            f"raise SystemExit('{name} is that of the working folder')\n"
        )
    return folder
