"""How Hessian-vector products are computed: chosen once, since it can move a value's bits."""

from __future__ import annotations

from service.domain.plan import Part


class CurvaturePart(Part):
    """How Hessian-vector products are computed: chosen once, since it can move a value's bits.

    Attributes:
        form: of the product (`workers.engine.hessian.HessianForm`).
        retain: whether the graph of the gradient is kept between products.
        tolerance: of residuals, relative.
        max_products: of one Lanczos run: as asked, or as many as the memory has room for.
        probes_at_once: Lanczos runs of a density that are in memory together.
        steps: products that a single point takes at most; None for a map.
        memory_bytes: the setting that batch, `retain`, `max_products` and `probes_at_once` followed
            from; None in plans made before it was noted.
    """

    form: str
    retain: bool
    tolerance: float
    max_products: int
    probes_at_once: int
    steps: int | None
    memory_bytes: int | None = None

    @property
    def work(self) -> int | None:
        return self.steps

    @property
    def unit(self) -> str:
        return "cells" if self.steps is None else "products"
