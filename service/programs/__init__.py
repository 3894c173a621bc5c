"""The torch-free half of the safe program reader: archives and graphs checked, never executed.

`read_program` reads an archive here; `check_in_child` does so in a short-lived, limited process and
is what the service calls on uploads. Neither imports torch, nor runs anything of the archive.
"""

from __future__ import annotations

from service.programs.checking import check_in_child
from service.programs.graph import Graph
from service.programs.program import Program, read_program
from service.programs.refusal import ProgramRefused
from service.programs.signature import Signature

__all__ = [
    "Graph",
    "Program",
    "ProgramRefused",
    "Signature",
    "check_in_child",
    "read_program",
]
