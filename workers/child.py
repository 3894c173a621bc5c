"""The child: warms up, then answers one request at a time until its pipe closes.

    python -I -m workers.child REQUEST_FD REPLY_FD PARENT_PID MEMORY_BYTES

Owns the loop and what stays in memory between the units of one job. Never imports the ledger,
the store, the settings, celery, minio or sqlalchemy; has no credentials and needs no network.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workers import sandbox
from workers.protocol import Frame, read_frames, write_frame

if TYPE_CHECKING:
    from service.domain.results import Tile
    from workers.computation.context import JobContext
    from workers.computation.curvature_evaluators import CurvatureEvaluator
    from workers.computation.evaluators import Space
    from workers.engine.network import Point
    from workers.engine.surface import CellEvaluator

log = logging.getLogger("workers.child")

_PROGRESS_SECONDS: Final = 0.25


class Session:
    """One job's state in this process, and the answers to requests about it."""

    def __init__(self, reply_fd: int) -> None:
        self._reply_fd = reply_fd
        self._context: JobContext | None = None
        self._evaluator: tuple[Space, CellEvaluator] | None = None
        self._curvature: CurvatureEvaluator | None = None
        self._progress_at = 0.0

    def answer(self, request: Frame) -> Frame:
        """The one `done` or `failed` frame of a request; never raises for a failed computation."""
        from workers.computation.failures import judge

        try:
            match request.type:
                case "ping":
                    return Frame("done")
                case "open":
                    return self._open(request.body)
                case "ingest":
                    return self._ingest(request.body)
                case "prepare":
                    return self._prepare(request.body)
                case "tile":
                    return self._tile(request.body)
                case other:
                    raise ValueError(f"unknown request {other!r}")
        except Exception as error:
            log.exception("%s failed", request.type)
            return Frame("failed", judge(error).to_body())

    def _open(self, body: Mapping[str, Any]) -> Frame:
        from workers.computation.context import open_job
        from workers.computation.footprint import resident_bytes

        self._evaluator = self._curvature = None
        self._context = open_job(body, base_bytes=resident_bytes())
        return Frame("done")

    def _ingest(self, body: Mapping[str, Any]) -> Frame:
        from workers.computation.ingest import ingest

        return ingest(body)

    def _prepare(self, body: Mapping[str, Any]) -> Frame:
        from workers.computation.preparation import prepare

        prepared = prepare(self._opened(), body)
        if prepared.evaluator is not None:
            self._evaluator = (prepared.space, prepared.evaluator)
        axes = sorted(prepared.objects)
        blobs = tuple(prepared.objects[axis] for axis in axes)
        return Frame("done", {**prepared.body, "axes": axes}, blobs)

    def _tile(self, body: Mapping[str, Any]) -> Frame:
        from workers.computation.directions import read_direction
        from workers.computation.evaluators import Space, build_evaluator
        from workers.computation.footprint import peak_bytes
        from workers.computation.tile import evaluate_tile
        from workers.engine.recalibration import Recalibration

        if "curvature" in body:
            return self._curved_tile(body)
        context = self._opened()
        entries = body["directions"]
        space = Space(
            target=body.get("target"),
            directions=tuple((axis, entries[axis]["digest"]) for axis in sorted(entries)),
            batch_size=body["batch_size"],
            recalibration=Recalibration(**how) if (how := body.get("recalibration")) else None,
            channels_last=body.get("channels_last", True),
            combine_first=body.get("combine_first", False),
        )
        if self._evaluator is None or self._evaluator[0] != space:
            self._evaluator = None
            directions = (
                {}
                if space.target is not None
                else {
                    axis: read_direction(context, Path(entry["path"]))
                    for axis, entry in entries.items()
                }
            )
            self._evaluator = (space, build_evaluator(context, space, directions))
        read = partial(_checkpoint, context)
        tile = evaluate_tile(self._evaluator[1], space, body, self._progress, read)
        if body.get("weights"):
            tile = self._with_weights(tile, space.target)
        peak = peak_bytes(context.device)
        return Frame(
            "done", {"cells": len(tile.index), "peak_memory_bytes": peak}, (tile.to_npz(),)
        )

    def _with_weights(self, tile: Tile, target: str | None) -> Tile:
        from workers.computation.weights import histograms

        context = self._opened()
        ends = [context.origin, *([context.points[target]] if target else [])]
        found = histograms(context.network, ends)
        if found is None:
            return tile
        return replace(tile, attachments={**tile.attachments, **found.arrays()})

    def _curved_tile(self, body: Mapping[str, Any]) -> Frame:
        from workers.computation.curvature_evaluators import build_curvature

        if self._curvature is None:
            self._curvature = build_curvature(self._opened(), body)
        tile = self._curvature.tile(body, self._progress)
        return Frame("done", {"cells": len(tile.index)}, (tile.to_npz(),))

    def _opened(self) -> JobContext:
        if self._context is None:
            raise ValueError("no job is open")
        return self._context

    def _progress(self, cells_done: int) -> None:
        """Tells how many cells are done, or products of a single point."""
        now = time.monotonic()
        if now - self._progress_at >= _PROGRESS_SECONDS:
            self._progress_at = now
            write_frame(self._reply_fd, Frame("progress", {"cells_done": cells_done}))


def _checkpoint(context: JobContext, named: str) -> Point:
    """A checkpoint that is open under its id, or in a file of this path."""
    from workers.computation.trajectory import read_checkpoint

    known = context.points.get(named)
    return read_checkpoint(context, named) if known is None else known


def warm_up() -> None:
    """Imports what every unit needs and starts the libraries' threads."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with torch.inference_mode():
        device = "cuda" if torch.cuda.is_available() else "cpu"
        image = torch.ones(2, 3, 8, 8, device=device)
        torch.nn.functional.conv2d(image, torch.ones(4, 3, 3, 3, device=device)).sum().item()


def main(arguments: list[str]) -> int:
    request_fd, reply_fd, parent, memory = (int(argument) for argument in arguments)
    sandbox.confine(parent=parent, memory_bytes=memory or None)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    warm_up()
    session = Session(reply_fd)
    write_frame(reply_fd, Frame("ready"))
    try:
        for request in read_frames(request_fd):
            write_frame(reply_fd, session.answer(request))
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
