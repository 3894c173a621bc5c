"""What a bound program says when one of its operators fails.

Owns the sentence that names the operator and where it stands. A program that may not be bound at
all is refused with `service.programs.refusal.ProgramRefused`.
"""

from __future__ import annotations

from service.programs.graph import Node


class OperatorFailed(RuntimeError):
    """An operator of a program could not be computed with the tensors it was given.

    Attributes:
        operator: `aten.name.overload`.
        position: the node's position in the program as it was exported.
        reason: what the operator said, first line.
    """

    def __init__(self, node: Node, index: int, error: Exception) -> None:
        self.operator = node.operator
        self.position = node.origin if node.origin >= 0 else index
        lines = str(error).strip().splitlines()
        self.reason = lines[0] if lines else type(error).__name__
        super().__init__(f"{self.operator} (node {self.position} of the program): {self.reason}")
