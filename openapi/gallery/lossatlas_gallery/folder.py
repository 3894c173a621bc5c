"""The output folder: what was trained and asked for before, so that a second run goes on.

Weights are named by the digest of their recipe. Ids are only believed when the service knows them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossatlas.exporting import save_weights
from lossatlas.files import write_bytes

from lossatlas_gallery.training import Moment, Score

_STATE = "state.json"


@dataclass(frozen=True)
class Kept:
    """Weights in the folder."""

    epoch: int
    step: int
    rate: float
    path: Path


@dataclass(frozen=True)
class Trained:
    """A trained network in the folder: its weights in order, the first those at the start."""

    digest: str
    moments: tuple[Kept, ...]
    before: Score
    after: Score
    seconds: float


class Folder:
    """One output folder. Every change is written at once, whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._state = self._read()

    def trained(self, digest: str) -> Trained | None:
        """What was trained by that recipe, if all of it is still there."""
        entry = self._state["networks"].get(digest)
        if entry is None:
            return None
        moments = tuple(
            Kept(m["epoch"], m["step"], m["rate"], self.root / m["path"]) for m in entry["moments"]
        )
        if not all(moment.path.is_file() for moment in moments):
            return None
        before, after = Score(**entry["before"]), Score(**entry["after"])
        return Trained(digest, moments, before, after, entry["seconds"])

    def keep(
        self, digest: str, moments: list[Moment], before: Score, after: Score, seconds: float
    ) -> Trained:
        """Writes the weights, and then that they are there."""
        kept = []
        for moment in moments:
            place = Path("networks") / digest[:16] / f"epoch-{moment.epoch:04d}.safetensors"
            save_weights(moment.weights, self.root / place)
            kept.append(
                {
                    "epoch": moment.epoch,
                    "step": moment.step,
                    "rate": moment.rate,
                    "path": place.as_posix(),
                }
            )
        self._state["networks"][digest] = {
            "moments": kept,
            "before": asdict(before),
            "after": asdict(after),
            "seconds": round(seconds, 2),
        }
        self._write()
        found = self.trained(digest)
        assert found is not None  # noqa: S101 - written just now
        return found

    def identity(self, kind: str, digest: str) -> str | None:
        """The id under which something is in the service, as far as is known here."""
        found = self._state["ids"].get(f"{kind}:{digest}")
        return None if found is None else str(found)

    def remember(self, kind: str, digest: str, identity: str) -> None:
        """Keeps an id."""
        self._state["ids"][f"{kind}:{digest}"] = identity
        self._write()

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"networks": {}, "ids": {}}
        try:
            found = json.loads((self.root / _STATE).read_text())
        except (OSError, ValueError):
            return empty
        fits = isinstance(found, dict) and all(isinstance(found.get(k), dict) for k in empty)
        return found if fits else empty

    def _write(self) -> None:
        text = json.dumps(self._state, indent=1, sort_keys=True)
        write_bytes(self.root / _STATE, text.encode())
