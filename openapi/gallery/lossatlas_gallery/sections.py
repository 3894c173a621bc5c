"""The questions: which networks each compares, along what, and how that is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lossatlas_gallery.findings import k_slug
from lossatlas_gallery.networks import Start
from lossatlas_gallery.recipes import Recipe
from lossatlas_gallery.sizes import Size

Kind = Literal["surface", "line", "across", "path", "ratio"]


@dataclass(frozen=True)
class Panel:
    """One landscape that is asked for and drawn.

    Attributes:
        network, other: slugs of recipes; a line goes from `network` to `other`.
        at: whether a surface lies around the trained weights or those at the start.
        normalize: of the random directions that a panel goes `across`.
        label: what the legend calls it beside others.
        beside: further panels in the same picture.
    """

    key: str
    title: str
    kind: Kind
    network: str
    other: str | None = None
    at: Literal["end", "start"] = "end"
    normalize: Literal["none", "filter"] = "filter"
    label: str = ""
    beside: tuple[Panel, ...] = ()

    @property
    def networks(self) -> tuple[str, ...]:
        """The recipes that it needs."""
        return (self.network,) if self.other is None else (self.network, self.other)


@dataclass(frozen=True)
class Row:
    """Panels drawn in the same way on one scale.

    Attributes:
        measure: the metric that is drawn.
        whole: whether the scale reaches the highest loss of all, or is cut to show the basins.
    """

    view: str
    panels: tuple[Panel, ...]
    measure: str = "loss"
    whole: bool = False


@dataclass(frozen=True)
class Section:
    """One question. `claim` is the paper's answer, in our words."""

    slug: str
    heading: str
    claim: str
    rows: tuple[Row, ...]


def recipes_of(size: Size) -> tuple[Recipe, ...]:
    """The networks that the size's sections need, those that take longest to map first."""
    found = [*_residual(size), *_batches(size), *_starts(size)]
    needed = {slug for panel in panels_of(size) for slug in panel.networks}
    return tuple(recipe for recipe in found if recipe.slug in needed)


def panels_of(size: Size) -> tuple[Panel, ...]:
    """Every landscape of the size, each once."""
    found = (
        panel
        for section in sections_of(size)
        for row in section.rows
        for shown in row.panels
        for panel in (shown, *shown.beside)
    )
    return tuple({panel.key: panel for panel in found}.values())


def sections_of(size: Size) -> tuple[Section, ...]:
    """The size's questions, in the page's order."""
    return tuple(section for section in _sections(size) if section.slug in size.sections)


def _sections(size: Size) -> Iterator[Section]:
    low, high = size.batches
    depth = [
        _surface(slug, title)
        for slug, title in (
            ("shallow-skip", f"{size.shallow} layers, skips"),
            ("shallow-plain", f"{size.shallow} layers, no skips"),
            ("deep-skip", f"{size.deep} layers, skips"),
            ("deep-plain", f"{size.deep} layers, no skips"),
        )
    ]
    yield Section(
        "depth",
        "Depth, with and without skip connections",
        "Without skip connections, the landscape of a network turns from nearly convex to chaotic "
        "as it gets deeper; with them it does not.",
        (Row("contour", tuple(depth)), Row("surface", tuple(depth), whole=True)),
    )
    widths = [_surface(k_slug(k), f"{size.deep} layers, no skips, k = {k}") for k in size.factors]
    yield Section(
        "width",
        "Width of the deep network without skips",
        "Wider networks have flatter minima and a landscape that is less chaotic, and generalise "
        "better.",
        (Row("contour", tuple(widths)),),
    )
    ratios = tuple(
        Panel(f"ratio-{slug}", title, "ratio", slug)
        for slug, title in (
            ("deep-skip", f"{size.deep} layers, skips"),
            ("deep-plain", f"{size.deep} layers, no skips"),
        )
    )
    yield Section(
        "curvature",
        "What the plane does not show: eigenvalues of the Hessian",
        "Where a plane looks convex, negative eigenvalues of the full Hessian are small against "
        "the positive ones; where it looks chaotic, they are not.",
        (Row("heatmap", ratios, measure="ratio"),),
    )
    lines = tuple(
        Panel(
            f"line-{word}",
            f"batch {low} (α = 0) to batch {high} (α = 1), {_decay_words(size, word)}",
            "line",
            f"batch-small-{word}",
            f"batch-large-{word}",
        )
        for word in ("off", "on")
    )
    yield Section(
        "line",
        "Small against large batches on one line",
        "The width that a line between two minima shows follows the size of the weights: with "
        "weight decay turned on, the order of small and large batch is reversed. So it says "
        "nothing about generalisation.",
        (Row("curve", lines), Row("weights", lines)),
    )
    yield Section(
        "scale",
        "Why directions are normalised",
        "Along random directions as they are drawn, the network with the smaller weights looks "
        "sharper, however well it generalises. Filter-normalised, that is gone, and sharpness goes "
        "with the test error.",
        tuple(
            Row("curve", tuple(_across(size, normalize, word) for word in ("off", "on")))
            for normalize in ("none", "filter")
        ),
    )
    yield Section(
        "batch",
        "Small against large batches, filter-normalised",
        "Compared along filter-normalised directions, small batches find flatter minima than large "
        "ones, and those generalise better.",
        (
            Row(
                "contour",
                tuple(
                    _surface(f"batch-{end}-{word}", f"batch {batch}, {_decay_words(size, word)}")
                    for word in _decays(size)
                    for end, batch in (("small", low), ("large", high))
                ),
            ),
        ),
    )
    yield Section(
        "trajectory",
        "The path of training",
        "A path of SGD lies in very few dimensions: two principal components hold 40 to 90 % of "
        "its variation, and random planes almost nothing.",
        (
            Row(
                "contour",
                tuple(
                    Panel(f"path-{end}", f"batch {batch}", "path", f"batch-{end}-on")
                    for end, batch in (("small", low), ("large", high))
                ),
            ),
        ),
    )
    yield Section(
        "start",
        "Where training begins",
        "A normalised initialisation puts a network where the loss is low and the landscape "
        "convex; a naive one may put it where it cannot be trained.",
        (
            Row(
                "contour",
                tuple(
                    Panel(
                        f"start-{how}",
                        f"{words}, before training: the centre is the untrained network",
                        "surface",
                        f"start-{how}",
                        at="start",
                    )
                    for how, words in (("he", "He"), ("naive", "naive"))
                ),
                # a naive start lies above the cut as a whole
                whole=True,
            ),
            Row(
                "contour",
                tuple(
                    _surface(f"start-{how}", f"{words}, after training")
                    for how, words in (("he", "He"), ("naive", "naive"))
                ),
            ),
        ),
    )


