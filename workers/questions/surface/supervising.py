"""Surfaces on the supervisor's side: they ask what all kinds ask."""

from __future__ import annotations

from typing import Final

from service.domain.questions.surface.spec import SurfaceJob
from workers.questions.supervising import Supervising

HALF: Final = Supervising[SurfaceJob]()
