"""Products of the mean loss's Hessian with vectors.

Owns the ways to form them, all through `torch.func`: with g = ∇L,

    swept     the pull-back of g is recorded once per batch of samples and swept back for every
              vector in turn (reverse over reverse)
    vmapped   the same, for all vectors at once
    forward   the push-forward of g, one vector at a time (forward over reverse)

They agree but for rounding, and none is the fastest everywhere, so a job tries them once
(`choose_form`) and keeps to one: another form moves the last bits of a product.

A recorded pull-back holds the activations of both passes. Where all of them
fit they are kept (`retain`), and a product costs the second backward pass alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from workers.engine.errors import CurvatureUnsupported, InputInvalid
from workers.engine.objective import LocalObjective, differentiating
from workers.engine.operators import rademacher_block
from workers.engine.vocabulary import Vocabulary

# Two forms whose speeds differ by less than this count as equal: the earlier one is taken, so that
# a busy machine does not turn the choice, and with it the last bits, from job to job.
_TIE = 0.1
# Relative difference that rounding can make between forms.
_SAME = {torch.float32: 1e-3, torch.float64: 1e-9}


class HessianForm(Vocabulary, of="form"):
    """How products are formed."""

    SWEPT = "swept"
    VMAPPED = "vmapped"
    FORWARD = "forward"


_Product = Callable[[Tensor], Tensor]


class HessianOperator:
    """H = ∇²L over an objective's parameters at its point: a `SymmetricOperator`.

    Attributes:
        layout: what vectors are made of.
        retain: whether pull-backs are kept between products; no use to `forward`.
    """

    def __init__(
        self,
        objective: LocalObjective,
        *,
        form: HessianForm = HessianForm.SWEPT,
        block: int = 8,
        retain: bool = False,
    ) -> None:
        """`block`: how many vectors go through one pull-back, or one vmap, at a time."""
        if block < 1:
            raise InputInvalid(f"a block has at least one vector, not {block}")
        self._objective = objective
        self._form = form
        self._block = block
        self.retain = retain and form is not HessianForm.FORWARD
        self.layout = objective.layout
        self.dtype = objective.dtype
        self.device = objective.device
        self._kept: list[_Product] = []

    def apply(self, block: Tensor) -> Tensor:
        """H on each row of `block`, shape (k, size) → (k, size). Summed over batches in float64.

        Raises:
            InputInvalid: the block has another shape.
            CurvatureUnsupported: an operator of the program has no second derivative.
            MemoryExceeded: naming the batch size that did not fit.
        """
        if block.dim() != 2 or block.shape[1] != self.layout.size:
            raise InputInvalid(
                f"a block has shape (k, {self.layout.size}), not {tuple(block.shape)}"
            )
        block = block.detach().to(self.device, self.dtype)
        out = torch.empty_like(block)
        with differentiating(self._objective.setting):
            for start in range(0, len(block), self._block):
                part = block[start : start + self._block]
                total = torch.zeros(part.shape, dtype=torch.float64, device=self.device)
                for product in self._products():
                    self._add(product, part, total)
                out[start : start + self._block] = total / self._objective.samples
        return out

    def release(self) -> None:
        """Lets go of what is kept between products; the next one records it again."""
        self._kept = []

    def _add(self, product: _Product, vectors: Tensor, total: Tensor) -> None:
        if self._form is HessianForm.VMAPPED and len(vectors) > 1:
            total += vmap(product)(vectors)
            return
        for vector, row in zip(vectors, total, strict=True):
            row += product(vector)

    def _products(self) -> Iterator[_Product]:
        """Per batch, the function v → ∇²(Σ ℓ_i) v."""
        if self._kept:
            yield from self._kept
            return
        made: list[_Product] = []
        for batch_loss in self._objective.batch_losses():
            product = self._product(batch_loss)
            if self.retain:
                made.append(product)
            yield product
        self._kept = made

    def _product(self, batch_loss: Callable[[Tensor], Tensor]) -> _Product:
        gradient, at = grad(batch_loss), self._objective.vector
        if self._form is HessianForm.FORWARD:

            def push(vector: Tensor) -> Tensor:
                tangent = jvp(gradient, (at,), (vector,))[1]
                assert isinstance(tangent, Tensor)  # noqa: S101 - of a function to one tensor
                return tangent

            return push
        back = vjp(gradient, at)[1]

        def pull(vector: Tensor) -> Tensor:
            (result,) = back(vector)
            assert isinstance(result, Tensor)  # noqa: S101 - of a function of one tensor
            return result

        return pull


def choose_form(
    objective: LocalObjective,
    *,
    block: int = 8,
    forms: tuple[HessianForm, ...] = tuple(HessianForm),
) -> HessianForm:
    """The fastest form for blocks of `block` vectors, by one trial of each on the first batch.

    Forms that the program's operators do not know, or whose products differ from the first one's
    beyond rounding, are passed over: vmapped derivatives of rare operators have been seen wrong.

    Raises:
        CurvatureUnsupported: the program cannot be differentiated twice.
    """
    trial = objective.first_batch()
    best, best_seconds = forms[0], float("inf")
    expected: Tensor | None = None
    for form in forms:
        operator = HessianOperator(trial, form=form, block=block)
        vectors = rademacher_block(operator, block, 0, "trial")
        try:
            products = operator.apply(vectors).cpu()
            begun = time.perf_counter()
            operator.apply(vectors).cpu()
            seconds = time.perf_counter() - begun
        except CurvatureUnsupported:
            if expected is None:
                raise
            continue
        if expected is None:
            expected = products
        elif not _agree(products, expected):
            continue
        if seconds < best_seconds * (1 - _TIE):
            best, best_seconds = form, seconds
    return best


def _agree(products: Tensor, expected: Tensor) -> bool:
    scale = float(torch.linalg.vector_norm(expected))
    error = float(torch.linalg.vector_norm(products - expected))
    return error <= _SAME[expected.dtype] * scale
