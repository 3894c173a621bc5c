"""One page's commands, run as a reader would: in order, in one folder, with what went before.

Shell commands keep their variables and functions, Python blocks their names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS: Final = 240.0

#: Runs inside one interpreter for the whole page: a JSON line for each block, one back for each.
_INTERPRETER: Final = """
import json, sys, traceback
names = {"__name__": "__main__"}
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "<documentation>", "exec"), names)
        answer = ""
    except BaseException:
        answer = traceback.format_exc()
    print(json.dumps(answer), file=answers, flush=True)
"""

#: `set -e` holds a block to its commands; what it defined is kept for the next.
_SHELL: Final = """
[ -f "$STATE" ] && source "$STATE" 2>/dev/null
keep() { code=$?; { declare -p; declare -f; } > "$STATE"; exit $code; }
trap keep EXIT
set -euo pipefail
cd "$FOLDER"
"""


@dataclass
class Session:
    """A folder, an environment and what has been defined so far."""

    folder: Path
    environment: Mapping[str, str]
    interpreter: subprocess.Popen[str] | None = None

    def shell(self, command: str) -> str:
        """What it printed. Raises AssertionError unless it exits with 0."""
        state = self.folder.parent / f"{self.folder.name}.state"
        done = subprocess.run(
            ["/bin/bash", "-c", f"{_SHELL}\n{command}"],
            cwd=self.folder,
            env={**self.environment, "STATE": str(state), "FOLDER": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n-- exit status {done.returncode}\n{said}"
        return said

    def python(self, text: str) -> None:
        """Raises AssertionError with the traceback if there is one."""
        if self.interpreter is None:
            self.interpreter = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self.folder,
                env={**self.environment, "MPLBACKEND": "agg"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(self.folder.parent / f"{self.folder.name}.python.log").open("w"),
                text=True,
            )
        assert self.interpreter.stdin is not None
        assert self.interpreter.stdout is not None
        self.interpreter.stdin.write(json.dumps(text) + "\n")
        self.interpreter.stdin.flush()
        answer = self.interpreter.stdout.readline()
        assert answer, "the interpreter is gone"
        assert json.loads(answer) == "", f"{text}\n{json.loads(answer)}"

    def close(self) -> None:
        """Ends the interpreter."""
        if self.interpreter is not None and self.interpreter.stdin is not None:
            self.interpreter.stdin.close()
            self.interpreter.wait(30)


def environment(home: Path, folders: Sequence[Path], **more: str) -> dict[str, str]:
    """A plain environment with these folders first in PATH; nothing else is inherited."""
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **more}
