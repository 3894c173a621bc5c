"""The documentation's notebook, run as a reader runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.live import Api

NOTEBOOK = Path(__file__).parents[2] / "openapi" / "docs" / "digits.ipynb"


def outputs_of(notebook: Any, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if kind in output.get("data", {})
    ]


def test_it_runs_and_shows_what_it_says(
    live_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSATLAS_URL", live_api.url)
    monkeypatch.setenv("LOSSATLAS_KEY", live_api.key)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pages = outputs_of(notebook, "text/html")
    # the list of checkpoints, a landscape with its picture, the interactive page
    assert any("<th" in page and "learning_rate" in page and "ckp_" in page for page in pages)
    assert any("data:image/png;base64" in page and "lsc_" in page for page in pages)
    assert any(page.startswith("<iframe srcdoc=") for page in pages)
    assert len(outputs_of(notebook, "image/png")) >= 3
    said = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream"
    )
    # no warning, no progress left over
    assert said == ""


def test_it_is_kept_without_outputs() -> None:
    """They would hold ids, dates and megabytes of pictures, and change with every run."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
