"""Hugging Face: `Trainer(callbacks=[LossatlasCallback(...)])`. Needs `transformers`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lossatlas.callbacks.trainers import Uploads
from lossatlas.errors import InputError


def _callback() -> Any:
    try:
        return importlib.import_module("transformers").TrainerCallback
    except ImportError:
        raise InputError("this needs transformers: pip install 'lossatlas[huggingface]'") from None


_Callback: Any = _callback()


class LossatlasCallback(Uploads, _Callback):  # type: ignore[misc]
    """Uploads checkpoints while `train` runs, from the first process only.

    Args:
        model: as of `training`, whose further arguments are `options`.
        every_epochs, every_steps: when; None never. The end of `train` is always one.
        network: which part of the trained model the program was exported from; by default the
            whole of it.
    """

    _logged: Mapping[str, Any] = MappingProxyType({})

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Begins."""
        self._begin(first=bool(state.is_world_process_zero))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """Keeps what the trainer measured last."""
        self._logged = {**self._logged, **(logs or {})}

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint every so many optimiser steps."""
        if self._every_steps and state.global_step % self._every_steps == 0:
            self._taken(state, more)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint every so many epochs."""
        if self._every_epochs and round(state.epoch or 0) % self._every_epochs == 0:
            self._taken(state, more)

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The last checkpoint, and the end of the uploads."""
        if self.run is not None:
            self._taken(state, more)
            self.run.close()

    def _taken(self, state: Any, more: dict[str, Any]) -> None:
        def moment() -> tuple[Any, dict[str, Any]]:
            return more["model"], {
                "epoch": state.epoch,
                "learning_rate": self._rate(more),
                "metrics": {
                    k: v for k, v in self._logged.items() if k not in ("epoch", "learning_rate")
                },
            }

        self._take(int(state.global_step), moment)

    def _rate(self, more: dict[str, Any]) -> Any:
        optimiser = more.get("optimizer")
        groups = getattr(optimiser, "param_groups", None)
        return groups[0]["lr"] if groups else self._logged.get("learning_rate")
