"""A cell's pass over the data, recorded once on a CUDA device and replayed for every other cell.

A pass is hundreds to thousands of kernels over the same memory, with other weights in it each time.
Launched one by one from Python, those of small networks take less time than their launches; as one
CUDA graph they are launched at once. A recording is used only where it gives the very bits that the
plain pass gives, and where it cannot be made the plain pass goes on.

Owns when a pass is recorded and whether the recording is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

#: Reads and writes the same memory every time, and waits for nothing.
Pass = Callable[[], None]

#: Passes run plainly before one is recorded: few cells are not worth it.
_PLAIN: Final = 3


class ReplayedPass:
    """A pass that writes to `result`, float64; run plainly, or by its recording."""

    def __init__(self, run: Pass, result: Tensor, record: Callable[[Pass], Pass]) -> None:
        """`record` makes a recording of a pass, or raises RuntimeError."""
        self._run, self.result, self._record = run, result, record
        self._ran = 0
        self._replay: Pass | None = None

    @property
    def replays(self) -> bool:
        """Whether there is a recording, and it is believed."""
        return self._replay is not None

    def __call__(self) -> None:
        if self._replay is not None:
            self._replay()
            return
        self._run()
        self._ran += 1
        if self._ran == _PLAIN:
            self._replay = self._recorded()

    def _recorded(self) -> Pass | None:
        plain = self.result.clone()
        try:
            replay = self._record(self._run)
            # what a replay does not write must not look as if it had
            self.result.fill_(torch.pi)
            replay()
            same = torch.equal(_bits(self.result), _bits(plain))
        except RuntimeError:  # memory that does not suffice for a recording included
            same = False
        self.result.copy_(plain)
        return replay if same else None


def recorder(device: torch.device) -> Callable[[Pass], Pass] | None:
    """How passes are recorded on a device; None where they are not."""
    return _graph_of if device.type == "cuda" else None


def _graph_of(run: Pass) -> Pass:
    graph = torch.cuda.CUDAGraph()
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(here)
    with torch.cuda.stream(side):
        run()  # libraries set themselves up when a stream is first used
    here.wait_stream(side)
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _bits(values: Tensor) -> Tensor:
    return values.view(torch.int64)
