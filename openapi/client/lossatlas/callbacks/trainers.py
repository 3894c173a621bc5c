"""What the callbacks of all trainers share: beginning, and a checkpoint at most once a step.

Knows no trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossatlas.callbacks.running import Run, training


class Uploads:
    """Stands before a trainer's own callback class in the bases of ours.

    Attributes:
        run: of the training that goes on, or of the last one.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        network: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        # wrong arguments are told at once
        training(model, **options)
        self._arguments = (model, options)
        self._every_epochs = every_epochs
        self._every_steps = every_steps
        self._network = network
        self._last_step: int | None = None
        self.run: Run | None = None

    def _begin(self, *, first: bool) -> None:
        """A new run; `first`: of this process, which then uploads unless the options say no."""
        model, options = self._arguments
        self.run = training(model, **{"first": first, **options})
        self._last_step = None
        self.run.start()

    def _take(self, step: int, moment: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
        """A checkpoint, unless this step has one.

        Args:
            moment: gives what is trained, and what else `Run.checkpoint` is told; what goes wrong
                in it is the run's to bear.
        """
        run = self.run
        if run is None or step == self._last_step:
            return
        self._last_step = step
        with run.calmly():
            trained, told = moment()
            network = trained if self._network is None else self._network(trained)
            run.checkpoint(network, step=step, **told)
