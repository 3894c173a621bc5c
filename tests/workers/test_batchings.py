"""What was measured once is known to every later job of the same program on the same machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workers.batchings import KnownBatchings

KEY = {"graph": "sha256:" + "0" * 64, "precision": "float32", "threads": 1}
CHOICE = {"batch_size": 64, "channels_last": False, "device": "cpu"}


def test_a_choice_is_known_to_other_processes_of_the_machine(tmp_path: Path) -> None:
    mine, theirs = KnownBatchings(tmp_path / "known"), KnownBatchings(tmp_path / "known")
    assert theirs.known(KEY) is None
    mine.keep(KEY, CHOICE)
    assert theirs.known(KEY) == CHOICE


@pytest.mark.parametrize("other", [{"threads": 2}, {"precision": "bf16"}, {"graph": "sha256:1"}])
def test_another_program_precision_or_number_of_threads_is_measured_anew(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    known = KnownBatchings(tmp_path)
    known.keep(KEY, CHOICE)
    assert known.known({**KEY, **other}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"batch_size": 0, "channels_last": true, "device": "cpu"}',
        '{"batch_size": true, "channels_last": true, "device": "cpu"}',
        '{"batch_size": 64, "channels_last": 1, "device": "cpu"}',
        '{"batch_size": 64, "channels_last": true}',
    ],
)
def test_what_cannot_be_read_counts_as_absent(tmp_path: Path, text: str) -> None:
    known = KnownBatchings(tmp_path)
    known.keep(KEY, CHOICE)
    (file,) = tmp_path.iterdir()
    file.write_text(text)
    assert known.known(KEY) is None
