"""Which files a program archive may have, and which of them are ever opened.

Owns the layout that torch.export.save writes. Sample inputs are pickles: their member is known by
name, and never read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from service.programs import limits
from service.programs.container import Container, Member
from service.programs.refusal import EXPORT_HINT, ProgramRefused

GRAPH: Final = "models/model.json"
WEIGHTS: Final = "data/weights/"
WEIGHTS_CONFIG: Final = "data/weights/model_weights_config.json"
CONSTANTS: Final = "data/constants/"
CONSTANTS_CONFIG: Final = "data/constants/model_constants_config.json"

_REQUIRED: Final = (GRAPH, WEIGHTS_CONFIG, CONSTANTS_CONFIG, "archive_format", "byteorder")
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,6})"
_ALLOWED: Final = re.compile(
    "|".join(
        (
            re.escape(GRAPH),
            re.escape(WEIGHTS_CONFIG),
            re.escape(CONSTANTS_CONFIG),
            rf"data/weights/weight_{_NUMBER}",
            rf"data/constants/tensor_{_NUMBER}",
            r"data/sample_inputs/model\.pt",  # a pickle: never opened
            "archive_format",
            "archive_version",
            "byteorder",
            r"\.data/version",
            r"\.data/serialization_id",
        )
    )
)
_SHAPES_OF_TROUBLE: Final = (
    (
        re.compile(r"data/weights/.*\.pt"),
        "legacy_weights",
        "holds its weights as a pickle of an older torch; export again with torch 2.9 or newer",
    ),
    (
        re.compile(r"data/constants/.*\.pt"),
        "legacy_weights",
        "holds its constants as a pickle of an older torch; export again with torch 2.9 or newer",
    ),
    (
        re.compile(r"data/constants/custom_obj_.*"),
        "custom_objects",
        "holds a TorchBind object, which is code; write the module with plain tensors",
    ),
    (
        re.compile(r"data/constants/opaque_obj_.*"),
        "opaque_constants",
        "holds an opaque Python object, which is a pickle; write the module with plain tensors",
    ),
    (
        re.compile(r"serialized_(exported_program|state_dict|constants).*"),
        "archive_format_unsupported",
        "is of an older format that pickles; export again with torch 2.9 or newer",
    ),
    (
        re.compile(r"data\.pkl|code/.*|constants\.pkl"),
        "archive_format_unsupported",
        "is a TorchScript archive or a torch.save file, not a torch.export program",
    ),
    (
        re.compile(r"models/.*"),
        "archive_member_refused",
        "is a second program; save one exported program per archive",
    ),
    (
        re.compile(r"extra/.*"),
        "archive_member_refused",
        "is an extra file; save without extra_files",
    ),
)


@dataclass(frozen=True)
class ProgramFiles:
    """The archive's members by their path below the top-level folder."""

    container: Container
    members: dict[str, Member]

    def read(self, path: str, most: int) -> bytes:
        return self.container.read(self.members[path], most=most)


def open_files(container: Container) -> ProgramFiles:
    """Sorts the members and checks the small ones that say what the archive is.

    Raises:
        ProgramRefused: `archive_member_refused`, `archive_format_unsupported`, `legacy_weights`,
            `custom_objects`, `opaque_constants`.
    """
    members: dict[str, Member] = {}
    roots = set()
    for name, member in container.members.items():
        root, _, path = name.partition("/")
        roots.add(root)
        _check_name(name, path)
        members[path] = member
    if len(roots) > 1 or len(members) != len(container.members):
        raise ProgramRefused(
            "archive_member_refused", f"the archive has several top-level folders; {EXPORT_HINT}"
        )
    for path in _REQUIRED:
        if path not in members:
            raise ProgramRefused(
                "archive_format_unsupported",
                f"the archive lacks {path!r}: it is not a program that torch.export.save of "
                f"torch 2.9 or newer wrote; {EXPORT_HINT}",
                path,
            )
    files = ProgramFiles(container, members)
    _expect(files, "archive_format", b"pt2", "is not a torch.export program")
    _expect(files, "byteorder", b"little", "holds weights of another byte order than little")
    return files


def _check_name(name: str, path: str) -> None:
    if _ALLOWED.fullmatch(path):
        return
    for shape, code, detail in _SHAPES_OF_TROUBLE:
        if shape.fullmatch(path):
            raise ProgramRefused(code, f"the archive's member {name!r} {detail}", path)
    raise ProgramRefused(
        "archive_member_refused",
        f"the archive has a member {name[:120]!r}, which torch.export.save does not write; "
        f"{EXPORT_HINT}",
        path[:120],
    )


def _expect(files: ProgramFiles, path: str, wanted: bytes, otherwise: str) -> None:
    if files.read(path, limits.MAX_SMALL_MEMBER_BYTES).strip() != wanted:
        raise ProgramRefused(
            "archive_format_unsupported", f"the archive {otherwise}; {EXPORT_HINT}", path
        )
