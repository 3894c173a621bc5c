"""Every library that the code imports is owned: a contract says who may import it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
OURS = ("service", "workers", "migrations", "lossatlas")

#: Free to all: arrays, and values that check themselves.
FREE = {"numpy", "pydantic", "pydantic_core"}


def test_every_library_has_an_owner() -> None:
    graph = grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)
    imported = {module for module in graph.modules if graph.is_module_squashed(module)}
    assert {"torch", "sqlalchemy", "fastapi"} <= imported
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    owned = {module for each in contracts for module in each.get("protected_modules", ())}
    assert imported - set(sys.stdlib_module_names) - owned == FREE
