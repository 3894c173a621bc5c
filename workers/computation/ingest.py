"""`ingest`: a new model's program bound, probed once, and put into the form that is kept.

Owns the answer: the signature with the outputs' sizes, and as blobs the canonical graph and, where
there are any, its constants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from service.domain.problems import Problem
from service.programs import ProgramRefused, canonical, read_program
from service.programs.graph import Graph
from service.programs.signature import Signature
from workers.computation.context import device_named
from workers.computation.probe import Probed, probe, refused
from workers.engine.losses import Loss
from workers.program.architectures import ArchitectureNetwork, build_architecture
from workers.program.binder import BoundNetwork
from workers.program.canonical import constants_of, encode_constants, tensor_of
from workers.protocol import Ingest, Ingested


def ingest(request: Ingest) -> tuple[Ingested, tuple[bytes, ...]]:
    """Carries out an `ingest` request: the answer, and the blobs that belong to it.

    Raises:
        Problem: `program_refused`, naming the operator or the rule and what to change.
        ArchitectureUnusable: a named architecture cannot be built.
        MemoryExceeded: a few samples do not fit into the memory.
    """
    loss = Loss.named(request.loss, request.loss_options)
    device = device_named(request.device)
    if request.architecture is not None:
        network = build_architecture(request.architecture.name, request.architecture.config)
        return _of_architecture(network, loss, device), ()
    if request.archive is None:
        raise ValueError("neither an archive nor an architecture was given")
    try:
        return _of_archive(Path(request.archive), loss, device, request.memory_bytes)
    except ProgramRefused as refusal:
        raise refused(refusal.code, refusal.detail, refusal.pointer) from refusal


def _of_archive(
    path: Path, loss: Loss, device: torch.device, memory_bytes: int | None
) -> tuple[Ingested, tuple[bytes, ...]]:
    with read_program(path) as program:
        graph = program.graph
        constants = constants_of(graph, program.contiguous)
        buffers = {
            spec.name: tensor_of(spec, program.contiguous(spec.name))
            for spec in graph.tensors
            if spec.role == "buffer"
        }
        signature = program.signature
    network = BoundNetwork(graph, constants, memory_bytes=memory_bytes)
    found = probe(network, graph.inputs, buffers, loss, device)
    blobs = [_stored(graph)]
    if constants:
        blobs.append(encode_constants(constants))
    return Ingested(signature=_signed(signature, found)), tuple(blobs)


def _stored(graph: Graph) -> bytes:
    """The canonical bytes, read back once: what later jobs will be given is what was probed."""
    data = canonical.encode(graph)
    if canonical.decode(data) != graph:
        raise Problem("internal_error", "the program's stored form does not read back as it was")
    return data


def _of_architecture(network: ArchitectureNetwork, loss: Loss, device: torch.device) -> Ingested:
    found = probe(network, network.inputs, network.initial_buffers, loss, device)
    signature = Signature(
        parameters=tuple(network.parameters.values()),
        buffers=tuple(network.buffers.values()),
        constants=(),
        inputs=network.inputs,
        outputs=("output",),
        operators=(),
        recalibratable=False,
    )
    return Ingested(signature=_signed(signature, found))


def _signed(signature: Signature, found: Probed) -> dict[str, Any]:
    """The signature as it is kept in the model's row, outputs as the probe found them."""
    (output,) = signature.outputs
    return {
        **signature.to_json(),
        "outputs": [{"name": output, "dtype": found.dtype, "shape": list(found.shape)}],
        "activation_bytes_per_sample": found.activation_bytes,
    }
