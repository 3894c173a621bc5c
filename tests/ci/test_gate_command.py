"""`lossatlas gate`, `ci` and `alias` by subprocess: exit codes as a contract, and every report."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci.conftest import Files, Run, xml
from tests.support.live import Api

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def alias(lossatlas: Run, live_api: Api, landscapes: dict[str, str]) -> str:
    """Names the trained network's landscape; moved by somebody with the right."""
    lossatlas("alias", "set", "ci/prod", landscapes["trained"], LOSSATLAS_KEY=live_api.key)
    return "ci/prod"


def test_a_pass_and_its_reports(
    lossatlas: Run, landscapes: dict[str, str], alias: str, tmp_path: Path
) -> None:
    junit, report = tmp_path / "out" / "gate.xml", tmp_path / "out" / "gate report.md"
    outputs = tmp_path / "outputs"
    ran = lossatlas(
        "gate", landscapes["trained"], "--baseline", alias, "--junit", junit,
        "--markdown", report, "--outputs", outputs, "--rule",
        "sharpness <= baseline + 10%\n# why: see the handbook\n\ncenter_accuracy[digits] >= 0.5",
    )  # fmt: skip
    verdict, check, landscape = ran.out.splitlines()[-1].split()
    assert (verdict, landscape) == ("pass", landscapes["trained"])
    assert "nothing has changed" in ran.err
    assert outputs.read_text() == f"verdict=pass\ncheck={check}\nlandscape={landscape}\n"
    suite = xml(junit)[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "0")
    assert [case.get("name") for case in suite.iter("testcase")] == [
        "sharpness <= baseline + 10%",
        "center_accuracy[digits] >= 0.5",
    ]
    named = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert (named["check"], named["baseline_asked"]) == (check, alias)
    assert named["baseline_data"] == named["data"]
    text = report.read_text()
    assert "![Loss surface](gate%20report.png)" in text
    assert report.with_suffix(".png").read_bytes().startswith(PNG)
    assert "| ✅ | sharpness &lt;= baseline + 10% | digits |" in text
    assert check in text
    assert check in lossatlas("list", "checks", "--project", "ci").out


def test_a_failure_is_one_and_says_why(
    lossatlas: Run, landscapes: dict[str, str], alias: str, tmp_path: Path
) -> None:
    junit, report = tmp_path / "gate.xml", tmp_path / "gate.md"
    ran = lossatlas(
        "gate", landscapes["untrained"], "--baseline", alias, "--junit", junit, "--text-map",
        "--markdown", report, "-r", "center_loss <= baseline + 50%", "-r", "center_loss >= 0",
        "--json", code=1,
    )  # fmt: skip
    body = ran.json()
    assert (body["verdict"], body["exit_code"]) == ("fail", 1)
    assert body["files"] == [str(junit), str(report)]
    rule = body["check"]["rules"][0]
    assert rule["value"] > 1.5 * rule["baseline"]["value"]
    assert body["check"]["baseline"]["landscape"] == landscapes["trained"]
    suite = xml(junit)[0]
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "fail"
    assert "above" in str(failure.get("message"))
    assert "±" in str(failure.text)
    text = report.read_text()
    assert "| ❌ | center\\_loss" in text
    assert "```text\n" in text
    assert "\n@" in text.replace("^", "@") or "@" in text
    assert not report.with_suffix(".png").exists()


def test_doubt_fails_unless_it_may_pass(
    lossatlas: Run, landscapes: dict[str, str], tmp_path: Path
) -> None:
    first = lossatlas("gate", landscapes["trained"], "-r", "center_loss >= 0", "--json").json()
    value = first["check"]["rules"][0]["value"]
    near = ("gate", landscapes["trained"], "--rule", f"center_loss <= {value * 1.001}")
    assert "inside the error" in lossatlas(*near, code=1).err
    junit = tmp_path / "gate.xml"
    lenient = lossatlas(*near, "--on-inconclusive", "pass", "--junit", junit)
    assert lenient.out.splitlines()[-1].startswith("inconclusive")
    assert "WARNING: NOTHING WAS DECIDED" in lenient.err
    (skipped,) = xml(junit).iter("skipped")
    assert "inconclusive" in str(skipped.get("message"))
    assert lossatlas(*near, "--standard-errors", 0).out.splitlines()[-1].startswith("pass")


