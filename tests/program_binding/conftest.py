"""Each network of the zoo exported once per session: exporting is what takes the time."""

from __future__ import annotations

import pytest

from tests.program_binding.exported import Case, exported
from tests.program_binding.zoo import KINDS


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    kind = request.param
    return exported(kind.make, kind.inputs(), tmp_path_factory.mktemp("program"))
