"""Writes the locks beside it: every package of an image and of CI's client, with its hashes.

Owns which locks there are. Versions are those of `deploy/constraints.txt`, which the tests ran
with; `uv` adds what other platforms need, and the hashes of every file of a version on PyPI. The
GitLab template is included by its address alone, so its lock stands in the template itself.
Run by `make locks`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CONSTRAINTS: Final = ROOT / "deploy" / "constraints.txt"
GITLAB: Final = ROOT / "deploy" / "ci" / "gitlab" / "lossatlas.gitlab-ci.yml"
#: What `pip install --no-build-isolation` builds our wheels with.
BUILD: Final = HERE / "build.in"

_HEADER: Final = "# Written by `make locks`; pip install --require-hashes -r {name}.txt\n"
_PACKAGE: Final = re.compile(r"^\w", re.MULTILINE)
_BLOCK: Final = re.compile(r"(?<=\n)( *)# lock: begin\n.*?# lock: end\n", re.DOTALL)


@dataclass(frozen=True)
class Lock:
    """One file: what a project of ours needs, with these extras."""

    name: str
    project: Path
    extras: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.txt"

    def text(self, uv: str) -> str:
        """The lock, resolved anew. Raises CalledProcessError, with uv's words on stderr."""
        command = [uv, "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"]
        command += ["--generate-hashes", "--universal", "--python-version", "3.11"]
        command += ["--default-index", "https://pypi.org/simple"]
        command += ["--constraint", str(CONSTRAINTS)]
        for extra in self.extras:
            command += ["--extra", extra]
        done = subprocess.run(
            [*command, str(self.project / "pyproject.toml"), str(BUILD)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return _HEADER.format(name=self.name) + done.stdout


LOCKS: Final = (
    Lock("api", ROOT),
    Lock("workers", ROOT, ("workers",)),
    Lock("client", ROOT / "openapi" / "client"),
)


def in_template(template: str, lock: str) -> str:
    """The GitLab template with the lock between its marks.

    Raises:
        ValueError: the marks are not there once.
    """
    found = _BLOCK.findall(template)
    if len(found) != 1:
        raise ValueError("the template has no one place for the lock")
    indent = found[0]
    lines = "".join(f"{indent}{line}\n" for line in lock.splitlines())
    return _BLOCK.sub(lambda _: f"{indent}# lock: begin\n{lines}{indent}# lock: end\n", template)


def main(uv: str) -> None:
    """Writes all of them."""
    for lock in LOCKS:
        text = lock.text(uv)
        lock.path.write_text(text)
        count = len(_PACKAGE.findall(text))
        sys.stderr.write(f"{lock.path.relative_to(ROOT)}: {count} packages\n")
    client = LOCKS[-1].path.read_text()
    GITLAB.write_text(in_template(GITLAB.read_text(), client))


if __name__ == "__main__":
    main(sys.argv[1])
