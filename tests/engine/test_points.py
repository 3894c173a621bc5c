"""A checkpoint's tensors taken as a point: tied ones under any of their names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.module_network import ModuleNetwork
from workers.engine.errors import ParametersInvalid
from workers.engine.network import split_point


class Tied(ModuleNetwork):
    """A linear map whose weight is known by a second name."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 2))
        self.tied = {"again.weight": "weight"}


WEIGHT, BIAS = torch.arange(6.0).reshape(2, 3), torch.zeros(2)


@pytest.mark.parametrize("names", [["weight"], ["again.weight"], ["weight", "again.weight"]])
def test_any_name_of_a_tied_tensor_will_do(names: list[str]) -> None:
    point = split_point(Tied(), {**dict.fromkeys(names, WEIGHT), "bias": BIAS})
    assert torch.equal(point.parameters["weight"], WEIGHT)


def test_tied_tensors_that_differ_are_refused() -> None:
    with pytest.raises(ParametersInvalid, match=r"again\.weight"):
        split_point(Tied(), {"weight": WEIGHT, "again.weight": WEIGHT + 1, "bias": BIAS})


def test_the_mapping_given_is_left_as_it_was() -> None:
    given = {"again.weight": WEIGHT, "bias": BIAS}
    split_point(Tied(), given)
    assert set(given) == {"again.weight", "bias"}
