"""No more eigenvalues than parameters, known before any work is done."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.problems import Problem
from service.domain.questions.curvature.eigenvalues import parameters_left, require_eigenvalues
from service.domain.questions.curvature.spec import CurvatureJob
from service.domain.questions.table import job_spec

ID = "0" * 26
SIGNATURE = {
    "parameters": [
        {"name": "conv.weight", "shape": [2, 1, 3, 3], "normalisation": False},
        {"name": "conv.bias", "shape": [2], "normalisation": False},
        {"name": "norm.weight", "shape": [2], "normalisation": True},
        {"name": "norm.bias", "shape": [2], "normalisation": True},
        {"name": "scale", "shape": [], "normalisation": False},
    ]
}


def _asked(**changes: Any) -> CurvatureJob:
    job = {"kind": "curvature", "origin": f"ckp_{ID}", "datasets": [f"dst_{ID}"], **changes}
    spec = job_spec().validate_python(job)
    assert isinstance(spec, CurvatureJob)
    return spec


@pytest.mark.parametrize(
    ("exclude", "left"), [([], 25), (["bias"], 22), (["norm"], 21), (["bias", "norm"], 18)]
)
def test_as_many_as_there_are_parameters_may_be_asked_for(exclude: list[str], left: int) -> None:
    assert parameters_left(SIGNATURE, _asked(exclude=exclude).exclude) == left
    require_eigenvalues(_asked(largest=left, smallest=left, exclude=exclude), SIGNATURE)
    for end in ("largest", "smallest"):
        with pytest.raises(Problem) as refused:
            require_eigenvalues(_asked(**{end: left + 1}, exclude=exclude), SIGNATURE)
        assert refused.value.kind.status == 422
        assert [error.pointer for error in refused.value.errors] == [f"/{end}"]
        assert f"there are {left}" in refused.value.errors[0].detail
    with pytest.raises(Problem) as refused:
        require_eigenvalues(_asked(largest=left + 1, smallest=99, exclude=exclude), SIGNATURE)
    assert [error.pointer for error in refused.value.errors] == ["/largest", "/smallest"]


def test_one_parameter_has_both_ends() -> None:
    single = {"parameters": [SIGNATURE["parameters"][-1]]}
    require_eigenvalues(_asked(), single)
    with pytest.raises(Problem, match="1 parameter has as many"):
        require_eigenvalues(_asked(largest=2), single)


def test_nothing_left_is_said() -> None:
    single = {"parameters": [SIGNATURE["parameters"][-1]]}
    with pytest.raises(Problem) as refused:
        require_eigenvalues(_asked(exclude=["bias"]), single)
    assert refused.value.errors[0].pointer == "/exclude"
