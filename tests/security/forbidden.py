"""Finds, in Python source, what could run uploaded content: by its syntax tree, aliases included.

A mention is enough, called or not: passing `eval` on is as bad as calling it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Modules that turn bytes into objects by running what the bytes say.
MODULES: Final = frozenset(
    {"pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "marshal", "shelve"}
    | {"joblib", "jsonpickle", "imp"}
)
#: Functions that load, evaluate or compile, by their full names.
NAMES: Final = frozenset(
    {
        "torch.load",
        "torch.serialization.load",
        "torch.export.load",
        "torch.export.pt2_archive.load_pt2",
        "torch.jit.load",
        "torch.hub.load",
        "torch.package.PackageImporter",
        "torch.classes.load_library",
        "torch.ops.load_library",
        "sympy.sympify",
        "sympy.parse_expr",
        "sympy.parsing.sympy_parser.parse_expr",
        "yaml.load",
        "yaml.load_all",
        "yaml.unsafe_load",
        "yaml.full_load",
        "pandas.read_pickle",
        "numpy.lib.npyio.load",
        "runpy.run_path",
        "builtins.eval",
        "builtins.exec",
        "builtins.compile",
        "builtins.__import__",
    }
)
#: Loaders of numpy that are harmless when told in so many words never to unpickle.
CONDITIONAL: Final = frozenset(
    {"numpy.load", "numpy.lib.format.read_array", "numpy.lib.format.open_memmap"}
)
_BUILTINS: Final = frozenset({"eval", "exec", "compile", "__import__", "getattr"})
_NO_STAR: Final = frozenset({"torch", "numpy", "builtins", "sympy", "yaml", "pandas"}) | MODULES


@dataclass(frozen=True, order=True)
class Finding:
    line: int
    what: str


def findings(source: str) -> list[Finding]:
    """Everything forbidden in one file, by line."""
    tree = ast.parse(source)
    names = _names(tree)
    found: set[Finding] = set()
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        found.update(Finding(line, what) for what in _of_import(node))
        found.update(Finding(line, what) for what in _of_use(node, tree, names))
    return sorted(found)


def _names(tree: ast.Module) -> dict[str, str]:
    """What the file's names stand for: imports, and plain assignments of imported things."""
    names = {name: f"builtins.{name}" for name in _BUILTINS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for _ in range(3):  # an alias of an alias of an alias
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and (path := _path(node.value, names)):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        names[target.id] = path
    return names


def _path(node: ast.AST, names: dict[str, str]) -> str | None:
    """The full name that an expression stands for, when that is plain to see."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        inner = _path(node.value, names)
        return f"{inner}.{node.attr}" if inner else None
    if (
        isinstance(node, ast.Call)
        and _path(node.func, names) == "builtins.getattr"
        and len(node.args) >= 2
        and isinstance(node.args[1], ast.Constant)
    ):
        inner = _path(node.args[0], names)
        return f"{inner}.{node.args[1].value}" if inner else None
    return None


def _of_import(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] in MODULES:
                yield alias.name
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        root = node.module.partition(".")[0]
        if root in MODULES:
            yield node.module
        for alias in node.names:
            if alias.name == "*" and root in _NO_STAR:
                yield f"{node.module}.*"
            elif f"{node.module}.{alias.name}" in NAMES:
                yield f"{node.module}.{alias.name}"
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute | ast.Name)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id)
        == "import_module"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).partition(".")[0] in MODULES
    ):
        yield str(node.args[0].value)


def _of_use(node: ast.AST, tree: ast.Module, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not _is_false(node.value):
        yield "allow_pickle"
    if not isinstance(node, ast.Name | ast.Attribute | ast.Call):
        return
    path = _path(node, names)
    if path in NAMES and not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
        yield path
    if path in CONDITIONAL and not isinstance(node, ast.Call) and not _told(node, tree):
        yield path


def _told(loader: ast.AST, tree: ast.Module) -> bool:
    """Whether this mention of a loader is a call with `allow_pickle=False`, literally."""
    return any(
        isinstance(node, ast.Call)
        and node.func is loader
        and any(word.arg == "allow_pickle" and _is_false(word.value) for word in node.keywords)
        for node in ast.walk(tree)
    )


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
