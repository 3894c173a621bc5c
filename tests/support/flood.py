"""A hostile caller at full strength: one request, again and again, on many connections at once.

    python -m tests.support.flood HOST:PORT CONNECTIONS < REQUEST

A process of its own, so that it takes nothing of the interpreter that measures. On SIGTERM it tells
how often it was answered with each status, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter


async def _again_and_again(host: str, port: int, request: bytes, told: Counter[str]) -> None:
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(host, port)
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                told[head.split()[1].decode()] += 1
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                await reader.readexactly(length)
                if b"connection: close" in head.lower():
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            told["broken"] += 1
            await asyncio.sleep(0.01)
        finally:
            if writer is not None:
                writer.close()


async def main(address: str, connections: int, request: bytes) -> None:
    """Until SIGTERM."""
    host, _, port = address.rpartition(":")
    told: Counter[str] = Counter()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tasks = [
        asyncio.create_task(_again_and_again(host, int(port), request, told))
        for _ in range(connections)
    ]
    print("begun", flush=True)
    await ended.wait()
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()))
