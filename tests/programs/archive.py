"""Builds archives by hand: well-formed ones, and ones that are wrong in a chosen way.

Written byte by byte, because Python's own zip writer refuses to write most of what is needed.
"""

from __future__ import annotations

import copy
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = "program/"
GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"


@dataclass(frozen=True)
class Entry:
    """A member as it is written; the `claimed` fields override what its headers say."""

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0x800
    local_name: bytes | None = None
    claimed_size: int | None = None
    claimed_checksum: int | None = None
    claimed_offset: int | None = None
    extra: bytes = b""


def members_of(path: Path) -> dict[str, bytes]:
    """The members of an archive below its top folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def entries_of(members: dict[str, bytes]) -> list[Entry]:
    return [Entry((ROOT + name).encode(), data) for name, data in members.items()]


def zipped(entries: list[Entry], *, before: bytes = b"", gap: bytes = b"") -> bytes:
    """The bytes of an archive of these members, in order."""
    out = bytearray(before)
    directory = bytearray()
    for entry in entries:
        checksum = (
            zlib.crc32(entry.data) if entry.claimed_checksum is None else entry.claimed_checksum
        )
        size = len(entry.data) if entry.claimed_size is None else entry.claimed_size
        offset = len(out) if entry.claimed_offset is None else entry.claimed_offset
        stored = entry.data
        if entry.method == zipfile.ZIP_DEFLATED:
            packer = zlib.compressobj(wbits=-15)
            stored = packer.compress(entry.data) + packer.flush()
        packed = len(stored) if entry.method else size
        local = entry.name if entry.local_name is None else entry.local_name
        out += struct.pack(
            "<4sHHHHHIIIHH",
            b"PK\x03\x04",
            20,
            entry.flags,
            entry.method,
            0,
            0,
            checksum,
            min(packed, 0xFFFFFFFF),
            min(size, 0xFFFFFFFF),
            len(local),
            0,
        )
        out += local + stored + gap
        directory += struct.pack(
            "<4sHHHHHHIIIHHHHHII",
            b"PK\x01\x02",
            20,
            20,
            entry.flags,
            entry.method,
            0,
            0,
            checksum,
            min(packed, 0xFFFFFFFF),
            min(size, 0xFFFFFFFF),
            len(entry.name),
            len(entry.extra),
            0,
            0,
            0,
            0,
            min(offset, 0xFFFFFFFF),
        )
        directory += entry.name + entry.extra
    start = len(out)
    out += directory
    count = min(len(entries), 0xFFFF)
    out += struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    return bytes(out)


@dataclass(frozen=True)
class Archive:
    """A program archive taken apart: its JSON parsed, its other members as bytes."""

    graph: dict[str, Any]
    weights: dict[str, Any]
    constants: dict[str, Any]
    others: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Archive:
        members = members_of(path)
        read = {name: json.loads(members.pop(name)) for name in (GRAPH, WEIGHTS, CONSTANTS)}
        return cls(read[GRAPH], read[WEIGHTS], read[CONSTANTS], members)

    def changed(self, change: Callable[[Archive], None]) -> Archive:
        """A copy to which `change` was done."""
        other = copy.deepcopy(self)
        change(other)
        return other

    def with_member(self, name: str, data: bytes) -> Archive:
        return replace(self, others={**self.others, name: data})

    def without(self, name: str) -> Archive:
        return replace(self, others={k: v for k, v in self.others.items() if k != name})

    def members(self) -> dict[str, bytes]:
        return {
            **self.others,
            WEIGHTS: json.dumps(self.weights).encode(),
            CONSTANTS: json.dumps(self.constants).encode(),
            GRAPH: json.dumps(self.graph).encode(),
        }

    def to_bytes(self) -> bytes:
        return zipped(entries_of(self.members()))

    # Shorthand for what the hostile cases change.

    @property
    def module(self) -> dict[str, Any]:
        found = self.graph["graph_module"]
        assert isinstance(found, dict)
        return found

    @property
    def nodes(self) -> list[dict[str, Any]]:
        found = self.module["graph"]["nodes"]
        assert isinstance(found, list)
        return found

    @property
    def values(self) -> dict[str, Any]:
        found = self.module["graph"]["tensor_values"]
        assert isinstance(found, dict)
        return found

    def insert(self, target: str, *arguments: tuple[str, dict[str, Any]], output: str) -> None:
        """Puts a node in front of the last one and lets that one read its output."""
        last = self.nodes[-1]
        last["inputs"][0]["arg"] = {"as_tensor": {"name": output}}
        self.nodes.insert(
            len(self.nodes) - 1,
            {
                "target": target,
                "inputs": [{"name": n, "arg": a, "kind": 1} for n, a in arguments],
                "outputs": [{"as_tensor": {"name": output}}],
                "metadata": {},
            },
        )
