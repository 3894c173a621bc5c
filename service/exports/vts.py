"""A VTK structured grid (`.vts`): the landscape as a surface that ParaView opens.

Points are (α, β, height) and every data set's values lie at the points. Cells without a value are
hidden as VTK hides them, by a ghost array, so that nothing invented is drawn.
"""

from __future__ import annotations

import base64
import struct
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from service.domain.adaptive import Sampling
from service.domain.cells import CellStatus
from service.domain.counted import samples_in_words
from service.domain.networks import sentences
from service.domain.printable import shown
from service.domain.results import DatasetGrid, GridResult
from service.exports.about import About

MEDIA_TYPE: Final = "application/vnd.vtk.structuredgrid+xml"

#: A logarithmic height is chosen by itself beyond this ratio of the ends.
AUTO_LOG_RATIO: Final = 100.0

#: vtkDataSetAttributes::HIDDENPOINT; a cell with such a corner is not shown.
HIDDEN_POINT: Final = 2

_TYPES: Final = {"f8": "Float64", "f4": "Float32", "i1": "Int8", "u1": "UInt8", "i8": "Int64"}

Floats = NDArray[np.float64]


def encode_vts(
    result: GridResult, about: About, *, dataset: str | None = None, log: bool | None = None
) -> bytes:
    """The file's bytes. Values keep float64; a line is a grid of one row.

    Args:
        dataset: whose loss is the height, by name; the first one when left out.
        log: whether the height is log₁₀ of the loss; chosen by the values when left out.
    Raises:
        KeyError: no such data set.
    """
    chosen = result.dataset(dataset)
    height, log = _height(_known(chosen.loss, chosen.status), log)
    rows, columns = (1, len(result.x)) if result.y is None else result.shape
    y = np.zeros(1) if result.y is None else result.y
    points = np.stack(
        [np.tile(result.x, rows), np.repeat(y, columns), _filled(height).ravel()], axis=1
    )
    hidden = np.where(np.isfinite(height), 0, HIDDEN_POINT).astype(np.uint8)
    extent = f"0 {columns - 1} 0 {rows - 1} 0 0"
    out = [
        '<?xml version="1.0"?>',
        '<VTKFile type="StructuredGrid" version="1.0" byte_order="LittleEndian" '
        'header_type="UInt64">',
        f'<StructuredGrid WholeExtent="{extent}">',
        "<FieldData>",
        *(_text(name, text) for name, text in _said(result, about, chosen, log)),
        "</FieldData>",
        f'<Piece Extent="{extent}">',
        '<PointData Scalars="loss">',
        _array("loss", _known(chosen.loss, chosen.status)),
        _array("log10_loss", _log10(_known(chosen.loss, chosen.status))),
    ]
    if chosen.accuracy is not None:
        out.append(_array("accuracy", _known(chosen.accuracy, chosen.status)))
    out.append(_array("stderr", _known(chosen.stderr, chosen.status)))
    out.append(_array("status", chosen.status))
    for name, values in chosen.extra.items():
        out.append(_array(name, _known(values, chosen.status)))
    for other in result.datasets:
        if other.name == chosen.name:
            continue
        out.append(_array(f"loss ({other.name})", _known(other.loss, other.status)))
        if other.accuracy is not None:
            out.append(_array(f"accuracy ({other.name})", _known(other.accuracy, other.status)))
        out.append(_array(f"status ({other.name})", other.status))
    out += [
        _array("vtkGhostType", hidden),
        "</PointData>",
        "<Points>",
        _array("Points", points, components=3),
        "</Points>",
        "</Piece>",
        "</StructuredGrid>",
        "</VTKFile>",
        "",
    ]
    return shown("\n".join(out), breaks=True).encode()


def _said(
    result: GridResult, about: About, chosen: DatasetGrid, log: bool
) -> list[tuple[str, str]]:
    sampling = Sampling.of(result)
    return [
        ("landscape", about.landscape),
        ("title", about.title),
        ("model", about.model or ""),
        ("dataset", chosen.name),
        ("samples", samples_in_words(chosen.samples, chosen.counted)),
        ("height", "log10 of the loss" if log else "loss"),
        ("engine", str(about.provenance.get("engine", ""))),
        ("definitions", str(about.provenance.get("definitions", ""))),
        *([] if sampling is None else [("sampling", sampling.sentence(result, chosen))]),
        *[("networks", " ".join(told)) for told in [sentences(result, [chosen], {})] if told],
        ("status_codes", " ".join(f"{code.value}={code.word}" for code in CellStatus)),
    ]


def _height(values: Floats, log: bool | None) -> tuple[Floats, bool]:
    finite = values[np.isfinite(values)]
    positive = len(finite) > 0 and bool((finite > 0).all())
    if log is None:
        log = positive and bool(finite.max() > AUTO_LOG_RATIO * finite.min())
    return (_log10(values) if log else values), log


def _log10(values: Floats) -> Floats:
    logs = np.full(values.shape, np.nan)
    np.log10(values, out=logs, where=values > 0)
    return logs


def _known(values: Floats, status: NDArray[np.int8]) -> Floats:
    kept: Floats = np.where((status == CellStatus.OK) & np.isfinite(values), values, np.nan)
    return kept


def _filled(height: Floats) -> Floats:
    """Hidden points still need a place, within the bounds of the others."""
    finite = height[np.isfinite(height)]
    filled: Floats = np.where(np.isfinite(height), height, finite.max() if len(finite) else 0.0)
    return filled


def _array(name: str, values: NDArray[Any], components: int = 1) -> str:
    code = f"{values.dtype.kind}{values.dtype.itemsize}"
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    encoded = base64.b64encode(struct.pack("<Q", len(data)) + data).decode()
    return (
        f'<DataArray type="{_TYPES[code]}" Name={quoteattr(name)} '
        f'NumberOfComponents="{components}" format="binary">{encoded}</DataArray>'
    )


def _text(name: str, text: str) -> str:
    # VTK writes strings in ASCII as numbers of bytes, each string ended by a zero
    numbers = " ".join(str(byte) for byte in (*text.encode(), 0))
    return (
        f'<Array type="String" Name={quoteattr(name)} NumberOfTuples="1" format="ascii">'
        f"{numbers}</Array>"
    )
