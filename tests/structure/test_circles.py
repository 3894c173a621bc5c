"""No module imports itself, however far around: types and late imports count as well."""

from __future__ import annotations

import graphlib
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules of one circle, in the order of their imports; empty where there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        found: list[str] = error.args[1][::-1]
        return found
    return []


def test_there_is_no_circle() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    graph = grimp.build_graph(*packages["root_packages"], cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 400
    assert circle(imports) == []


def test_a_circle_is_told() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(set(circle({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}))) == ["b", "c"]
