"""Checkpoints of a training that goes on, uploaded in the background for trajectories.

`training` is for a loop of one's own; `callbacks.lightning` and `callbacks.huggingface` are for
Lightning's and Hugging Face's trainers. None of them crashes or slows a training: see `Run`.
"""

from lossatlas.callbacks.running import Run, training

__all__ = ["Run", "training"]
