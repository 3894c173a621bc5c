"""Units: the pieces of a job that workers claim.

ingest                         (a model's own job)
prepare → tile … tile → finalise
"""

from __future__ import annotations

from enum import StrEnum


class UnitKind(StrEnum):
    INGEST = "ingest"
    PREPARE = "prepare"
    TILE = "tile"
    FINALISE = "finalise"
