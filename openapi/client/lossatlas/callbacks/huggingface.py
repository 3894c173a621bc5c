"""Hugging Face: `Trainer(callbacks=[LossatlasCallback(...)])`. Needs `transformers`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from lossatlas.callbacks.running import Run, training
from lossatlas.errors import InputError


def _callback() -> Any:
    try:
        return importlib.import_module("transformers").TrainerCallback
    except ImportError:
        raise InputError("this needs transformers: pip install 'lossatlas[huggingface]'") from None


_Callback: Any = _callback()


class LossatlasCallback(_Callback):  # type: ignore[misc]
    """Uploads checkpoints while `train` runs, from the first process only.

    Args:
        model: as of `training`, whose further arguments are `options`.
        every_epochs, every_steps: when; None never. The end of `train` is always one.
        network: which part of the trained model the program was exported from; by default the
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
        self._logged: dict[str, Any] = {}
        self.run: Run | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Begins."""
        model, options = self._arguments
        self.run = training(model, **{"first": bool(state.is_world_process_zero), **options})
        self._last_step = None
        self.run.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """Keeps what the trainer measured last."""
        self._logged.update(logs or {})

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint every so many optimiser steps."""
        if self._every_steps and state.global_step % self._every_steps == 0:
            self._take(state, more)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint every so many epochs."""
        if self._every_epochs and round(state.epoch or 0) % self._every_epochs == 0:
            self._take(state, more)

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The last checkpoint, and the end of the uploads."""
        if self.run is not None:
            self._take(state, more)
            self.run.close()

    def _take(self, state: Any, more: dict[str, Any]) -> None:
        run, step = self.run, int(state.global_step)
        if run is None or step == self._last_step:
            return
        self._last_step = step
        with run.calmly():
            model, rate = more["model"], self._rate(more)
            run.checkpoint(
                model if self._network is None else self._network(model),
                step=step,
                epoch=state.epoch,
                learning_rate=rate,
                metrics={
                    k: v for k, v in self._logged.items() if k not in ("epoch", "learning_rate")
                },
            )

    def _rate(self, more: dict[str, Any]) -> Any:
        optimiser = more.get("optimizer")
        groups = getattr(optimiser, "param_groups", None)
        return groups[0]["lr"] if groups else self._logged.get("learning_rate")
