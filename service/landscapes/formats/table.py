"""The table of data formats: each is a file beside this one and a line here."""

from __future__ import annotations

from typing import Any, Final

from service.landscapes.formats.format import DataFormat
from service.landscapes.formats.hdf5 import Hdf5
from service.landscapes.formats.json import GridJson
from service.landscapes.formats.npz import Npz
from service.landscapes.formats.vts import Vts

FORMATS: Final[tuple[DataFormat[Any], ...]] = (GridJson(), Npz(), Hdf5(), Vts())
