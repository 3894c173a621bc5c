"""Results in other programs' formats: HDF5, VTK, and a page that turns in a browser. Pure.

Owns the bytes of those files. Knows no HTTP, no database and no store; never draws a figure.
"""

from service.exports.about import About
from service.exports.hdf5 import encode_hdf5
from service.exports.page import encode_page, page_policy
from service.exports.trajectory import Step, path_of
from service.exports.vts import encode_vts

__all__ = [
    "About",
    "Step",
    "encode_hdf5",
    "encode_page",
    "encode_vts",
    "page_policy",
    "path_of",
]
