"""Writes a software bill of materials (CycloneDX JSON) for each lock: what an image has in it.

Owns what is taken from where: names, versions and hashes from the lock, licences and what needs
what from the packages installed here, as `cyclonedx-py` reads them. What the lock has and this
machine has not (CUDA's libraries) stands there without a licence. The same locks and packages give
the same bytes. Run by `make sbom`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ROOT / "deploy" / "locks"
#: Lock and the project that it is of.
BILLS: Final = {
    "api": ROOT / "pyproject.toml",
    "workers": ROOT / "pyproject.toml",
    "client": ROOT / "openapi" / "client" / "pyproject.toml",
}
#: What an image is.
_TARGET: Final = {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"}
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """A package of a lock."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(lock: str) -> list[Locked]:
    """The packages of a lock's text that an image gets, by name."""
    found = []
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        if entry.startswith("#"):
            continue
        wanted = Requirement(entry.partition("--hash")[0].replace("\\", " ").strip())
        if wanted.marker is None or wanted.marker.evaluate({**_TARGET}):
            (pin,) = wanted.specifier
            found.append(Locked(normal(wanted.name), pin.version, tuple(_HASH.findall(entry))))
    return sorted(found, key=lambda one: one.name)


def normal(name: str) -> str:
    """A project's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(project: Path) -> dict[str, Any]:
    """The bill of everything that is installed here, whose main component is the project."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--no-validate"]
    command += [
        "--output-reproducible",
        "--spec-version",
        "1.6",
        "--pyproject",
        str(project),
        sys.executable,
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def bill_of(packages: list[Locked], here: dict[str, Any]) -> dict[str, Any]:
    """The bill of these packages.

    Args:
        here: as `installed` gives it.
    """
    known = {normal(one["name"]): one for one in here["components"]}
    refs = {known[one.name]["bom-ref"]: _ref(one) for one in packages if one.name in known}
    needs: dict[str, list[str]] = {
        entry["ref"]: entry.get("dependsOn", []) for entry in here["dependencies"]
    }
    main = {**here["metadata"]["component"], "bom-ref": "main"}
    graph = [{"ref": "main", "dependsOn": sorted(_ref(one) for one in packages)}]
    graph += [
        {
            "ref": _ref(one),
            "dependsOn": sorted(
                refs[other]
                for other in needs.get(known.get(one.name, {}).get("bom-ref", ""), [])
                if other in refs
            ),
        }
        for one in packages
    ]
    return {
        **{name: here[name] for name in ("$schema", "bomFormat", "specVersion", "version")},
        "metadata": {**here["metadata"], "component": main},
        "components": [_component(one, known.get(one.name, {})) for one in packages],
        "dependencies": [entry if entry["dependsOn"] else {"ref": entry["ref"]} for entry in graph],
    }


def _ref(package: Locked) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(package: Locked, known: dict[str, Any]) -> dict[str, Any]:
    kept = {name: known[name] for name in ("description", "licenses") if name in known}
    return {
        "type": "library",
        "bom-ref": _ref(package),
        "name": package.name,
        "version": package.version,
        "purl": _ref(package),
        **kept,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{package.version}/#files",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
            }
        ],
    }


def main(folder: Path) -> None:
    """Writes `<lock>.cdx.json` for each lock into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, project in BILLS.items():
        packages = locked((LOCKS / f"{name}.txt").read_text())
        bill = bill_of(packages, installed(project))
        path = folder / f"{name}.cdx.json"
        path.write_text(json.dumps(bill, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        sys.stderr.write(f"{path}: {len(packages)} packages\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
