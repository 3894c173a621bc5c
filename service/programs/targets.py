"""What the target of a serialised node may be, and what to say of one that may not.

Names only: no target is ever looked up in Python or in PyTorch.
"""

from __future__ import annotations

import re
from typing import Final

from service.programs.schema import schema_of

_OPERATOR: Final = re.compile(
    r"torch\.ops\.([A-Za-z_][A-Za-z0-9_]{0,63})\.([A-Za-z_][A-Za-z0-9_]{0,127})"
    r"(?:\.([A-Za-z_][A-Za-z0-9_]{0,63}))?"
)

#: Arithmetic on sizes that the graph keeps.
SIZE_ARITHMETIC: Final = {
    "_operator.add": "sym.add",
    "_operator.sub": "sym.sub",
    "_operator.mul": "sym.mul",
    "_operator.floordiv": "sym.floordiv",
    "_operator.mod": "sym.mod",
    "_operator.neg": "sym.neg",
    "torch.sym_max": "sym.max",
    "torch.sym_min": "sym.min",
}
#: Arithmetic and comparisons that occur in the tracer's assertions; of no use elsewhere.
ASSERTED: Final = frozenset(
    {
        "_operator.eq",
        "_operator.ne",
        "_operator.le",
        "_operator.ge",
        "_operator.lt",
        "_operator.gt",
        "_operator.and_",
        "_operator.or_",
        "_operator.pos",
        "_operator.pow",
        "_operator.truediv",
        "_operator.lshift",
        "_operator.rshift",
        "math.trunc",
        "torch.sym_not",
        "torch.sym_ite",
        "torch.sym_int",
        "torch.sym_float",
        "torch.sym_sqrt",
    }
)

#: Operators that write in place, with the one that computes the same anew.
_ANEW: Final = {
    "aten.pow_.Scalar": "aten.pow.Tensor_Scalar",
    "aten.pow_.Tensor": "aten.pow.Tensor_Tensor",
    "aten.transpose_.default": "aten.transpose.int",
    "aten.zero_.default": "aten.zeros_like.default",
    "aten.fill_.Scalar": "aten.full_like.default",
}

#: Why well-known operators are not on the list, by the beginning of their names.
_REASONS: Final = (
    (
        r"(?:rand|normal|bernoulli|multinomial|poisson$|uniform|exponential|rrelu|.*dropout)",
        "draws random numbers, so that the loss would not be a function; remove it",
    ),
    (
        r"(?:empty|new_empty|resize|.*_like_empty)",
        "returns uninitialised memory; use zeros",
    ),
    (
        r"(?:as_strided|set_$|from_file|_local_scalar_dense|item|storage|data_ptr|_reinterpret)",
        "reads storages, files or values behind the graph's back; use ordinary indexing",
    ),
    (
        r"(?:copy_|fill_|index_put_|index_copy_|scatter_|masked_scatter|index_fill_|index_add_)",
        "writes into part of a tensor; save `exported.run_decompositions({})`, which has no such "
        "writes, or build the result anew with torch.where, torch.cat or torch.full",
    ),
    (
        r"(?:lstm|gru|rnn|quantized_)",
        "is a recurrent layer, which is not supported; use attention or convolutions",
    ),
    (
        r"(?:sym_is_contiguous|nonzero|unique|masked_select|bincount|histc)",
        "has a result whose size depends on data; use torch.where with a mask",
    ),
)


def operator_of(target: str) -> str | None:
    """`aten.name.overload` when the target is an operator of ATen that may be used."""
    match = _OPERATOR.fullmatch(target)
    if match is None or match[1] != "aten" or match[3] is None:
        return None
    operator = f"aten.{match[2]}.{match[3]}"
    return operator if schema_of(operator) is not None else None


def anew(operator: str) -> str:
    """The operator that computes what one in place writes."""
    if operator in _ANEW:
        return _ANEW[operator]
    _, name, overload = operator.split(".")
    return f"aten.{name.removesuffix('_')}.{overload}"


def refusal_of(target: str) -> tuple[str, str]:
    """Code and explanation for a target that `operator_of` does not know."""
    shown = f"{target[:120]!r}"
    match = _OPERATOR.fullmatch(target)
    if match is None:
        return (
            "forbidden_operator",
            f"{shown} is not an operator; programs are made of ATen operators only",
        )
    namespace, name = match[1], match[2]
    if namespace == "higher_order":
        if "triton" in name or "call_torchbind" in name:
            return "custom_objects", f"{shown} calls code that the archive names; it is never run"
        if name.startswith("wrap_with_"):
            return (
                "control_flow",
                f"{shown} comes from torch.no_grad() or torch.autocast() inside forward; take it "
                "out, and use detach() where no gradient shall pass",
            )
        return (
            "control_flow",
            f"{shown} is control flow or a checkpointed region; write the module without it",
        )
    if namespace != "aten":
        return (
            "custom_operator",
            f"{shown} belongs to the namespace {namespace!r}; only PyTorch's own aten operators "
            "are taken: write it with ordinary tensor operations",
        )
    for pattern, why in _REASONS:
        if re.match(pattern, name.removeprefix("_")) or re.match(pattern, name):
            return "forbidden_operator", f"the operator {shown} {why}"
    return (
        "forbidden_operator",
        f"the operator {shown} is not among those that are taken; write it with simpler "
        "operations of torch",
    )
