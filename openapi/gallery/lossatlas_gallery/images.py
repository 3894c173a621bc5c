"""The images: scikit-learn's digits, enlarged, or those of a file that the caller names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lossatlas.demo import training as demo
from lossatlas.errors import InputError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional as F

#: Every n-th image of a file without test images of its own is held back.
_HELD_BACK: Final = 6


@dataclass(frozen=True)
class Images:
    """Images of shape (samples, channels, height, width) and classes from 0.

    Attributes:
        classes: how many there are.
        digest: of all of it: sha256, hexadecimal.
    """

    name: str
    train_images: Tensor
    train_classes: Tensor
    test_images: Tensor
    test_classes: Tensor
    classes: int
    digest: str

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[1])


def digits(side: int) -> Images:
    """The 1797 digits, split as the demonstration does, enlarged from 8×8 to `side`×`side`."""
    found = demo.load()
    return _images(
        f"digits {side}×{side}",
        _enlarged(found.train_images, side),
        found.train_classes,
        _enlarged(found.test_images, side),
        found.test_classes,
    )


def of_file(path: Path) -> Images:
    """Images and labels of an `.npz` or a `.safetensors` file.

    Arrays `images` of shape (samples, channels, height, width), or (samples, height, width,
    channels) with 1 or 3 channels, bytes or floats, and `labels` (samples,). With `test_images` and
    `test_labels`, those are the test set; otherwise every sixth sample is.

    Raises:
        InputError: no such file, or what in it does not fit.
    """
    arrays = _arrays(path)
    for name in ("images", "labels"):
        if name not in arrays:
            raise InputError(f"{path}: there is no array {name!r}; there are {sorted(arrays)}")
    images, labels = _pair(path, arrays, "images", "labels")
    if "test_images" in arrays and "test_labels" in arrays:
        train_images, train_labels = images, labels
        test_images, test_labels = _pair(path, arrays, "test_images", "test_labels")
    else:
        held = torch.arange(len(images)) % _HELD_BACK == 0
        train_images, train_labels = images[~held], labels[~held]
        test_images, test_labels = images[held], labels[held]
    mean = train_images.mean((0, 2, 3), keepdim=True)
    deviation = train_images.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    return _images(
        path.name,
        (train_images - mean) / deviation,
        train_labels,
        (test_images - mean) / deviation,
        test_labels,
    )


def _images(name: str, images: Tensor, classes: Tensor, tests: Tensor, targets: Tensor) -> Images:
    digest = hashlib.sha256()
    for tensor in (images, classes, tests, targets):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    count = int(max(classes.max(), targets.max())) + 1
    return Images(name, images, classes, tests, targets, count, digest.hexdigest())


def _enlarged(images: Tensor, side: int) -> Tensor:
    if side == images.shape[-1]:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def _arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of images")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    raise InputError(f"{path}: images are an .npz or a .safetensors file")


def _pair(path: Path, arrays: dict[str, Any], of: str, to: str) -> tuple[Tensor, Tensor]:
    images, labels = np.asarray(arrays[of]), np.asarray(arrays[to])
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            f"{path}: {of} has the shape {images.shape}; give (samples, channels, height, width)"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(f"{path}: {to} must be {len(images)} whole numbers from 0")
    scaled = images.astype(np.float32) / (255.0 if images.dtype == np.uint8 else 1.0)
    if not np.isfinite(scaled).all():
        raise InputError(f"{path}: {of} holds values that are no finite numbers")
    return torch.from_numpy(np.ascontiguousarray(scaled)), torch.from_numpy(labels.astype(np.int64))
