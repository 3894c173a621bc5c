"""What a confined child does: warms up, then answers one request at a time until its pipe closes.

Owns the loop and what stays in memory between the units of one job. Never imports the ledger,
the store, the settings, celery, minio or sqlalchemy; has no credentials and needs no network.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers import protocol
from workers.confinement import limits
from workers.confinement.terms import Terms
from workers.frames import Frame, read_frames, write_frame

if TYPE_CHECKING:
    from workers.computation.half import Half

log = logging.getLogger("workers.child")

_PROGRESS_SECONDS: Final = 0.25


class Session:
    """One job's state in this process, and the answers to requests about it."""

    def __init__(self, reply_fd: int) -> None:
        self._reply_fd = reply_fd
        self._half: Half | None = None
        self._progress_at = 0.0

    def answer(self, request: Frame) -> Frame:
        """The one `done` or `failed` frame of a request; never raises for a failed computation."""
        from workers.computation.failures import judge

        try:
            match request.type:
                case protocol.Ping.word:
                    protocol.Ping.read(request)
                    return protocol.Done().frame()
                case protocol.Open.word:
                    return self._open(protocol.Open.read(request))
                case protocol.Ingest.word:
                    return self._ingest(protocol.Ingest.read(request))
                case protocol.Prepare.word:
                    half = self._opened()
                    return self._prepare(half, protocol.Prepare.read(request, half.prepare_part))
                case protocol.Tile.word:
                    half = self._opened()
                    return self._tile(half, protocol.Tile.read(request, half.tile_part))
                case other:
                    raise ValueError(f"unknown request {other!r}")
        except Exception as error:
            log.exception("%s failed", request.type)
            return judge(error).frame()

    def _open(self, request: protocol.Open) -> Frame:
        from workers.computation.context import open_job
        from workers.computation.footprint import resident_bytes

        self._half = None
        half = _half_in(request.half)
        self._half = half(open_job(request, base_bytes=resident_bytes()))
        return protocol.Done().frame()

    def _ingest(self, request: protocol.Ingest) -> Frame:
        from workers.computation.ingest import ingest

        answer, blobs = ingest(request)
        return answer.frame(*blobs)

    def _prepare(self, half: Half, request: protocol.Prepare) -> Frame:
        decided = half.prepare(request)
        return decided.answer.frame(*(decided.objects[axis] for axis in decided.answer.axes))

    def _tile(self, half: Half, request: protocol.Tile) -> Frame:
        from workers.computation.footprint import peak_bytes

        tile = half.tile(request, self._progress)
        peak = peak_bytes(half.context.device)
        answer = protocol.Computed(cells=len(tile.index), peak_memory_bytes=peak)
        return answer.frame(tile.to_npz())

    def _opened(self) -> Half:
        if self._half is None:
            raise ValueError("no job is open")
        return self._half

    def _progress(self, cells_done: int) -> None:
        """Tells how many cells are done, or products of a single point."""
        now = time.monotonic()
        if now - self._progress_at >= _PROGRESS_SECONDS:
            self._progress_at = now
            write_frame(self._reply_fd, protocol.Progress(cells_done=cells_done).frame())


def _half_in(place: protocol.Half) -> type[Half]:
    """The half of a kind of question: the supervisor says where, who knows the kinds."""
    if place.folder is not None:
        _load_package(place.module.partition(".")[0], Path(place.folder))
    half: type[Half] = import_module(place.module).HALF
    return half


def _load_package(name: str, folder: Path) -> None:
    """By its place, and not by a search: what else lies in the folder is not for us to list."""
    if name in sys.modules:
        return
    own = folder / name
    spec = spec_from_file_location(name, own / "__init__.py", submodule_search_locations=[str(own)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{own} is no package")
    sys.modules[name] = package = module_from_spec(spec)
    spec.loader.exec_module(package)


def warm_up() -> None:
    """Imports what every unit needs and starts the libraries' threads."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with torch.inference_mode():
        device = "cuda" if torch.cuda.is_available() else "cpu"
        image = torch.ones(2, 3, 8, 8, device=device)
        torch.nn.functional.conv2d(image, torch.ones(4, 3, 3, 3, device=device)).sum().item()


def serve(terms: Terms, request_fd: int, reply_fd: int) -> None:
    """Until there are no more requests, or nobody who reads the answers."""
    # else whoever asks for its name first tries to write to it
    tempfile.tempdir = os.environ.get("TMPDIR")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    warm_up()
    session = Session(reply_fd)
    write_frame(reply_fd, protocol.Ready().frame())
    try:
        for request in read_frames(request_fd):
            limits.allow_cpu(terms)
            write_frame(reply_fd, session.answer(request))
    except BrokenPipeError:
        return
