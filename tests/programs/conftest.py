"""Archives that torch wrote, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs.networks import CASES, Case, export, prepared

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The path of each case's archive, by the case's name."""
    folder = tmp_path_factory.mktemp("programs")
    paths = {}
    for case in CASES:
        paths[case.name] = folder / f"{case.name}.pt2"
        export(prepared(case.make), case.inputs(3), paths[case.name], case.dynamic)
    return paths


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture(params=["digits_mlp", "digits_convnet"])
def reference(request: pytest.FixtureRequest) -> Path:
    return REFERENCE / str(request.param) / "program.pt2"
