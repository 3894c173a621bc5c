"""Lightning: `Trainer(callbacks=[LossatlasCallback(...)])`. Needs `lightning` or
`pytorch_lightning`."""

from __future__ import annotations

import importlib
from typing import Any

from lossatlas.callbacks.trainers import Uploads
from lossatlas.errors import InputError


def _callback() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    raise InputError("this needs Lightning: pip install 'lossatlas[lightning]'")


_Callback: Any = _callback()


class LossatlasCallback(Uploads, _Callback):  # type: ignore[misc]
    """Uploads checkpoints while `fit` runs, from the first process only.

    Args:
        model: as of `training`, whose further arguments are `options`.
        every_epochs, every_steps: when; None never. The end of `fit` is always one.
        network: which part of the LightningModule the program was exported from; by default the
            whole of it.
    """

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins."""
        self._begin(first=bool(trainer.is_global_zero))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A checkpoint every so many optimiser steps."""
        every = self._every_steps
        if every and trainer.global_step % every == 0:
            self._taken(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """A checkpoint every so many epochs."""
        every = self._every_epochs
        if every and (trainer.current_epoch + 1) % every == 0:
            self._taken(trainer, pl_module, epoch=trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last checkpoint, and the end of the uploads."""
        if self.run is not None:
            self._taken(trainer, pl_module)
            self.run.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Sends what was taken before the training broke off."""
        if self.run is not None:
            self.run.__exit__(type(exception), exception, None)

    def _taken(self, trainer: Any, pl_module: Any, epoch: float | None = None) -> None:
        def moment() -> tuple[Any, dict[str, Any]]:
            groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
            return pl_module, {
                "epoch": epoch,
                "learning_rate": groups[0]["lr"] if groups else None,
                "metrics": dict(trainer.callback_metrics),
            }

        self._take(int(trainer.global_step), moment)
