"""Nothing that ships can unpickle, evaluate or compile what was uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.forbidden import findings

ROOT = Path(__file__).parents[2]
FOLDERS = ("service", "workers", "openapi/client", "openapi/gallery", "migrations")


def _files() -> list[Path]:
    return [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"build", "node_modules"} & set(path.relative_to(ROOT).parts)
    ]


def test_shipped_code_has_none() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{finding.line}: {finding.what}"
        for path in _files()
        for finding in findings(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_looks_at_every_part() -> None:
    """The walk is not empty: each folder has files, and a known one is among them."""
    files = _files()
    for folder in FOLDERS:
        assert any(path.is_relative_to(ROOT / folder) for path in files), folder
    assert ROOT / "service" / "programs" / "program.py" in files
    assert ROOT / "workers" / "child.py" in files


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import torch\ntorch.load(p)", "torch.load"),
        ("import torch as t\nt.load(p)", "torch.load"),
        ("from torch import load\nload(p)", "torch.load"),
        ("from torch import load as read", "torch.load"),
        ("import torch\nread = torch.load", "torch.load"),
        ("import torch\nt = torch\nread = t\nread.load(p)", "torch.load"),
        ("import torch\ngetattr(torch, 'load')(p)", "torch.load"),
        ("import torch\nmap(torch.load, paths)", "torch.load"),
        ("import torch\ntorch.load(p, weights_only=True)", "torch.load"),
        ("import torch.export\ntorch.export.load(p)", "torch.export.load"),
        ("from torch.export import load as e\ne(p)", "torch.export.load"),
        ("from torch import export\nexport.load(p)", "torch.export.load"),
        ("import torch\ntorch.jit.load(p)", "torch.jit.load"),
        ("from torch.jit import load", "torch.jit.load"),
        ("import torch.serialization as s\ns.load(p)", "torch.serialization.load"),
        ("import pickle", "pickle"),
        ("import pickle as p", "pickle"),
        ("from pickle import loads", "pickle"),
        ("def f():\n    import _pickle", "_pickle"),
        ("import importlib\nimportlib.import_module('pickle')", "pickle"),
        ("from importlib import import_module\nimport_module('dill')", "dill"),
        ("import dill", "dill"),
        ("from cloudpickle import load", "cloudpickle"),
        ("import marshal", "marshal"),
        ("import shelve", "shelve"),
        ("import joblib\njoblib.load(p)", "joblib"),
        ("from joblib import load", "joblib"),
        ("import numpy as np\nnp.load(p)", "numpy.load"),
        ("import numpy as np\nnp.load(p, allow_pickle=True)", "numpy.load"),
        ("import numpy as np\nnp.load(p, allow_pickle=True)", "allow_pickle"),
        ("import numpy as np\nnp.load(p, allow_pickle=flag)", "numpy.load"),
        ("import numpy as np\nnp.load(p, None, False)", "numpy.load"),
        ("from numpy import load\nload(p)", "numpy.load"),
        ("import numpy as np\nread = np.load", "numpy.load"),
        ("import numpy\nnumpy.lib.format.read_array(f)", "numpy.lib.format.read_array"),
        ("eval('1')", "builtins.eval"),
        ("exec(code)", "builtins.exec"),
        ("compile(code, 'x', 'exec')", "builtins.compile"),
        ("run = eval\nrun(text)", "builtins.eval"),
        ("list(map(eval, texts))", "builtins.eval"),
        ("import builtins\nbuiltins.eval(text)", "builtins.eval"),
        ("import builtins as b\ngetattr(b, 'exec')(text)", "builtins.exec"),
        ("from builtins import eval as e", "builtins.eval"),
        ("__import__('os')", "builtins.__import__"),
        ("import sympy\nsympy.sympify(text)", "sympy.sympify"),
        ("from sympy import sympify as s\ns(text)", "sympy.sympify"),
        ("import yaml\nyaml.load(text)", "yaml.load"),
        ("from yaml import load\nload(text)", "yaml.load"),
        ("import pandas as pd\npd.read_pickle(p)", "pandas.read_pickle"),
        ("from torch import *", "torch.*"),
    ],
)
def test_finds(source: str, what: str) -> None:
    assert what in {finding.what for finding in findings(source)}


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('x')",
        "import torch\nmodule.eval()\ntorch.compile(module)",
        "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import json\njson.load(f)",
        "import yaml\nyaml.safe_load(f)",
        "from safetensors.torch import load_file\nload_file(p)",
        "import torch\ntorch.export.save(p, f)",
        "entry.load()",
        "session.exec(query)",
    ],
)
def test_leaves_alone(source: str) -> None:
    assert findings(source) == []
