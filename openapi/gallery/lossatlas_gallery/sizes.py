"""How much is trained and mapped: four sizes of the same questions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lossatlas.errors import InputError


@dataclass(frozen=True)
class Size:
    """One size.

    Attributes:
        sections: slugs of the questions asked.
        side: of the enlarged digits, in pixels; 0 where the images come from a file.
        num, line_num, path_num, ratio_num: points a side of surfaces, lines, surfaces under paths
            and maps of eigenvalue ratios.
        reach: of lines along random directions that are not normalised, so that the step is of
            the weights' own size.
        repeats: directions of which such lines are the mean.
        samples, ratio_samples: of the training set, that surfaces and ratios are evaluated on.
        shallow, deep: layers of the residual networks; `narrow` is their width at k = 1.
        factors: k of the wider ones.
        batches: a small and a large batch; `decay` is the weight decay that is on or off there.
        drops: epochs of `batch_epochs` after which the learning rate drops.
    """

    name: str
    sections: tuple[str, ...]
    side: int = 16
    num: int = 25
    line_num: int = 41
    path_num: int = 25
    reach: float = 0.05
    repeats: int = 5
    ratio_num: int = 9
    samples: int = 500
    ratio_samples: int = 100
    shallow: int = 20
    deep: int = 56
    narrow: int = 4
    factors: tuple[int, ...] = (1, 2, 4)
    epochs: int = 30
    vgg_width: int = 8
    batches: tuple[int, int] = (16, 256)
    batch_epochs: int = 60
    drops: tuple[int, ...] = (36, 50)
    batch_rate: float = 0.05
    decay: float = 5e-3
    paper: bool = False


ALL: Final = ("depth", "width", "curvature", "line", "scale", "batch", "trajectory", "start")

SIZES: Final[Mapping[str, Size]] = {
    size.name: size
    for size in (
        Size(
            "tiny",
            ("batch", "trajectory"),
            side=8,
            num=5,
            path_num=5,
            samples=64,
            vgg_width=2,
            batches=(64, 512),
            batch_epochs=3,
            drops=(2,),
        ),
        Size(
            "small",
            ALL,
            side=8,
            num=11,
            line_num=21,
            path_num=11,
            ratio_num=3,
            samples=200,
            ratio_samples=64,
            shallow=8,
            deep=20,
            factors=(1, 2),
            epochs=10,
            vgg_width=4,
            batch_epochs=15,
            drops=(9, 12),
        ),
        Size("standard", ALL),
        Size(
            "full",
            ALL,
            side=0,
            num=51,
            line_num=101,
            path_num=51,
            ratio_num=51,
            samples=10_000,
            ratio_samples=1_000,
            narrow=16,
            epochs=300,
            vgg_width=64,
            batches=(128, 8192),
            batch_epochs=300,
            drops=(150, 225, 275),
            batch_rate=0.1,
            decay=5e-4,
            paper=True,
        ),
    )
}


def size_of(name: str) -> Size:
    """The size of that name. Raises InputError naming those there are."""
    if name not in SIZES:
        raise InputError(f"SIZE {name!r}: give one of {', '.join(SIZES)}")
    return SIZES[name]
