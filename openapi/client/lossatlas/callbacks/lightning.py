"""Lightning: `Trainer(callbacks=[LossatlasCallback(...)])`. Needs `lightning` or
`pytorch_lightning`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from lossatlas.callbacks.running import Run, training
from lossatlas.errors import InputError


def _callback() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    raise InputError("this needs Lightning: pip install 'lossatlas[lightning]'")


_Callback: Any = _callback()


class LossatlasCallback(_Callback):  # type: ignore[misc]
    """Uploads checkpoints while `fit` runs, from the first process only.

    Args:
        model: as of `training`, whose further arguments are `options`.
        every_epochs, every_steps: when; None never. The end of `fit` is always one.
        network: which part of the LightningModule the program was exported from; by default the
            whole of it.
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

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins."""
        model, options = self._arguments
        self.run = training(model, **{"first": bool(trainer.is_global_zero), **options})
        self._last_step = None
        self.run.start()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A checkpoint every so many optimiser steps."""
        every = self._every_steps
        if every and trainer.global_step % every == 0:
            self._take(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """A checkpoint every so many epochs."""
        every = self._every_epochs
        if every and (trainer.current_epoch + 1) % every == 0:
            self._take(trainer, pl_module, epoch=trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last checkpoint, and the end of the uploads."""
        if self.run is not None:
            self._take(trainer, pl_module)
            self.run.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Sends what was taken before the training broke off."""
        if self.run is not None:
            self.run.__exit__(type(exception), exception, None)

    def _take(self, trainer: Any, pl_module: Any, epoch: float | None = None) -> None:
        run, step = self.run, int(trainer.global_step)
        if run is None or step == self._last_step:
            return
        self._last_step = step
        with run.calmly():
            groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
            network = pl_module if self._network is None else self._network(pl_module)
            run.checkpoint(
                network,
                step=step,
                epoch=epoch,
                learning_rate=groups[0]["lr"] if groups else None,
                metrics=dict(trainer.callback_metrics),
            )
