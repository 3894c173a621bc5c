"""The README's curl walk-through, run by a shell exactly as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.live import Api, Live

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def walk_through() -> str:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1, "the README has one block of plain shell: the curl walk-through"
    return str(blocks[0])


def test_curl_walk_through(live: Live, live_api: Api, tmp_path: Path) -> None:
    """In a folder that looks like the repository's root to the script, and nothing more."""
    (tmp_path / ".lossatlas").mkdir()
    shutil.copy(live.folder / "endpoint.json", tmp_path / ".lossatlas" / "endpoint.json")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", walk_through()],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "surface.png").read_bytes().startswith(PNG)
    surface = json.loads((tmp_path / "surface.json").read_text())
    assert (len(surface["x"]), len(surface["y"])) == (25, 25)
