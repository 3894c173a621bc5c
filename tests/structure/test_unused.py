"""What the product defines, the product uses: nothing is kept for its own test's sake."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
FOLDERS = ("service", "workers", "openapi/client", "openapi/gallery")
_WORD: Final = re.compile(r"\w+")
#: What users of the client and people with a prompt reach for, and what waits for its removal.
REASONS: Final = {
    "LossatlasCallback": "users hand it to their training library",
    "DenseOperator": "the worked example in the documentation of the engine's operators",
    "JOB_KINDS": "goes with the registry of kinds",
    "figure_key": "the store's layout; results are to build their keys by it",
}


def defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants of a module; what a decorator registers is used by that."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.decorator_list or "dataclass" in ast.unparse(node.decorator_list[0]):
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name))


def used(tree: ast.Module) -> Iterator[str]:
    """Names that are read, and words of texts: the names of modules, handlers and fields."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield from _WORD.findall(node.value)
        elif isinstance(node, ast.alias) and node.asname is not None:
            yield node.name


def unused(trees: list[ast.Module], beside: Sequence[ast.Module] = ()) -> list[str]:
    """Names that neither these modules nor those `beside` them use."""
    uses = Counter(name for tree in (*trees, *beside) for name in used(tree))
    return sorted(
        {n for tree in trees for n in defined(tree) if not uses[n] and not n.startswith("__")}
    )


def _parsed(folder: str) -> list[ast.Module]:
    return [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_everything_is_used() -> None:
    trees = [tree for folder in FOLDERS for tree in _parsed(folder)]
    assert len(trees) > 400
    # Alembic reads the names in a migration
    found = unused(trees, _parsed("migrations"))
    assert [name for name in found if name not in REASONS] == []


def test_what_is_unused_is_told() -> None:
    tree = ast.parse(
        '"""kept"""\nimport a\nLEFT: int = 1\nKEPT = 2\ndef kept(): ...\ndef left(): kept\n'
        '@a.route\ndef registered(): "left"\nprint("KEPT")\n'
    )
    assert unused([tree]) == ["LEFT", "left"]
