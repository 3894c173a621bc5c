"""The zip container, read so strictly that no two readers could see two different archives.

Owns the bytes of the archive: member names, places and contents. Accepts only what torch's writer
produces: stored members one after another from byte 0, a central directory that agrees with every
local header, and nothing before, between or after. Never extracts to disk and never decompresses.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from service.programs import limits
from service.programs.refusal import EXPORT_HINT, ProgramRefused

_END: Final = struct.Struct("<4sHHHHIIH")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQHHIIQQQQ")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")

_UTF8_NAMES: Final = 0x800
_SIZES_FOLLOW: Final = 0x008
#: Lengths of the record that may follow a member whose sizes were unknown when it was begun.
_DESCRIPTOR_LENGTHS: Final = frozenset({12, 16, 20, 24})
_SATURATED16: Final = 0xFFFF
_SATURATED32: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """A stored member: `size` bytes at `start` of the file."""

    name: str
    start: int
    size: int
    checksum: int


class Container:
    """An open archive. Use as a context manager.

    Raises:
        ProgramRefused: `not_an_archive`, `archive_too_large`, `archive_inconsistent`,
            `archive_member_compressed`, `archive_duplicate_member`, `archive_member_refused`.
    """

    def __init__(self, path: Path) -> None:
        self._file: BufferedReader = path.open("rb")
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self.members = self._read_directory()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, member: Member, *, most: int) -> bytes:
        """The member's bytes, their checksum verified.

        Raises:
            ProgramRefused: `member_too_large`, `archive_inconsistent`.
        """
        if member.size > most:
            raise ProgramRefused(
                "member_too_large",
                f"{member.name} has {member.size} bytes; at most {most} are read",
                member.name,
            )
        data = bytearray(member.size)
        self._file.seek(member.start)
        if self._file.readinto(data) != member.size:
            raise _truncated()
        self._verify(member, zlib.crc32(data))
        return bytes(data)

    @staticmethod
    def _verify(member: Member, checksum: int) -> None:
        if checksum != member.checksum:
            raise ProgramRefused(
                "archive_inconsistent",
                f"{member.name} does not match its checksum; the file is damaged: export and "
                "upload it again",
                member.name,
            )

    def _at(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self._size:
            raise _truncated()
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise _truncated()
        return data

    def _read_directory(self) -> dict[str, Member]:
        if self._size > limits.MAX_ARCHIVE_BYTES:
            raise ProgramRefused(
                "archive_too_large",
                f"the archive has {self._size} bytes; at most {limits.MAX_ARCHIVE_BYTES} are read",
            )
        count, length, start = self._find_directory()
        if count > limits.MAX_MEMBERS:
            raise ProgramRefused(
                "archive_too_large",
                f"the archive has {count} members; at most {limits.MAX_MEMBERS} are read",
            )
        directory = self._at(start, length)
        members: dict[str, Member] = {}
        places: list[tuple[int, Member]] = []
        offset = 0
        for _ in range(count):
            member, header, offset = self._read_entry(directory, offset)
            if member.name in members:
                raise ProgramRefused(
                    "archive_duplicate_member",
                    f"{member.name!r} occurs twice; {EXPORT_HINT}",
                    member.name,
                )
            members[member.name] = member
            places.append((header, member))
        if offset != length:
            raise _inconsistent("the central directory holds more than its entries")
        self._check_layout(places, start)
        return members

    def _find_directory(self) -> tuple[int, int, int]:
        """Count, length and offset of the central directory, from the end record."""
        tail = self._at(self._size - _END.size, _END.size)
        signature, disk, first, here, count, length, start, comment = _END.unpack(tail)
        if signature != b"PK\x05\x06":
            raise _truncated()
        if comment or disk or first or here != count:
            raise _inconsistent("the end record speaks of comments or of several disks")
        end = self._size - _END.size
        short = (count, length, start)
        saturated = (_SATURATED16, _SATURATED32, _SATURATED32)
        at = end - _END64_LOCATOR.size
        locator = self._at(at, _END64_LOCATOR.size) if at >= 0 else b""
        # Torch always writes the 64-bit record; without it the short one must do by itself.
        if locator.startswith(b"PK\x06\x07"):
            _, disk, end, disks = _END64_LOCATOR.unpack(locator)
            if disk or disks > 1 or end + _END64.size != at:
                raise _inconsistent("the 64-bit end record is not where it belongs")
            fields = _END64.unpack(self._at(end, _END64.size))
            if (
                fields[:2] != (b"PK\x06\x06", _END64.size - 12)
                or fields[4]
                or fields[5]
                or fields[6] != fields[7]
            ):
                raise _inconsistent("the 64-bit end record is malformed")
            count, length, start = fields[7:10]
            for own, wide, full in zip(short, fields[7:10], saturated, strict=True):
                if own not in (wide, full):
                    raise _inconsistent("the two end records disagree")
        elif any(own == full for own, full in zip(short, saturated, strict=True)):
            raise _inconsistent("the 64-bit end record is missing")
        if start + length != end:
            raise _inconsistent("the central directory does not end where the end record begins")
        return count, length, start

    def _read_entry(self, directory: bytes, offset: int) -> tuple[Member, int, int]:
        """One entry of the central directory and the local header it points at."""
        if offset + _CENTRAL.size > len(directory):
            raise _inconsistent("the central directory is shorter than its entries")
        fields = _CENTRAL.unpack_from(directory, offset)
        (signature, _, _, flags, method, _, _, checksum, packed, size) = fields[:10]
        (name_length, extra_length, comment_length, disk, _, _, header) = fields[10:]
        if signature != b"PK\x01\x02" or comment_length or disk:
            raise _inconsistent("an entry of the central directory is malformed")
        name_at = offset + _CENTRAL.size
        end = name_at + name_length + extra_length
        if end > len(directory):
            raise _inconsistent("the central directory is shorter than its entries")
        raw_name = directory[name_at : name_at + name_length]
        name = _decode_name(raw_name)
        if flags & ~(_UTF8_NAMES | _SIZES_FOLLOW):
            raise ProgramRefused(
                "archive_inconsistent",
                f"{name!r} is encrypted or uses a feature of zip that torch.export does not; "
                f"{EXPORT_HINT}",
                name,
            )
        if method != 0:
            raise ProgramRefused(
                "archive_member_compressed",
                f"{name!r} is compressed; members must be stored as torch.export writes them: do "
                "not re-pack the archive",
                name,
            )
        packed, size, header = _wide_fields(
            directory[name_at + name_length : end], packed, size, header, name
        )
        if packed != size:
            raise _inconsistent(f"{name!r} is stored but its two sizes differ", name)
        local = _LOCAL.unpack(self._at(header, _LOCAL.size))
        local_name = self._at(header + _LOCAL.size, local[9])
        if local[0] != b"PK\x03\x04" or local[2] != flags or local[3] != method:
            raise _inconsistent(f"the local header of {name!r} is another one's", name)
        if local_name != raw_name:
            raise _inconsistent(f"{name!r} has another name in its local header", name)
        deferred = bool(flags & _SIZES_FOLLOW)
        for own, central in ((local[6], checksum), (local[7], packed), (local[8], size)):
            # A writer that streams leaves the local fields zero; saturated means "see the extra".
            absent = (deferred and own == 0) or own == _SATURATED32
            if own != central and not absent:
                raise _inconsistent(f"the two headers of {name!r} disagree", name)
        start = header + _LOCAL.size + local[9] + local[10]
        if start + size > self._size:
            raise _inconsistent(f"{name!r} reaches past the end of the file", name)
        return Member(name, start, size, checksum), header, end

    @staticmethod
    def _check_layout(places: list[tuple[int, Member]], directory: int) -> None:
        """Members follow each other from byte 0 to the directory, without overlap or gap."""
        expected = 0
        for header, member in sorted(places, key=lambda place: place[0]):
            gap = header - expected
            if gap and (expected == 0 or gap not in _DESCRIPTOR_LENGTHS):
                what = "overlaps the member before it" if gap < 0 else "leaves a gap before it"
                raise _inconsistent(f"{member.name!r} {what}", member.name)
            expected = member.start + member.size
        gap = directory - expected
        if gap and gap not in _DESCRIPTOR_LENGTHS:
            raise _inconsistent("the members do not end where the central directory begins")


def _wide_fields(
    extra: bytes, packed: int, size: int, header: int, name: str
) -> tuple[int, int, int]:
    """Sizes and offset with the 64-bit values of the extra field where the 32-bit ones are full."""
    if _SATURATED32 not in (packed, size, header):
        return packed, size, header
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wanted = [value == _SATURATED32 for value in (size, packed, header)]
            if length < 8 * sum(wanted) or at + 4 + length > len(extra):
                break
            wide = iter(struct.unpack_from(f"<{sum(wanted)}Q", extra, at + 4))
            size = next(wide) if wanted[0] else size
            packed = next(wide) if wanted[1] else packed
            header = next(wide) if wanted[2] else header
            return packed, size, header
        at += 4 + length
    raise _inconsistent(f"{name!r} lacks its 64-bit sizes", name)


def _decode_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    parts = name.split("/")
    if (
        not name
        or len(raw) > limits.MAX_NAME_BYTES
        or "\\" in name
        or any(part in {"", ".", ".."} for part in parts)
        or not name.isprintable()
    ):
        raise ProgramRefused(
            "archive_member_refused",
            f"the archive has a member with the name {raw[:80]!r}, which torch.export never "
            f"writes; {EXPORT_HINT}",
        )
    return name


def _truncated() -> ProgramRefused:
    return ProgramRefused(
        "not_an_archive",
        "the file is not a complete zip archive as torch.export.save writes it: it was cut short, "
        f"or is something else; {EXPORT_HINT}",
    )


def _inconsistent(detail: str, name: str = "") -> ProgramRefused:
    return ProgramRefused(
        "archive_inconsistent", f"{detail}; {EXPORT_HINT} and do not re-pack it", name
    )
