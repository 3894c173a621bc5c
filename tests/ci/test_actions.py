"""The shell of the GitHub action and of the GitLab template, read from their files and run by bash
in an empty folder outside the repository, against a live service.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci.conftest import Files, xml
from tests.support.live import Api

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "deploy" / "ci" / "github"
GITHUB: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "ci" / "gitlab" / "lossatlas.gitlab-ci.yml").read_text()
)
CLIENT_LOCK = ROOT / "deploy" / "locks" / "client.txt"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
#: pip works without an index, and what the client needs is lent by this environment: it has the
#: very versions of the lock, so that pip has nothing to fetch.
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages")),
}


@dataclass
class Runner:
    """A runner's folders and files."""

    work: Path
    temp: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_OUTPUT": str(self.temp / "output"),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
            "GITHUB_SHA": "0123abc",
            "RUNNER_TEMP": str(self.temp),
            "LOSSATLAS_RETRY_SECONDS": "1",
            **OFFLINE,
            **self.environment,
        }

    def step(self, step: Mapping[str, Any], inputs: Mapping[str, str]) -> Any:
        """Runs a step as GitHub does: expressions in its environment, bash over its script."""
        known = {name: str(about.get("default", "")) for name, about in GITHUB["inputs"].items()}
        unknown = set(inputs) - set(known)
        assert not unknown, unknown
        known |= inputs

        def value(text: str) -> str:
            return EXPRESSION.sub(lambda m: known[m[1].removeprefix("inputs.")], text)

        environment = {name: value(str(text)) for name, text in step.get("env", {}).items()}
        script = self.temp / "step.sh"
        script.write_text(step["run"])
        return self.bash(["-eo", "pipefail", str(script)], environment)

    def bash(
        self, arguments: list[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "--noprofile", "--norc", *arguments],
            env={**self.variables, **environment},
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        lines = (self.temp / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


def new_runner(folder: Path) -> Runner:
    work, temp = folder / "work", folder / "temp"
    work.mkdir(parents=True)
    temp.mkdir()
    return Runner(work, temp)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's sources, copied: building writes beside them."""
    copy = tmp_path_factory.mktemp("client") / "client"
    ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    shutil.copytree(ROOT / "openapi" / "client", copy, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def installed(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the action's first step makes."""
    runner = new_runner(tmp_path_factory.mktemp("install"))
    done = runner.step(GITHUB["runs"]["steps"][0], {"client": str(client)})
    assert done.returncode == 0, done
    assert list(runner.work.iterdir()) == []
    return runner.temp / "lossatlas"


@pytest.fixture
def runner(installed: Path, tmp_path: Path) -> Runner:
    made = new_runner(tmp_path)
    (made.temp / "lossatlas").symlink_to(installed)
    return made


@pytest.fixture
def inputs(live_api: Api, pipeline_key: str, files: Files) -> dict[str, str]:
    return {
        "url": live_api.url,
        "key": pipeline_key,
        "project": "ci",
        "model": str(files.model),
        "weights": str(files.trained),
        "data": f"digits={files.data}\n",
        "num": "7",
        "rules": "center_accuracy[digits] >= 0.5\nsharpness <= 1e6\n",
    }


@pytest.mark.parametrize("script", ["action", "template"])
def test_a_package_that_is_not_the_locked_one_is_not_installed(tmp_path: Path, script: str) -> None:
    """A file of the right name and version, and with other bytes than the lock's."""
    runner = new_runner(tmp_path)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    name = "annotated_doc-0.0.7"
    assert f"{name.replace('_', '-').replace('-0', '==0')} " in CLIENT_LOCK.read_text()
    with zipfile.ZipFile(wheels / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("annotated_doc.py", "raise SystemExit('another one')\n")
        wheel.writestr(
            f"{name}.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: annotated-doc\nVersion: 0.0.7\n",
        )
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    runner.environment = {"PIP_FIND_LINKS": str(wheels), "PYTHONPATH": ""}
    if script == "action":
        done = runner.step(GITHUB["runs"]["steps"][0], {})
    else:
        done = runner.bash(
            ["-eo", "pipefail", "-c", "\n".join(GITLAB[".lossatlas-gate"]["before_script"])], {}
        )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def gate(runner: Runner, inputs: Mapping[str, str]) -> Any:
    (step,) = (step for step in GITHUB["runs"]["steps"] if step.get("id") == "gate")
    return runner.step(step, inputs)


def test_no_script_holds_what_a_caller_gives() -> None:
    for step in GITHUB["runs"]["steps"]:
        assert not EXPRESSION.search(step["run"]), step["name"]
        assert step["shell"] == "bash"
        used = {m[1] for text in step["env"].values() for m in EXPRESSION.finditer(text)}
        assert used <= {f"inputs.{name}" for name in GITHUB["inputs"]}
    named = {m[1] for step in GITHUB["runs"]["steps"] for text in step["env"].values()
             for m in EXPRESSION.finditer(text)}  # fmt: skip
    assert named == {f"inputs.{name}" for name in GITHUB["inputs"]}


def test_a_pass(
    runner: Runner, inputs: dict[str, str], landscapes: dict[str, str], live_api: Api
) -> None:
    evil = "$(touch pwned) `touch pwned`; touch pwned #\" ' --json"
    done = gate(runner, {**inputs, "name": evil, "junit": "gate.xml", "figure": "surface.png"})
    assert done.returncode == 0, done
    assert {path.name for path in runner.work.iterdir()} == {"gate.xml", "surface.png"}
    found = runner.outputs()
    assert (found["verdict"], found["landscape"]) == ("pass", landscapes["trained"])
    assert live_api.get(f"/v1/checks/{found['check']}").json()["verdict"] == "pass"
    assert live_api.get("/v1/models", project="ci", name=evil).json()["items"]
    summary = (runner.temp / "summary").read_text()
    assert "✅ Loss landscape gate: passed" in summary
    assert "o" in summary.split("```text\n")[1]
    assert xml(runner.work / "gate.xml").get("tests") == "2"
    for secret in (inputs["key"],):
        assert secret not in done.stdout + done.stderr + summary


def test_a_failure_against_a_baseline(
    runner: Runner, inputs: dict[str, str], files: Files, landscapes: dict[str, str], live_api: Api
) -> None:
    put = live_api.http.put("/v1/aliases/ci/action", json={"target": landscapes["trained"]})
    assert put.status_code in (200, 201)
    worse = {
        **inputs,
        "weights": str(files.untrained),
        "baseline": "ci/action",
        "rules": "center_loss <= baseline + 50%",
    }
    done = gate(runner, worse)
    assert done.returncode == 1, done
    assert runner.outputs()["verdict"] == "fail"
    summary = (runner.temp / "summary").read_text()
    assert "❌ Loss landscape gate: failed" in summary
    assert landscapes["trained"] in summary


def test_an_outage(runner: Runner, inputs: dict[str, str], nobody_there: dict[str, str]) -> None:
    away = {**inputs, "url": nobody_there["LOSSATLAS_URL"]}
    done = gate(runner, away)
    assert done.returncode == 5, done
    assert runner.outputs()["verdict"] == "outage"
    done = gate(runner, {**away, "on-outage": "pass"})
    assert done.returncode == 0, done
    assert "::warning title=Lossatlas::" in done.stderr
    assert "NOTHING WAS CHECKED" in done.stderr
    assert "not checked" in (runner.temp / "summary").read_text()


def test_without_any_credentials(runner: Runner, inputs: dict[str, str]) -> None:
    done = gate(runner, {**inputs, "key": ""})
    assert done.returncode == 2, done
    assert "LOSSATLAS_KEY" in done.stderr


def test_gitlab(
    client: Path, tmp_path: Path, inputs: dict[str, str], files: Files, landscapes: dict[str, str]
) -> None:
    job = GITLAB[".lossatlas-gate"]
    runner = new_runner(tmp_path)
    variables = {
        **{name: str(value) for name, value in job["variables"].items()},
        "LOSSATLAS_CLIENT": str(client),
        "LOSSATLAS_URL": inputs["url"],
        "LOSSATLAS_KEY": inputs["key"],
        "LOSSATLAS_PROJECT": "ci",
        "LOSSATLAS_MODEL": inputs["model"],
        "LOSSATLAS_WEIGHTS": inputs["weights"],
        "LOSSATLAS_DATA": inputs["data"],
        "LOSSATLAS_RULES": inputs["rules"],
        "LOSSATLAS_NUM": "7",
        "CI_COMMIT_SHA": "0123abc",
    }
    script = "\n".join([*job["before_script"], *job["script"]])
    done = runner.bash(["-eo", "pipefail", "-c", script], variables)
    assert done.returncode == 0, done
    artifacts = job["artifacts"]
    for name in (*artifacts["paths"], *artifacts["reports"].values()):
        assert (runner.work / name).is_file(), name
    env = dict(
        line.split("=", 1) for line in (runner.work / "lossatlas-gate.env").read_text().split()
    )
    assert (env["verdict"], env["landscape"]) == ("pass", landscapes["trained"])
    assert "![Loss surface](lossatlas-gate.png)" in (runner.work / "lossatlas-gate.md").read_text()
    worse = {**variables, "LOSSATLAS_RULES": "center_accuracy >= 2"}
    failed = runner.bash(["-eo", "pipefail", "-c", "\n".join(job["script"])], worse)
    assert failed.returncode == 1, failed
    assert os.listdir(runner.work)
