"""`make bench [ONLY=name]`: runs every benchmark module here and prints its table."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import tests.benchmarks as package

SUPPORT = {
    "timing",
    "networks",
    "published",
    "stacks",
    "children",
    "gemm",
    "exact_surfaces",
    # run by hand: it needs other packages
    "peers",
    "__main__",
}


def main() -> int:
    only = os.environ.get("ONLY", "")
    names = [m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in SUPPORT]
    chosen = [n for n in names if only in n]
    if not chosen:
        print(f"no benchmark matches {only!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
