"""Weights against programs: each misfit is found and named."""

from __future__ import annotations

from service.inputs.fit import (
    NAMED_MISFITS,
    Misfit,
    TensorShape,
    common_prefix,
    misfits,
    refuse,
    untied,
)

PROGRAM = {
    "conv.weight": TensorShape("float32", (6, 1, 3, 3)),
    "bn.running_mean": TensorShape("float32", (6,)),
    "bn.num_batches_tracked": TensorShape("int64", ()),
    "fc.bias": TensorShape("float32", (10,)),
}


def test_the_same_tensors_fit() -> None:
    assert misfits(PROGRAM, PROGRAM) == []


def test_the_batch_counter_may_be_absent() -> None:
    given = {n: t for n, t in PROGRAM.items() if n != "bn.num_batches_tracked"}
    assert misfits(PROGRAM, given) == []


def test_any_floating_type_will_do_for_a_floating_tensor() -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        assert misfits(PROGRAM, {**PROGRAM, "fc.bias": TensorShape(dtype, (10,))}) == []


def test_each_kind_of_misfit_is_told_apart() -> None:
    given = {
        "conv.weight": TensorShape("float32", (6, 3, 3, 1)),
        "bn.running_mean": TensorShape("int64", (6,)),
        "bn.num_batches_tracked": TensorShape("float32", ()),
        "head.bias": TensorShape("float32", (10,)),
    }
    found = {m.name: m.kind for m in misfits(PROGRAM, given)}
    assert found == {
        "conv.weight": "shape",
        "bn.running_mean": "type",
        "bn.num_batches_tracked": "type",
        "fc.bias": "missing",
        "head.bias": "extra",
    }


def test_optional_tensors_may_be_absent_but_must_fit() -> None:
    optional = {"mean": TensorShape("float32", (3,))}
    assert misfits({}, {}, optional=optional) == []
    wrong = misfits({}, {"mean": TensorShape("float32", (4,))}, optional=optional)
    assert [m.kind for m in wrong] == ["shape"]


def test_a_prefix_before_every_name_is_recognised() -> None:
    wrapped = {f"module.{n}": t for n, t in PROGRAM.items()}
    assert common_prefix(PROGRAM, wrapped) == "module."
    assert common_prefix(PROGRAM, PROGRAM) == ""
    assert common_prefix(PROGRAM, {"module.fc.bias": PROGRAM["fc.bias"]}) == ""


def test_tied_tensors_go_by_any_of_their_names() -> None:
    weight = TensorShape("float32", (10, 4))
    tied = {"head.weight": "embedding.weight"}
    for names in (["head.weight"], ["embedding.weight"], ["head.weight", "embedding.weight"]):
        given = untied(dict.fromkeys(names, weight), tied)
        assert given == {"embedding.weight": weight}
    assert untied({"other": weight}, tied) == {"other": weight}


def test_a_problem_names_fifty_and_counts_the_rest() -> None:
    found = [Misfit(f"w{i}", "missing", f"w{i} is missing") for i in range(NAMED_MISFITS + 7)]
    problem = refuse("weights_invalid", "/weights", "They do not fit", found, fix="Fix it.")
    assert len(problem.errors) == NAMED_MISFITS + 1
    assert problem.errors[0].detail == "w0 is missing"
    assert problem.errors[-1].detail == "and 7 more tensors"
    assert {error.pointer for error in problem.errors} == {"/weights"}
    assert problem.extra["misfits"] == NAMED_MISFITS + 7
    assert "57 missing" in problem.detail
