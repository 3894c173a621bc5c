"""Reads a program archive: from a path to a checked graph, its signature and its tensors.

Owns the order of the steps. Every step refuses what it does not know; none executes, unpickles or
evaluates anything of the archive. Sample inputs, guards, ranges, traces and other metadata are not
looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from service.programs import limits
from service.programs.container import Container
from service.programs.graph import Graph
from service.programs.interface import read_interface
from service.programs.members import (
    CONSTANTS,
    CONSTANTS_CONFIG,
    GRAPH,
    WEIGHTS,
    WEIGHTS_CONFIG,
    ProgramFiles,
    open_files,
)
from service.programs.nodes import read_nodes
from service.programs.payload import StoredTensor, read_config
from service.programs.pruning import pruned
from service.programs.refusal import EXPORT_HINT
from service.programs.roles import with_roles
from service.programs.signature import Signature, signature_of
from service.programs.strictjson import Reader, parse
from service.programs.validation import validate

#: The major version of the layout of torch's graph files; minor versions add what may be ignored.
_SCHEMA: Final = 8


@dataclass(frozen=True)
class Program:
    """A checked program, its archive open. Use as a context manager.

    Attributes:
        graph: safe to bind.
        signature: what it takes and gives.
        tensors: where the bytes of each of the graph's tensors are, by name.
    """

    graph: Graph
    signature: Signature
    tensors: Mapping[str, StoredTensor]
    container: Container

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.container.__exit__()

    def contiguous(self, name: str) -> bytes:
        """The elements of a tensor of the graph, little-endian, row-major.

        Raises:
            KeyError: the graph has no such tensor.
            ProgramRefused: `archive_inconsistent` when the bytes do not match their checksum.
        """
        return self.tensors[name].contiguous(self.container)


def read_program(path: Path) -> Program:
    """Reads and checks an archive that torch.export.save wrote.

    Raises:
        ProgramRefused: naming the rule that is broken, the place and the remedy.
        OSError: the file cannot be read.
    """
    container = Container(path)
    try:
        return _read(container)
    except BaseException:
        container.__exit__()
        raise


def _read(container: Container) -> Program:
    files = open_files(container)
    weights = read_config(files, _config(files, WEIGHTS_CONFIG), WEIGHTS)
    constants = read_config(files, _config(files, CONSTANTS_CONFIG), CONSTANTS)
    document = parse(files.read(GRAPH, limits.MAX_GRAPH_JSON_BYTES), GRAPH)
    version = document.key("schema_version").key("major")
    if version.integer() != _SCHEMA:
        raise version.refuse(
            "archive_format_unsupported",
            f"the graph is written in version {version.integer():.60g} of torch's schema; this "
            f"service reads version {_SCHEMA} (torch 2.9 and newer): {EXPORT_HINT}",
        )
    module = document.key("graph_module")
    objects = module.key("graph").get("custom_obj_values")
    if objects is not None and list(objects.pairs()):
        raise objects.refuse("custom_objects", "the program uses TorchBind objects, which are code")
    interface = read_interface(module, weights, constants)
    graph = read_nodes(module.key("graph"), interface)
    validate(graph, lambda node: f"{GRAPH}#/graph_module/graph/nodes/{node.origin}")
    graph = with_roles(pruned(graph))
    return Program(graph, signature_of(graph), interface.stored, container)


def _config(files: ProgramFiles, path: str) -> Reader:
    return parse(files.read(path, limits.MAX_CONFIG_JSON_BYTES), path)
