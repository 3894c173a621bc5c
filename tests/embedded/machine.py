"""What a test sees of processes from outside: the kernel's own tables."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Every living descendant."""
    found: list[int] = []
    todo = [pid]
    parents = _parents()
    while todo:
        parent = todo.pop()
        own = [child for child, its in parents.items() if its == parent]
        found += own
        todo += own
    return found


def parent(pid: int) -> int:
    """0 when it is gone."""
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def name(pid: int) -> str:
    """The program's name; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def user(pid: int) -> int:
    """Its real user id, as this process's namespace has it."""
    return os.stat(f"/proc/{pid}").st_uid


def listening(pids: list[int]) -> dict[str, list[tuple[str, int]]]:
    """Addresses that these processes listen on: program name → (address, port)."""
    owners: dict[str, int] = {}
    for pid in pids:
        try:
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                owners[os.readlink(descriptor)] = pid
        except OSError:
            continue
    found: dict[str, list[tuple[str, int]]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            owner = owners.get(f"socket:[{fields[9]}]")
            if fields[3] == "0A" and owner is not None:
                address, port = fields[1].split(":")
                found.setdefault(name(owner), []).append((_address(address), int(port, 16)))
    return found


def until(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits for a condition; fails, saying what did not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def _address(text: str) -> str:
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:
                continue
    return found


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what follows the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
