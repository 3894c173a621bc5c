"""The layout of a data set's file, judged from its header."""

from __future__ import annotations

import pytest

from service.datasets.contents import read_contents
from service.domain.problems import Problem
from service.inputs.fit import StoredTensor


def tensors(**shapes: tuple[int, ...]) -> dict[str, StoredTensor]:
    return {
        name.replace("__", "."): StoredTensor(name.replace("__", "."), "float32", shape, 0, 0)
        for name, shape in shapes.items()
    }


def test_one_input() -> None:
    contents = read_contents(tensors(inputs=(5, 1, 8, 8), targets=(5,)))
    assert contents.samples == 5
    assert set(contents.inputs) == {""}


def test_named_inputs() -> None:
    contents = read_contents(tensors(inputs__ids=(5, 16), inputs__mask=(5, 16), targets=(5,)))
    assert set(contents.inputs) == {"ids", "mask"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (tensors(targets=(5,)), "no `inputs`"),
        (tensors(inputs=(5, 2)), "no `targets`"),
        (tensors(inputs=(5, 2), targets=(4,)), "'inputs' has 5, 'targets' has 4"),
        (tensors(inputs=(0, 2), targets=(0,)), "no samples"),
        (tensors(inputs=(5, 0), targets=(5,)), "size 0"),
        (tensors(inputs=(), targets=()), "no dimension"),
        (tensors(inputs=(5,), targets=(5,), labels=(5,)), "'labels' is neither"),
        (tensors(inputs=(5,), inputs__x=(5,), targets=(5,)), "one or the other"),
    ],
)
def test_faults_are_named_at_the_object(given: dict[str, StoredTensor], said: str) -> None:
    with pytest.raises(Problem) as caught:
        read_contents(given)
    assert caught.value.code == "dataset_invalid"
    assert {error.pointer for error in caught.value.errors} == {"/object"}
    assert said in caught.value.detail