def test_a_job_is_waited_for(
    lossatlas: Run, live_api: Api, files: Files, landscapes: dict[str, str], tmp_path: Path
) -> None:
    spec = {**live_api.get(f"/v1/landscapes/{landscapes['trained']}").json()["spec"]}
    # far more than can be done meanwhile
    axis = {"min": -1, "max": 1, "num": 601}
    job = live_api.create("/v1/jobs", {**spec, "grid": {"x": axis, "y": axis}, "force": True})["id"]
    asked = ("gate", job, "--rule", "sharpness <= 3", "--baseline", "ci/prod", "--timeout", "0.3")
    junit = tmp_path / "gate.xml"
    late = lossatlas(*asked, "--junit", junit, code=4)
    line = next(line for line in late.err.splitlines() if line.startswith("resume with: "))
    resumed = shlex.split(line.removeprefix("resume with: "))
    assert resumed == ["lossatlas", *asked, "--junit", str(junit)]
    (error,) = xml(junit).iter("error")
    assert error.get("type") == "timed_out"
    assert job in str(error.text)
    told = lossatlas(*asked, "--json", code=4).json()
    assert (told["verdict"], told["error"]["job"]) == ("timed_out", job)
    assert told["error"]["resume"].startswith(f"lossatlas gate {job}")
    live_api.post(f"/v1/jobs/{job}/cancel")
    assert "cancelled" in lossatlas(*resumed[1:], code=3).err
    (error,) = xml(junit).iter("error")
    assert error.get("type") == "job_failed"
    axis = {"min": -1, "max": 1, "num": 5}
    done = live_api.create("/v1/jobs", {**spec, "grid": {"x": axis, "y": axis}})["id"]
    ran = lossatlas("gate", done, "--rule", "sharpness <= 1e9", "--timeout", 120)
    assert ran.out.splitlines()[-1].startswith("pass")
    # a log has lines, no bars
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--rule"),
        (["--rule", "# nothing"], "--rule"),
        (["--rule", "sharpness < 3"], "cannot read"),
        (["--rule", "bluntness <= 3"], "bluntness"),
        (["--rule", "barrier <= 3"], "has no barrier"),
        (["--rule", "sharpness <= baseline"], "/baseline"),
        (["--rule", "sharpness <= baseline", "--baseline", "ci/nothing"], "ci/nothing"),
        (["--rule", "sharpness <= 3", "--on-outage", "maybe"], "maybe"),
        (["--rule", "sharpness <= 3", "--standard-errors", "-1"], "--standard-errors"),
    ],
)
def test_wrong_use_is_refused(
    lossatlas: Run, landscapes: dict[str, str], arguments: list[str], said: str
) -> None:
    assert said in lossatlas("gate", landscapes["trained"], *arguments, code=2).err


def test_what_cannot_be_compared_is_named(
    lossatlas: Run, live_api: Api, landscapes: dict[str, str], alias: str, tmp_path: Path
) -> None:
    spec = live_api.get(f"/v1/landscapes/{landscapes['trained']}").json()["spec"]
    axis = {"min": -1, "max": 1, "num": 3}
    other = live_api.landscape_of({**spec, "grid": {"x": axis, "y": axis}, "precision": "float64"})
    asked = ("gate", other["landscape"], "-r", "sharpness <= baseline", "--baseline", alias)
    ran = lossatlas(*asked, "--json", code=2)
    body = ran.json()
    assert (body["verdict"], body["error"]["code"]) == ("error", "not_comparable")
    fields = {d["field"] for d in body["error"]["problem"]["differences"]}
    assert fields == {"grid.x.num", "grid.y.num", "precision"}
    assert "precision is float64 here and float32 there" in lossatlas(*asked, code=2).err
    assert lossatlas(*asked, code=2, LOSSATLAS_KEY="wrong").err.count("unauthenticated") == 1
    # neither is an outage
    lossatlas(*asked, "--on-outage", "pass", code=2)


def test_an_outage_fails_unless_it_may_pass(
    lossatlas: Run, nobody_there: dict[str, str], tmp_path: Path
) -> None:
    asked = ("gate", "lsc_" + "0" * 26, "--rule", "sharpness <= 3", "--junit", tmp_path / "g.xml")
    assert "cannot be reached" in lossatlas(*asked, code=5, **nobody_there).err
    assert next(xml(tmp_path / "g.xml").iter("error")).get("type") == ("outage")
    ran = lossatlas(*asked, "--on-outage", "pass", GITHUB_ACTIONS="true", **nobody_there)
    assert "WARNING: the service cannot be reached, so NOTHING WAS CHECKED" in ran.err
    assert "::warning title=Lossatlas::" in ran.err
    assert next(xml(tmp_path / "g.xml").iter("skipped")) is not None
    ran = lossatlas(*asked, "--on-outage", "pass", "--json", **nobody_there)
    assert ran.json()["verdict"] == "outage"
    assert ran.json()["error"]["exit_code"] == 0


