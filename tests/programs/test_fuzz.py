"""Random damage: whatever is done to an archive, the outcome is a graph or a refusal.

Seeds are fixed, so that a failure can be repeated; each case names its own.
"""

from __future__ import annotations

import json
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.programs import ProgramRefused, canonical, read_program
from tests.programs.archive import Archive, entries_of, zipped
from tests.programs.conftest import REFERENCE

_HARD_VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**300, 1e308, -0.0, "", "x", "Infinity", "\ud800",
    "\u0000", "a" * 5000, [], {}, [[]], {"as_int": 1}, {"as_name": "x"},
    {"as_tensor": {"name": "x"}}, {"as_none": True},
    [{"as_int": 2**62}] * 3, {"as_expr": {"expr_str": "Symbol('s0')"}},
]  # fmt: skip


def _outcome(path: Path) -> str:
    """What reading leads to, and that it is one of the two things it may be."""
    try:
        with read_program(path) as program:
            for name in program.tensors:
                program.contiguous(name)
            assert canonical.decode(canonical.encode(program.graph)) == program.graph
            json.dumps(program.signature.to_json(), allow_nan=False).encode()
            return "read"
    except ProgramRefused as refusal:
        str(refusal).encode()
        return refusal.code


@pytest.fixture(scope="module")
def base() -> Archive:
    archive = Archive.of(REFERENCE / "digits_convnet" / "program.pt2")
    archive.others["data/sample_inputs/model.pt"] = b"never read"
    return archive


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "program.pt2"


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of a JSON document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _places(item, (*path, index))
    return found


def _mutate(document: Any, draw: random.Random) -> None:
    """One change somewhere: a hard value, a removal, a doubling, or a swap."""
    place = draw.choice(_places(document))
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    last: Any = place[-1]
    kind = draw.randrange(4)
    if kind == 1:
        del holder[last]
    elif kind == 2 and isinstance(holder, list):
        holder.insert(draw.randrange(len(holder) + 1), holder[last])
    elif kind == 3:
        other = draw.choice(_places(document))
        value = document
        for key in other:
            value = value[key]
        holder[last] = json.loads(json.dumps(value))
    else:
        holder[last] = draw.choice(_HARD_VALUES)


def test_json_changed_at_random(base: Archive, scratch: Path) -> None:
    """Hundreds of changed documents, some changed twice or thrice; time and memory stay small."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, int] = {}
    slowest = 0.0
    for seed in range(600):
        draw = random.Random(seed)

        def change(archive: Archive, draw: random.Random = draw) -> None:
            part = draw.choice([archive.graph, archive.graph, archive.weights])
            for _ in range(draw.randint(1, 3)):
                _mutate(part, draw)

        scratch.write_bytes(base.changed(change).to_bytes())
        start = time.process_time()
        try:
            outcome = _outcome(scratch)
        except Exception as error:
            raise AssertionError(f"seed {seed} ended in {error!r}") from error
        slowest = max(slowest, time.process_time() - start)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes["read"] >= 30, outcomes
    assert len(outcomes) >= 8, outcomes
    assert slowest < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


def test_bytes_changed_at_random(base: Archive, scratch: Path) -> None:
    """Bytes flipped, cut out and copied anywhere in the file."""
    whole = base.to_bytes()
    outcomes: dict[str, int] = {}
    for seed in range(600):
        draw = random.Random(seed)
        data = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            # Half of the time in the directory, where a byte matters most.
            low = draw.choice([0, len(data) - 1500])
            at = draw.randrange(low, len(data))
            kind = draw.randrange(3)
            if kind == 0:
                data[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del data[at : at + draw.randrange(1, 40)]
            else:
                source = draw.randrange(len(data))
                data[at:at] = data[source : source + draw.randrange(1, 40)]
            if len(data) < 1600:
                break
        scratch.write_bytes(data)
        try:
            outcome = _outcome(scratch)
        except Exception as error:
            raise AssertionError(f"seed {seed} ended in {error!r}") from error
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert set(outcomes) >= {"not_an_archive", "archive_inconsistent"}, outcomes
    assert outcomes.get("read", 0) < 60, outcomes


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(document=_JSON)
def test_any_json_for_the_graph(document: Any, base: Archive, scratch: Path) -> None:
    members = base.members()
    members["models/model.json"] = json.dumps(document).encode()
    scratch.write_bytes(zipped(entries_of(members)))
    assert _outcome(scratch) in {"bad_graph", "bad_json"}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_any_bytes_for_the_canonical_form(data: bytes) -> None:
    with pytest.raises(ProgramRefused):
        canonical.decode(data)


def test_canonical_form_changed_at_random() -> None:
    """What is stored may be damaged too: a graph that obeys the rules, or a refusal."""
    with read_program(REFERENCE / "digits_convnet" / "program.pt2") as program:
        whole = json.loads(canonical.encode(program.graph))
    outcomes: dict[str, int] = {}
    for seed in range(600):
        draw = random.Random(seed)
        document = json.loads(json.dumps(whole))
        _mutate(document, draw)
        try:
            graph = canonical.decode(json.dumps(document).encode())
            assert canonical.decode(canonical.encode(graph)) == graph
            outcome = "read"
        except ProgramRefused as refusal:
            outcome = refusal.code
        except Exception as error:
            raise AssertionError(f"seed {seed} ended in {error!r}") from error
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes["bad_graph"] > 100, outcomes
    assert outcomes["read"] > 10, outcomes
