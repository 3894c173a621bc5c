"""Our planes and coordinates are the reference's, with and without one-dimensional tensors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.engine import reference as ref
from workers.engine.checkpoint_files import CheckpointFiles
from workers.engine.normalisation import Kind, parameter_kind
from workers.engine.trajectory import Centring, principal_plane


@pytest.mark.parametrize("folder", ref.FOLDERS)
@pytest.mark.parametrize("included", ["all", "ignore_biasbn"])
@pytest.mark.parametrize(
    ("centring", "key"), [(Centring.FINAL, "uncentred"), (Centring.MEAN, "centred_reference")]
)
def test_trajectory(folder: str, included: str, centring: Centring, key: str) -> None:
    net = ref.network(folder)
    want = ref.expected(folder)[f"trajectory_{included}"][key]
    names = [
        n for n in net.parameters if included == "all" or parameter_kind(net, n) is Kind.WEIGHT
    ]
    plane = principal_plane(
        net, CheckpointFiles(net, ref.checkpoint_files(folder)), centring=centring, names=names
    )
    assert plane.explained_variance[:2] == pytest.approx(want["explained_variance_ratio"], abs=1e-5)
    coordinates = np.array(want["abs_coordinates"])
    assert np.abs(plane.projection.coordinates) == pytest.approx(
        coordinates, abs=1e-4 * coordinates.max()
    )