def _residual(size: Size) -> list[Recipe]:
    # quickly trained and slowly mapped ones first: the service is not to wait for the widest
    found = [
        _resnet(size, f"{word}-{kind}", depth, skip=kind == "skip")
        for word, depth in (("deep", size.deep), ("shallow", size.shallow))
        for kind in ("plain", "skip")
    ]
    wider = [
        _resnet(size, k_slug(k), size.deep, skip=False, factor=k)
        for k in sorted(size.factors[1:], reverse=True)
    ]
    return [*found[:2], *wider, *found[2:]]


def _resnet(size: Size, slug: str, depth: int, *, skip: bool, factor: int = 1) -> Recipe:
    title = f"ResNet-{depth}" if skip else f"ResNet-{depth} without skips"
    return Recipe(
        slug=slug,
        title=title if factor == 1 else f"{title}, {factor} times as wide",
        family="resnet",
        depth=depth,
        width=size.narrow * factor,
        skip=skip,
        epochs=size.epochs,
        **_paper(size),
    )


def _paper(size: Size) -> dict[str, Any]:
    """The paper's regime where that is asked for."""
    if not size.paper:
        return {}
    return {
        "batch": 128,
        "rate": 0.1,
        "schedule": "drops",
        "drops": (150, 225, 275),
        "augment": True,
    }


def _batches(size: Size) -> list[Recipe]:
    return [
        Recipe(
            slug=f"batch-{end}-{word}",
            title=f"VGG-like, batch {batch}, {_decay_words(size, word)}",
            family="vgg",
            width=size.vgg_width,
            batch=batch,
            rate=size.batch_rate,
            decay=size.decay if word == "on" else 0.0,
            epochs=size.batch_epochs,
            schedule="drops",
            drops=size.drops,
            keep=word == "on",
            augment=size.paper,
        )
        for word in ("on", "off")
        for end, batch in zip(("small", "large"), size.batches, strict=True)
    ]


def _starts(size: Size) -> list[Recipe]:
    starts: tuple[tuple[Start, str], ...] = (("he", "He"), ("naive", "naive"))
    return [
        Recipe(
            slug=f"start-{how}",
            title=f"VGG-like without batch norm, {words} start",
            family="vgg-plain",
            width=size.vgg_width,
            start=how,
            rate=0.02,
            epochs=size.epochs,
            batch=128 if size.paper else 64,
        )
        for how, words in starts
    ]


def _across(size: Size, normalize: Literal["none", "filter"], word: str) -> Panel:
    """Both networks' mean lines along random directions, in one picture."""
    words = "as drawn" if normalize == "none" else "filter-normalised"
    small, large = (
        Panel(
            f"across-{normalize}-{end}-{word}",
            f"directions {words}: batch {batch}, {_decay_words(size, word)}",
            "across",
            f"batch-{end}-{word}",
            normalize=normalize,
            label=f"batch {batch}",
        )
        for end, batch in zip(("small", "large"), size.batches, strict=True)
    )
    title = f"directions {words}, {_decay_words(size, word)}"
    return replace(small, title=title, beside=(large,))


def _surface(slug: str, title: str) -> Panel:
    return Panel(f"surface-{slug}", title, "surface", slug)


def _decays(size: Size) -> Sequence[str]:
    return ("off", "on") if "line" in size.sections else ("on",)


def _decay_words(size: Size, word: str) -> str:
    return f"weight decay {size.decay:g}" if word == "on" else "no weight decay"
