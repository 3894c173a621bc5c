"""What a worker says of a new program: a signature and a form to keep, or what to change."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from service.domain.problems import Problem
from service.programs import canonical, read_program
from tests.program_binding.exported import save
from tests.program_binding.zoo import KINDS, Kind
from tests.support.module_network import point_of
from tests.support.reference import ROOT
from workers.childprocess import Child
from workers.computation import ingest as computing
from workers.frames import Frame
from workers.program.canonical import load_canonical
from workers.protocol import Ingest
from workers.sandbox import Confinement, Limits


def _body(path: Path, loss: str = "cross_entropy") -> dict[str, Any]:
    return {"loss": loss, "device": "cpu", "archive": str(path)}


def ingest(body: dict[str, Any]) -> Frame:
    answer, blobs = computing.ingest(Ingest(**body))
    return answer.frame(*blobs)


def _loss_of(kind: Kind) -> str:
    return {"program loss": "program", "decoder": "mse"}.get(kind.name, "cross_entropy")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_good_program(kind: Kind, tmp_path: Path) -> None:
    module, inputs = kind.make(), kind.inputs()
    path = save(module, tuple(t[:2] for t in inputs), tmp_path / "program.pt2")
    answer = ingest(_body(path, _loss_of(kind)))
    assert answer.type == "done"
    signature = json.loads(json.dumps(answer.body))["signature"]
    with torch.inference_mode():
        wanted = module(*inputs)
    (output,) = signature["outputs"]
    assert output == {"name": "output", "dtype": "float32", "shape": [None, *wanted.shape[1:]]}
    parameters = {item["name"]: tuple(item["shape"]) for item in signature["parameters"]}
    assert parameters == {n: tuple(p.shape) for n, p in module.named_parameters()}
    assert signature["activation_bytes_per_sample"] > 0

    graph, constants = tmp_path / "graph.json", tmp_path / "constants.safetensors"
    graph.write_bytes(answer.blobs[0])
    if len(answer.blobs) == 2:
        constants.write_bytes(answer.blobs[1])
    network = load_canonical(graph, constants if len(answer.blobs) == 2 else None)
    point = point_of(module)
    with torch.inference_mode():
        found = network.at(point.parameters, point.buffers)(*inputs)
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    assert ingest(_body(path, _loss_of(kind))) == answer


@pytest.mark.parametrize("folder", ["digits_convnet", "digits_mlp"])
def test_the_reference_programs(folder: str) -> None:
    answer = ingest(_body(ROOT / folder / "program.pt2"))
    assert answer.body["signature"]["outputs"] == [
        {"name": "output", "dtype": "float32", "shape": [None, 10]}
    ]
    with read_program(ROOT / folder / "program.pt2") as program:
        assert canonical.decode(answer.blobs[0]) == program.graph
    assert len(answer.blobs) == 1


class Head(nn.Module):
    """A linear map and a small table, put together by `rule`."""

    def __init__(self, rule: Callable[[Head, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.table = nn.Linear(4, 3), nn.Embedding(2, 4)
        self.register_buffer("row", torch.tensor([0, 1]))
        self.rule = rule

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(self, x)


REAL = torch.zeros(2, 4)
WORDS = torch.zeros(2, 5, dtype=torch.int64)
BAD: dict[str, tuple[Callable[[Head, Tensor], Tensor], Tensor, str, str, str]] = {
    "centred on the batch": (
        lambda m, x: m.linear(x - x.mean(0)),
        REAL,
        "cross_entropy",
        "samples_not_independent",
        "samples influence each other",
    ),
    "a mean over everything": (
        lambda m, x: m.linear(x).mean(),
        REAL,
        "program",
        "bad_inputs",
        "takes its inputs and then the targets",
    ),
    "one number": (
        lambda m, x: m.linear(x).mean(),
        REAL,
        "mse",
        "bad_output",
        "one output per sample",
    ),
    "classes": (lambda m, x: m.linear(x).argmax(1), REAL, "nll", "bad_output", "before argmax"),
    "squeezed": (
        lambda m, x: m.linear(x).squeeze(),
        REAL,
        "cross_entropy",
        "batch_not_dynamic",
        "name the dimension",
    ),
    "flattened": (
        lambda m, x: m.linear(x).flatten(),
        REAL,
        "mse",
        "batch_not_dynamic",
        "first dimension must be the samples'",
    ),
    "transposed": (
        lambda m, x: m.linear(x).t(),
        REAL,
        "mse",
        "batch_not_dynamic",
        "first dimension must be the samples'",
    ),
    "no classes": (
        lambda m, x: m.linear(x)[:, 0],
        REAL,
        "cross_entropy",
        "bad_output",
        "[samples, classes, …]",
    ),
    "out of the table": (
        lambda m, x: m.linear(m.table(x + 5).mean(1)),
        WORDS,
        "cross_entropy",
        "probe_failed",
        "aten.embedding.default (node ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_and_why(name: str, tmp_path: Path) -> None:
    rule, example, loss, code, words = BAD[name]
    path = save(Head(rule), (example,), tmp_path / "program.pt2")
    with pytest.raises(Problem) as caught:
        ingest(_body(path, loss))
    problem = caught.value.to_json()
    assert problem["code"] == "program_refused"
    assert problem["reason"]["code"] == code
    assert words in problem["detail"]


def test_a_failing_operator_is_pointed_at(tmp_path: Path) -> None:
    rule, example, loss, *_ = BAD["out of the table"]
    path = save(Head(rule), (example,), tmp_path / "program.pt2")
    with pytest.raises(Problem) as caught:
        ingest(_body(path, loss))
    pointer = caught.value.extra["reason"]["pointer"]
    member, _, place = pointer.partition("#")
    assert member == "models/model.json"
    assert place.startswith("/graph_module/graph/nodes/")


def test_a_program_that_would_take_too_much_is_refused_at_the_node(tmp_path: Path) -> None:
    """Before anything of it is computed, and for good: another worker would say the same."""
    rule = lambda m, x: m.linear(x) + 0 * (m.linear.weight.sum() * torch.ones(1 << 22)).sum()  # noqa: E731
    path = save(Head(rule), (REAL,), tmp_path / "program.pt2")
    assert ingest(_body(path)).type == "done"
    with pytest.raises(Problem) as caught:
        ingest({**_body(path), "memory_bytes": 24 << 20})
    reason = caught.value.extra["reason"]
    assert reason["code"] == "program_too_large"
    assert re.search(r"/graph_module/graph/nodes/\d+$", reason["pointer"])
    assert "LOSSATLAS_PROGRAM_MEMORY_BYTES" in reason["detail"]
    assert "a program may take 0.02344 GiB" in reason["detail"]


def test_whole_numbers_stay_inside_tables(tmp_path: Path) -> None:
    """Made-up words are 0 or 1, and all 0 where even 1 is too large; buffers keep their values."""
    rule = lambda m, x: m.linear(m.table(m.row[x * 1] + x - x).mean(1))  # noqa: E731
    path = save(Head(rule), (WORDS,), tmp_path / "two.pt2")
    assert ingest(_body(path)).type == "done"
    path = save(Head(lambda m, x: m.linear(m.table(x * 7).mean(1))), (WORDS,), tmp_path / "one.pt2")
    assert ingest(_body(path)).type == "done"


def test_sizes_that_vary_are_null_in_the_signature(tmp_path: Path) -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, words: Tensor) -> Tensor:
            return self.head(self.table(words)).transpose(1, 2)

    shapes = ({0: Dim("batch"), 1: Dim("length")},)
    program = torch.export.export(Tagger().eval(), (WORDS,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "program.pt2")
    signature = ingest(_body(tmp_path / "program.pt2")).body["signature"]
    assert signature["inputs"][0]["shape"] == [None, None]
    assert signature["outputs"][0]["shape"] == [None, 3, None]


def test_a_damaged_archive_is_refused_with_the_readers_reason(tmp_path: Path) -> None:
    whole = (ROOT / "digits_mlp" / "program.pt2").read_bytes()
    (tmp_path / "half.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Problem) as caught:
        ingest(_body(tmp_path / "half.pt2"))
    assert caught.value.code == "program_refused"
    assert caught.value.extra["reason"]["code"] == "not_an_archive"


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, Path]]:
    folder = tmp_path_factory.mktemp("readable")
    with Child(
        limits=Limits(1, 2 << 30), readable=[folder], confinement=Confinement(bubblewrap=None)
    ) as started:
        yield started, folder


def test_a_real_child_answers_and_survives_bad_programs(child: tuple[Child, Path]) -> None:
    process, folder = child
    asked = []
    for name in ("centred on the batch", "out of the table", "one number"):
        rule, example, loss, *_ = BAD[name]
        asked.append((_body(save(Head(rule), (example,), folder / "p.pt2"), loss), "failed"))
        process.send(Frame("ingest", asked[-1][0]))
        answer = process.poll(120)
        assert answer is not None
        assert answer.type == "failed"
        assert answer.body["problem"]["code"] == "program_refused"
        assert answer.body["retry"] is False
    (folder / "good.pt2").write_bytes((ROOT / "digits_mlp" / "program.pt2").read_bytes())
    process.send(Frame("ingest", _body(folder / "good.pt2")))
    answer = process.poll(120)
    assert answer is not None
    assert answer.type == "done"
    assert canonical.decode(answer.blobs[0]).inputs[0].name == "x"


def test_it_needs_no_compiler_and_no_unsafe_loader() -> None:
    """Importing torch's compiler takes seconds; torch's own reader of archives runs code."""
    code = (
        "import sys; from workers.computation.ingest import ingest; "
        "from workers.protocol import Ingest; "
        f"ingest(Ingest(**{_body(ROOT / 'digits_convnet' / 'program.pt2')!r})); "
        "print([m for m in ('torch._dynamo', 'torch._export.serde', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