def test_aliases(lossatlas: Run, live_api: Api, landscapes: dict[str, str], tmp_path: Path) -> None:
    first, second = landscapes["trained"], landscapes["untrained"]
    refused = lossatlas("alias", "set", "ci/release", first, code=2)
    assert "may not move" in refused.err
    admin = {"LOSSATLAS_KEY": live_api.key}
    set_ = ("alias", "set", "ci/release")
    assert lossatlas(*set_, first, "--from", "absent", "--note", "12", **admin).id == first
    assert "names" in lossatlas(*set_, second, "--from", second, code=2, **admin).err
    assert lossatlas(*set_, second, "--from", first, **admin).id == second
    lossatlas(*set_, first, "--from", "absent", code=2, **admin)
    assert lossatlas("alias", "get", "ci/release").id == second
    assert "ci/release" in lossatlas("alias", "list", "--project", "ci").out
    moves = lossatlas("alias", "history", "ci/release", "--json").json()["items"]
    assert [(m["from_target"], m["to_target"]) for m in moves] == [(first, second), (None, first)]
    assert moves[1]["note"] == "12"
    assert lossatlas("alias", "history", "ci/release").out.count(first) == 2
    lossatlas("alias", "remove", "ci/release", "--from", second, **admin)
    assert "not_found" in lossatlas("alias", "get", "ci/release", code=2).err
    assert "vision/prod" in lossatlas("alias", "get", "prod", code=2).err


def test_one_step_from_files_to_a_promoted_alias(
    lossatlas: Run, live_api: Api, files: Files, landscapes: dict[str, str], tmp_path: Path
) -> None:
    asked = (
        "ci", "--project", "ci", "--model", files.model, "--weights", files.trained,
        "--data", f"digits={files.data}", "--num", 7, "--promote", "ci/main",
        "--rule", "center_accuracy[digits] >= 0.5",
    )  # fmt: skip
    refused = lossatlas(*asked, code=2, GITHUB_SHA="abc", GITHUB_REPOSITORY="acme/vision")
    assert refused.out.splitlines()[-1].startswith("pass")
    assert "may not move" in refused.err
    done = lossatlas(*asked, "--json", LOSSATLAS_KEY=live_api.key)
    # the same question over the same bytes has its answer already
    assert done.json()["check"]["landscape"] == landscapes["trained"]
    assert lossatlas("alias", "get", "ci/main").id == landscapes["trained"]
    # a failure promotes nothing
    failing = (*asked[:-1], "center_accuracy >= 2")
    lossatlas(*failing, "--weights", files.untrained, code=1, LOSSATLAS_KEY=live_api.key)
    assert lossatlas("alias", "get", "ci/main").id == landscapes["trained"]
    models = live_api.get("/v1/models", project="ci", name="network").json()["items"]
    assert {"commit": "abc", "repository": "acme/vision"} in [m["metadata"] for m in models]
    # samples that are there are not registered again
    assert len(live_api.get("/v1/datasets", project="ci").json()["items"]) == 1
    for option, wrong in (("--weights", "nowhere"), ("--model", "nowhere"), ("--data", "a=b")):
        assert option in lossatlas(*asked, option, wrong, code=2).err


def test_curvature_in_one_step(lossatlas: Run, files: Files) -> None:
    ran = lossatlas(
        "ci", "--project", "ci", "--model", files.model, "--weights", files.trained,
        "--data", files.data, "--kind", "curvature",
        "--rule", "lambda_min >= -1e6", "--rule", "trace >= -1e6", "--json",
    )  # fmt: skip
    rules = ran.json()["check"]["rules"]
    # within the residual of the value
    assert rules[0]["low"] is not None, rules
    assert rules[0]["low"] < rules[0]["value"] < rules[0]["high"]
    assert rules[1]["stderr"] > 0


def test_step_by_step_in_a_script(
    lossatlas: Run, files: Files, pipeline_key: str, live_api: Api, tmp_path: Path
) -> None:
    """The lines of deploy/ci/README.md, as a shell runs them."""
    readme = (Path(__file__).parents[2] / "deploy" / "ci" / "README.md").read_text()
    block = next(b for b in readme.split("```sh\n")[1:] if b.startswith("MODEL="))
    script = block.split("```")[0]
    assert len(script.splitlines()) <= 6
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "lossatlas"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m lossatlas.cli.command "$@"\n')
    command.chmod(0o755)
    for name, path in (
        ("network.pt2", files.model),
        ("weights.safetensors", files.trained),
        ("test.safetensors", files.data),
    ):
        (tmp_path / name).symlink_to(path)
    script = script.replace("vision/prod", "ci/script").replace("--project vision", "--project ci")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HOME": "/nonexistent",
        "LOSSATLAS_URL": live_api.url,
        "LOSSATLAS_KEY": pipeline_key,
        "COMMIT": "abc",
    }

    def sh() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    without = sh()
    assert without.returncode == 2
    assert "ci/script" in without.stderr
    listed = json.loads(lossatlas("list", "landscapes", "--project", "ci", "--json").out)["items"]
    lossatlas("alias", "set", "ci/script", listed[0]["id"], LOSSATLAS_KEY=live_api.key)
    done = sh()
    assert done.returncode == 0, done
    assert xml(tmp_path / "gate.xml").get("failures") == "0"
