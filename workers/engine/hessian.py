"""Products of the mean loss's Hessian with vectors.

Owns the ways to form them, all through `torch.func`: with g = ∇L,

    swept     the pull-back of g is recorded once per batch of samples and swept back for every
              vector in turn (reverse over reverse)
    vmapped   the same, for all vectors at once
    forward   the push-forward of g, one vector at a time (forward over reverse)

They agree but for rounding, and another form moves the last bits of a product, so which one a job
takes follows from the job alone and never from a clock (`preferred_forms`, `choose_form`): products
of the program tried in that form must be those of the plain one, `swept`, which has the last word.

On a CPU `swept` it is. A block of eight takes it, in milliseconds on one thread, passes kept:
ResNet-8 372 (`vmapped` 477, `forward` 595), two convolutions 587 (1321, 1121), a perceptron of half
a million weights 274 (322, 556); and where others win, in networks whose products take
milliseconds, by a third at most.

A recorded pull-back holds the activations of both passes. Where all of them
fit they are kept (`retain`), and a product costs the second backward pass alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from workers.engine.errors import InputInvalid
from workers.engine.objective import LocalObjective, differentiating
from workers.engine.operators import rademacher_block
from workers.engine.vocabulary import Vocabulary

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


def preferred_forms(device: torch.device, block: int) -> tuple[HessianForm, ...]:
    """Forms in the order in which they are to be tried, the plain one last.

    A device of thousands of cores is kept busy by all vectors of a block at once; elsewhere, and
    for single vectors, nothing beats the plain form by as much as a wrong choice loses.
    """
    if device.type == "cuda" and block > 1:
        return (HessianForm.VMAPPED, HessianForm.SWEPT)
    return (HessianForm.SWEPT,)


def choose_form(
    objective: LocalObjective,
    *,
    block: int = 8,
    forms: tuple[HessianForm, ...] | None = None,
) -> HessianForm:
    """The first of `forms` (default: `preferred_forms`) that works; the plain one where none does.

    A form works where its products of a whole block and of a shorter one, over the first batch and
    over the last, ragged one, are the plain form's but for rounding. Whatever else it does, be it
    that it raises something (operators raise all sorts of things under vmap and in forward mode) or
    that its products are others (vmapped derivatives of rare operators have been seen wrong), it is
    passed over.

    Raises:
        CurvatureUnsupported: the program cannot be differentiated twice: so says the plain form.
    """
    if forms is None:
        forms = preferred_forms(objective.device, block)
    for form in forms:
        if form is HessianForm.SWEPT or _works(objective, form, block):
            return form
    return HessianForm.SWEPT


def _works(objective: LocalObjective, form: HessianForm, block: int) -> bool:
    for trial in objective.ends():
        for count in sorted({block, min(2, block)}):
            plain = HessianOperator(trial, block=block)
            vectors = rademacher_block(plain, count, 0, "trial")
            expected = plain.apply(vectors)
            try:
                products = HessianOperator(trial, form=form, block=block).apply(vectors)
            except Exception:  # noqa: BLE001 - see above: the plain form's error is the truth
                return False
            if not _agree(products, expected):
                return False
    return True


def _agree(products: Tensor, expected: Tensor) -> bool:
    scale = float(torch.linalg.vector_norm(expected))
    error = float(torch.linalg.vector_norm(products - expected))
    return error <= _SAME[expected.dtype] * scale  # not so where either is not finite
