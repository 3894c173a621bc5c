"""Every bound the reader enforces, in one place.

They are far above what networks need and far below what would hurt the process that checks.
"""

from __future__ import annotations

from typing import Final

MIB: Final = 1 << 20

MAX_ARCHIVE_BYTES: Final = 64 << 30
MAX_MEMBERS: Final = 40_000
MAX_NAME_BYTES: Final = 512
#: The graph carries stack traces of every node: a deep transformer has some 15 MiB of them.
MAX_GRAPH_JSON_BYTES: Final = 64 * MIB
MAX_CONFIG_JSON_BYTES: Final = 32 * MIB
MAX_SMALL_MEMBER_BYTES: Final = 64
#: Our own canonical form, without traces.
MAX_CANONICAL_BYTES: Final = 64 * MIB

MAX_NODES: Final = 50_000
MAX_VALUES: Final = 200_000
MAX_TENSORS: Final = 20_000
MAX_INPUTS: Final = 64
MAX_ARGUMENTS: Final = 32
#: Tensors in one list (cat, stack), or outputs of one operator (split, unbind).
MAX_LIST: Final = 4_096
MAX_RANK: Final = 16
MAX_TENSOR_ELEMENTS: Final = 1 << 34
MAX_SYMBOL_EXPRESSION: Final = 4_096

#: PyTorch's own bound on a tensor's dimensions.
MAX_DIMENSIONS: Final = 64

#: Any literal integer that is not an end of a slice.
MAX_LITERAL: Final = (1 << 31) - 1
#: Product of the literal sizes given to one operator that makes a tensor of them.
MAX_LITERAL_ELEMENTS: Final = 1 << 28
#: Product of the factors by which one operator may enlarge a tensor.
MAX_ENLARGEMENT: Final = 1 << 16
#: Padding per side, kernel sizes, strides and dilations.
MAX_WINDOW: Final = 1 << 16
MAX_STRING: Final = 256

INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
