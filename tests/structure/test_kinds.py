"""A kind of question has one home in the domain and one in the workers; nothing else names it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.domain.questions.table import kinds, questions

ROOT = Path(__file__).parents[2]
HOMES: Final = ("service/domain/questions", "workers/questions")
#: By file, words of kinds that mean something else there, or show a kind as an example.
REASONS: Final[dict[str, dict[str, str]]] = {
    "service/catalog/comparing.py": {"surface": "the view"},
    "service/domain/derived/ends.py": {"line": "where points lie, in a sentence"},
    "service/exports/page/document.py": {"line": "what the page's script draws"},
    "service/exports/page/values.py": {"trajectory": "the path that the page's script draws"},
    "service/figures/options.py": {"surface": "the view"},
    "service/figures/relief.py": {"surface": "the name of Matplotlib's axes"},
    "service/http/examples.py": {"surface": "a view, and a kind as an example"},
    "service/jobs/schemas.py": {"surface": "an example"},
    "service/landscapes/documented.py": {"surface": "the name of an example"},
    "service/landscapes/schemas.py": {"surface": "an example"},
    "service/landscapes/sharing/schemas.py": {"surface": "a view in an example"},
}


def named(tree: ast.Module, words: frozenset[str]) -> Iterator[str]:
    """Words that are a whole text, or the name of a class, wherever they stand."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if text in words:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                # what a variable is called is its own affair
                if name in words and name[0].isupper():
                    yield name


def _words() -> frozenset[str]:
    return frozenset(kinds()) | {question.spec.__name__ for question in questions()}


def test_nothing_else_names_a_kind() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted((*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py"))):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(HOMES):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if words := set(named(tree, _words())):
                found[place] = words
    # in both directions: a reason for what is gone goes too
    assert found == {place: set(reasons) for place, reasons in REASONS.items()}


def test_a_kinds_name_is_told() -> None:
    tree = ast.parse(
        "from service.domain.questions.line.spec import LineJob\n"
        "line = 'a line'\n"
        "if isinstance(spec, spec_types.SurfaceJob) or body.get('curvature'): line.line\n"
    )
    assert sorted(named(tree, _words())) == ["LineJob", "SurfaceJob", "curvature"]
