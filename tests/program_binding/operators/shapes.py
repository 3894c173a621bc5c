"""Cases of shapes, joining, splitting and selecting, and of tensors made of literals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.graph import Dtype, MemoryFormat
from tests.program_binding.operators.case import OperatorCase, case, draw

_X: Final = draw(2, 3, 2, 4)
_M: Final = draw(3, 4)
_ONE: Final = draw(2, 1, 3, 1)


def _shapes() -> list[OperatorCase]:
    return [
        case("view", _M, (2, 6)),
        case("reshape", _X, (6, -1)),
        case("_unsafe_view", _M, (2, 6)),
        case("view_as", _M, draw(2, 6)),
        case("reshape_as", _X, draw(6, 8)),
        case("flatten.using_ints", _X),
        case("flatten.using_ints", _X, 1, 2, note="part"),
        case("unflatten.int", _X, 3, (2, -1)),
        case("squeeze", _ONE),
        case("squeeze.dim", _ONE, 1),
        case("squeeze.dims", _ONE, (1, 3)),
        case("unsqueeze", _X, 1),
        case("transpose.int", _X, 1, -1),
        case("t", _M),
        case("permute", _X, (0, 2, 3, 1)),
        case("movedim.int", _X, 1, -1),
        case("movedim.intlist", _X, (0, 1), (2, 3)),
        case("swapaxes", _X, 0, 2),
        case("swapdims", _X, 0, 2),
        case("numpy_T", _M),
        case("mT", _X),
        case("adjoint", _X),
        case("expand", _ONE, (2, 4, -1, 2)),
        case("expand_as", _ONE, draw(2, 4, 3, 2)),
        case("broadcast_to", _ONE, (2, 4, 3, 2)),
        *(case("broadcast_tensors", (_ONE, draw(4, 1, 2)), results=2, read=r) for r in (0, 1)),
        case("repeat", _M, (2, 1, 2)),
        case("repeat_interleave.self_int", _M, 2, 1),
        case("repeat_interleave.self_int", _M, 2, note="flat"),
        case("tile", _M, (2, 2)),
        case("flip", _X, (1, 3)),
        case("roll", _X, (1, -1), (1, 3)),
        case("roll", _M, (2,), note="flat"),
        case("rot90", _M),
        case("rot90", _X, 3, (2, 3), note="thrice"),
        case("pixel_shuffle", draw(2, 4, 2, 3), 2),
        case("pixel_unshuffle", draw(2, 2, 4, 6), 2),
        case("channel_shuffle", draw(2, 4, 2, 3), 2),
        case("unfold", _X, 3, 2, 1),
        case("im2col", draw(2, 3, 5, 4), (2, 3), (1, 1), (1, 1), (2, 1)),
        case("diagonal", _X, 1, 2, 3),
        case("diag", _M, 1),
        case("diag", draw(3), -1, note="of a vector"),
        case("tril", _X, 1),
        case("triu", _X, -1),
    ]


def _pieces() -> list[OperatorCase]:
    pair = (draw(2, 3), draw(2, 3))
    found = [case(name, (_M, draw(2, 4))) for name in ("cat", "concat", "concatenate")]
    found += [case(name, (_M, draw(3, 2)), 1, note="dim") for name in ("cat", "concat")]
    found += [case(name, pair) for name in ("hstack", "vstack", "dstack")]
    for name, rest in (
        ("chunk", (2, 3)),
        ("split.Tensor", (2, 3)),
        ("split.sizes", ((1, 3), 3)),
        ("split_with_sizes", ((1, 3), 3)),
        ("unsafe_split.Tensor", (2, 3)),
        ("unsafe_chunk", (2, 3)),
        ("tensor_split.sections", (2, 3)),
        ("unbind.int", (2,)),
    ):
        found += [case(name, _X, *rest, results=2, read=read) for read in (0, 1)]
    return [
        *found,
        case("stack", pair, 1),
        case("slice.Tensor", _X, 3, 1, 4, 2),
        case("slice.Tensor", _X, 3, note="whole"),
        case("slice.Tensor", _X, 1, -2, 9223372036854775807, note="from behind"),
        case("select.int", _X, 1, -1),
        case("narrow", _X, 3, 1, 2),
        *(case("meshgrid", (draw(3), draw(4)), results=2, read=read) for read in (0, 1)),
        *(
            case("meshgrid.indexing", (draw(3), draw(4)), indexing="xy", results=2, read=read)
            for read in (0, 1)
        ),
        case("cartesian_prod", (draw(3), draw(2))),
    ]


def _of_part(name: str) -> Callable[..., Tensor]:
    """PyTorch has no derivative in a source that is larger than the index."""
    operator = getattr(torch, name.partition(".")[0])

    def formula(**given: Any) -> Tensor:
        rows, columns = given["index"].shape
        part = given.pop("src")[:rows, :columns]
        rest = (given.pop(key) for key in ("self", "dim", "index"))
        result: Tensor = operator(*rest, part, **given)
        return result

    return formula


def _by_index() -> list[OperatorCase]:
    rows = torch.tensor([[0, 2, 1, 2], [1, 0, 2, 1]])
    few, flags = torch.tensor([2, 0, 2]), torch.tensor([True, False, True])
    written = draw(2, 4)
    found = []
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for own in (True, False):
            about = f"{reduce}, {'with' if own else 'without'} self"
            found.append(
                case(
                    "scatter_reduce.two", _M, 0, rows, written, reduce, include_self=own, note=about
                )
            )
    whole = torch.arange(12).reshape(3, 4) % 5
    zeros = draw(2, 4, special=(0.0, 0.0, 1.0, 0.0))
    return [
        *found,
        *(
            case(
                "scatter_reduce.two", whole, 0, rows, whole[:2] + 1, reduce, note=f"whole {reduce}"
            )
            for reduce in ("sum", "prod", "amax")
        ),
        case("scatter_add", whole, 0, rows, whole[:2], note="whole"),
        case("scatter.src", whole, 0, rows[:1], whole[:2], note="whole"),
        case("scatter_reduce.two", _M, 0, rows, zeros, "prod", note="products with zeros"),
        *(
            case(
                name,
                *(draw(3, 4), 1, torch.tensor([[0, 2, 1], [3, 0, 1]]), draw(3, 5), *rest),
                note="part of a source" + "".join(f", {word}" for word in rest),
                formula=_of_part(name),
            )
            for name, *rest in (
                ("scatter.src",),
                ("scatter_add",),
                ("scatter_reduce.two", "sum"),
                ("scatter_reduce.two", "prod"),
            )
        ),
        case("index_select", _M, 0, few),
        case("gather", _M, 0, rows),
        case("gather", _M, 0, rows, sparse_grad=True, note="sparse"),
        case("index.Tensor", _M, (few,)),
        case("index.Tensor", _X, (None, few, None, torch.tensor([1, 1, 3])), note="two"),
        case("index.Tensor", _M, (flags,), note="mask"),
        case("take_along_dim", _M, rows, 0),
        case("take_along_dim", _M, torch.tensor([1, 5, 5]), note="flat"),
        case("index_put", _M, (torch.tensor([2, 0]),), draw(2, 4)),
        case("index_put", _M, (few,), draw(3, 4), True, note="accumulated"),
        case("index_put", _M, (flags,), draw(), note="mask"),
        case("select_scatter", _M, draw(4), 0, 1),
        case("slice_scatter", _X, draw(2, 3, 2, 2), 3, 0, 4, 2),
        case("slice_scatter", _X, draw(2, 3, 2, 4), 3, note="whole"),
        case("scatter.src", _M, 0, torch.tensor([[0, 2, 1, 2]]), draw(1, 4)),
        case("scatter.value", _M, 0, rows, 0.5),
        case("scatter_add", _M, 0, rows, written),
        case("index_add", _M, 0, few, draw(3, 4), alpha=-1.5),
    ]


def _copied(self: Tensor, src: Tensor) -> Tensor:
    """PyTorch has no derivative of `copy`."""
    return src + torch.zeros_like(self)


def _copies() -> list[OperatorCase]:
    single: dict[str, Any] = {"dtype": Dtype("float32")}
    return [
        case("clone", _X),
        case("clone", _X, memory_format=MemoryFormat("channels_last"), note="format"),
        case("contiguous", _X, memory_format=MemoryFormat("channels_last")),
        case("detach", _X, frozen=True),
        case("alias", _X),
        case("lift_fresh_copy", _X),
        case("lift_fresh", _X),
        case("to.dtype", _X, Dtype("float32")),
        case(
            "to.dtype",
            _X,
            Dtype("float32"),
            False,
            True,
            MemoryFormat("channels_last"),
            note="last",
        ),
        case("to.dtype", torch.arange(3), Dtype("float32"), note="whole numbers"),
        case("to.dtype_layout", _X, **single),
        case("to.dtype_layout", _X, note="nothing"),
        case("to.other", _X, draw(2)),
        case("_to_copy", _X, **single),
        case("type_as", torch.arange(6), draw(2)),
        case("type_as", _X, draw(2), note="alike"),
        case("copy", _M, draw(4), formula=_copied),
        case("copy", _M, draw(3, 4), note="alike", formula=_copied),
        case("copy", torch.zeros(3, 4), draw(3, 1), note="into literals", formula=_copied),
        case("fill.Scalar", _M, 0.5),
        case("fill.Tensor", _M, draw()),
        case("zero", _M),
    ]


def _literals() -> list[OperatorCase]:
    single: dict[str, Any] = {"dtype": Dtype("float32")}
    of_size = [
        case(name, (2, 3), **more)
        for name in ("zeros", "ones")
        for more in ({}, {**single, "note": "typed"})
    ]
    return [
        *of_size,
        case("full", (2, 3), 0.3),
        case("full", (2, 3), 3, dtype=Dtype("int64"), note="whole"),
        case("zeros_like", _M),
        case("ones_like", _M),
        case("full_like", _M, 0.3),
        case("new_zeros", _M, (2, 2)),
        case("new_ones", _M, (2, 2)),
        case("new_full", _M, (2, 2), 0.3),
        case("arange", 4),
        case("arange", 2.5, note="fraction"),
        case("arange.start", 1, 4),
        case("arange.start_step", 0, 9, 2),
        case("linspace", 0, 1, 5),
        case("eye", 3),
        case("eye.m", 2, 3),
        case("scalar_tensor", 0.3),
        case("tril_indices", 3, 4),
        case("triu_indices", 3, 4, 1),
    ]


CASES: Final = (*_shapes(), *_pieces(), *_by_index(), *_copies(), *_literals())
