"""The gallery: its smallest size against the live service, and the rules of its sentences."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import lossatlas
import numpy as np
import pytest
import torch
from lossatlas_gallery import images
from lossatlas_gallery.command import run
from lossatlas_gallery.findings import (
    Check,
    Facts,
    concluded,
    findings,
    number,
    percent,
    rank_correlation,
    sharpness_and_error,
)
from lossatlas_gallery.folder import Folder
from lossatlas_gallery.making import Maker
from lossatlas_gallery.networks import NAIVE_DEVIATION
from lossatlas_gallery.recipes import Recipe
from lossatlas_gallery.scales import shared, shared_ratio
from lossatlas_gallery.sections import panels_of, recipes_of, sections_of
from lossatlas_gallery.sizes import SIZES, size_of
from lossatlas_gallery.training import train

from tests.support.live import Api, Live

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Made:
    """A gallery of the smallest size, and what its making said."""

    folder: Path
    said: str
    body: dict[str, Any]
    page: str


def gallery(
    live: Live, output: Path, *more: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(
        [sys.executable, "-m", "lossatlas.cli.command", "gallery", "-o", str(output), *more],
        env={**environment, "LOSSATLAS_DATA_DIR": str(live.folder)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def made(live: Live, live_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("gallery") / "out"
    done = gallery(live, folder, SIZE="tiny")
    assert done.returncode == 0, (done.stdout, done.stderr)
    body = json.loads((folder / "gallery.json").read_text())
    return Made(folder, done.stdout, body, (folder / "index.html").read_text())


def test_every_picture_is_in_the_page(made: Made) -> None:
    found = [
        base64.b64decode(text) for text in re.findall(r"data:image/png;base64,([^\"]+)", made.page)
    ]
    named = [p for s in made.body["sections"] for row in s["rows"] for p in row["pictures"]]
    assert len(named) == len(panels_of(SIZES["tiny"])) == 4
    assert found == [(made.folder / path).read_bytes() for path in named]
    assert all(picture.startswith(PNG) for picture in found)
    # nothing is fetched from anywhere
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", made.page)


def test_its_numbers_are_the_services(made: Made, live_api: Api) -> None:
    text = unescape(made.page)
    for key, panel in made.body["panels"].items():
        assert panel["missing"] is None
        landscape = live_api.get(f"/v1/landscapes/{panel['landscape']}").json()
        data = live_api.get(f"/v1/landscapes/{panel['landscape']}/data.json").json()
        assert json.loads((made.folder / "landscapes" / f"{key}.json").read_text()) == data
        assert panel["landscape"] in text
        if panel["kind"] == "surface":
            expected = {name: landscape["derived"][name]["value"] for name in panel["numbers"]}
            assert panel["numbers"] == expected
            assert f"sharpness {number(expected['sharpness'])}" in text
        else:
            share = sum(data["trajectory"]["explained_variance"][:2])
            assert panel["numbers"]["explained"] == share
            assert panel["numbers"]["random"] == np.mean(data["trajectory"]["random_shares"])
            assert f"both {percent(share)}" in text
    for network in made.body["networks"].values():
        checkpoint = live_api.get(f"/v1/checkpoints/{network['end']}").json()
        assert checkpoint["metrics"]["test_error"] == network["numbers"]["test_error"]
        assert percent(network["numbers"]["test_error"]) in text


def test_its_sentences_are_those_of_the_rules(made: Made) -> None:
    facts = Facts(
        {slug: n["numbers"] for slug, n in made.body["networks"].items()},
        {key: p["numbers"] for key, p in made.body["panels"].items()},
        made.body["images"]["test"],
    )
    answers = findings(SIZES["tiny"], facts)
    assert {s["slug"]: s["sentence"] for s in made.body["sections"]} == {
        slug: answer.sentence for slug, answer in answers.items()
    }
    assert all(answer.sentence in unescape(made.page) for answer in answers.values())


def test_panels_of_a_row_have_one_scale(made: Made) -> None:
    scale = made.body["sections"][0]["rows"][0]["scale"]
    arrays = [
        json.loads((made.folder / "landscapes" / f"{key}.json").read_text())["datasets"]
        for key in made.body["sections"][0]["rows"][0]["panels"]
    ]
    losses = np.array([d["loss"]["values"] for data in arrays for d in data.values()])
    assert scale["low"] == losses.min()
    assert scale["high"] == min(losses.max(), 10 * np.log(10))


def test_checkpoints_of_a_path_have_step_and_rate(made: Made, live_api: Api) -> None:
    model = made.body["networks"]["batch-small-on"]["model"]
    items = live_api.get(f"/v1/models/{model}/checkpoints").json()["items"]
    assert [c["step"] for c in items] == [0, 20, 40, 60]
    assert [c["epoch"] for c in items] == [0, 1, 2, 3]
    assert [c["learning_rate"] for c in items] == pytest.approx([0.05, 0.05, 0.05, 0.005])


def test_a_second_run_goes_on_from_the_folder(made: Made, live: Live, live_api: Api) -> None:
    before = live_api.get("/v1/models", project="gallery").json()["items"]
    again = gallery(live, made.folder, "--size", "tiny")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("trained before") == 2
    assert again.stdout.count("computed before") == 4
    body = json.loads((made.folder / "gallery.json").read_text())
    assert body == made.body
    assert live_api.get("/v1/models", project="gallery").json()["items"] == before


def test_ctrl_c_leaves_what_is_done(live: Live, live_api: Api, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LOSSATLAS_DATA_DIR": str(live.folder)}
    running = subprocess.Popen(
        [sys.executable, "-m", "lossatlas_gallery", "--size", "small", "--output", tmp_path],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # in a shell's background Ctrl-C is ignored, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if ": trained in" in line:
                break
        began = time.monotonic()
        running.send_signal(2)
        out, err = running.communicate(timeout=30)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert time.monotonic() - began < 20
    assert running.returncode == 130
    assert "goes on from here" in out
    assert "Traceback" not in err
    for job in live_api.get("/v1/jobs", project="gallery").json()["items"]:
        if job["state"] in ("queued", "running"):
            live_api.post(f"/v1/jobs/{job['id']}/cancel")


def test_the_papers_regime_on_images_of_a_file(live_api: Api, tmp_path: Path) -> None:
    """What `full` does, but for its size and its device: colour, augmentation, drops, a file."""
    generator = np.random.default_rng(0)
    labels = np.arange(160) % 4
    pixels = generator.integers(0, 60, (160, 16, 16, 3)) + 60 * labels[:, None, None, None]
    np.savez(tmp_path / "images.npz", images=pixels.astype(np.uint8), labels=labels)
    size = replace(
        SIZES["full"],
        sections=("depth", "start"), num=3, samples=32, shallow=8, deep=14, narrow=2, epochs=2,
        vgg_width=2,
    )  # fmt: skip
    said: list[str] = []
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        maker = Maker(
            client,
            Folder(tmp_path / "out"),
            size,
            images.of_file(tmp_path / "images.npz"),
            torch.device("cpu"),
            said.append,
        )
        outcome = maker.make()
    assert outcome.missing == {}
    page = outcome.page.read_text()
    assert page.count("data:image/png") == sum(
        len(row.panels) for section in sections_of(size) for row in section.rows
    )
    body = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert body["networks"]["deep-skip"]["recipe"]["augment"]
    assert body["images"] | {"sha256": ""} == {
        "name": "images.npz", "sha256": "", "train": 133, "test": 27
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "huge"], "give one of tiny, small, standard, full"),
        (["--size", "full"], "needs a CUDA device" if not torch.cuda.is_available() else "IMAGES"),
        (["--size", "tiny", "--images", "x.npz"], "is for SIZE=full"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], said: str, live: Live, live_api: Api, tmp_path: Path
) -> None:
    done = gallery(live, tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


# the rules


def check(left: float | None, right: float | None, margin: float = 0.1) -> Check:
    return Check("left is larger", left, right, margin, number)


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (2.0, 1.0, "holds"),
        (1.0, 2.0, "fails"),
        (1.05, 1.0, "no difference"),
        (None, 1.0, "open"),
        (1.0, None, "open"),
    ],
)
def test_a_comparison_comes_out(left: float | None, right: float | None, outcome: str) -> None:
    assert check(left, right).outcome == outcome


def test_a_verdict_follows_from_its_comparisons() -> None:
    holds, fails, same, open_ = check(2, 1), check(1, 2), check(1, 1), check(None, 1)
    assert concluded([holds, holds]).verdict == "shows"
    assert concluded([holds, open_]).verdict == "shows"
    assert "1 of 2 comparisons lack a number" in concluded([holds, open_]).sentence
    assert concluded([holds, fails]).verdict == "shows in part"
    assert concluded([fails, same]).verdict == "does not show"
    assert concluded([open_]).verdict == concluded([]).verdict == "cannot be told"
    said = concluded([holds, fails, same]).sentence
    assert (
        "left is larger (2 against 1). The opposite is found for: left is larger (1 against 2)"
        in said
    )
    assert "No clear difference for: left is larger (1 against 1)" in said


SURFACE = {"nonconvex_share": 0.0, "sharpness": 1.0, "local_minima": 1.0}


def facts_of_the_claims() -> Facts:
    """Numbers for which every claim shows."""
    smooth, rough = SURFACE, {"nonconvex_share": 0.5, "sharpness": 9.0, "local_minima": 5.0}
    middle = {"nonconvex_share": 0.3, "sharpness": 4.0, "local_minima": 2.0}
    good, bad = {"test_error": 0.01, "train_error": 0.0}, {"test_error": 0.3, "train_error": 0.1}
    networks: dict[str, dict[str, float | None]] = {
        "deep-plain": {**bad},
        "deep-skip": {**good},
        "shallow-plain": {**good},
        "shallow-skip": {**good},
        "wide-2": {**good, "test_error": 0.1},
        "wide-4": {**good},
        "batch-small-off": {**good, "norm": 30.0},
        "batch-large-off": {**bad, "norm": 20.0},
        "batch-small-on": {**good, "norm": 10.0},
        "batch-large-on": {**bad, "norm": 20.0},
        "start-he": {**good, "loss_before": 2.5},
        "start-naive": {**bad, "test_error": 0.9, "loss_before": 900.0},
    }
    panels: dict[str, dict[str, float | None]] = {
        "surface-deep-plain": {**rough},
        "surface-deep-skip": {**smooth},
        "surface-shallow-plain": {**smooth},
        "surface-shallow-skip": {**smooth},
        "surface-wide-2": {**middle},
        "surface-wide-4": {**smooth},
        "ratio-deep-plain": {
            "ratio_median": 0.5,
            "ratio_mean": 0.5,
            "negative_share": 0.9,
            "strongly_negative_share": 0.8,
        },
        "ratio-deep-skip": {
            "ratio_median": 0.01,
            "ratio_mean": 0.02,
            "negative_share": 0.1,
            "strongly_negative_share": 0.0,
        },
        "line-off": {"rise_origin": 0.1, "rise_target": 2.0},
        "line-on": {"rise_origin": 2.0, "rise_target": 0.1},
        **{f"path-{end}": {"explained": 0.8, "random": 0.001} for end in ("small", "large")},
        "start-he": {"nonconvex_share": 0.0},
        "start-naive": {"nonconvex_share": 0.9},
    }
    for end, numbers in (("small", smooth), ("large", rough)):
        for word in ("off", "on"):
            panels[f"surface-batch-{end}-{word}"] = {**numbers}
            panels[f"across-filter-{end}-{word}"] = {"rise": numbers["sharpness"]}
    # the lighter end rises more
    for word, light, heavy in (("off", "large", "small"), ("on", "small", "large")):
        panels[f"across-none-{light}-{word}"] = {"rise": 2.0}
        panels[f"across-none-{heavy}-{word}"] = {"rise": 0.1}
    return Facts(networks, panels, 500)


def turned(facts: Facts) -> Facts:
    """The same numbers under the names of the other side."""
    pairs = {
        "plain": "skip", "skip": "plain", "small": "large", "large": "small",
        "he": "naive", "naive": "he",
    }  # fmt: skip

    def other(name: str) -> str:
        return "-".join(pairs.get(part, part) for part in name.split("-"))

    networks = {other(slug): numbers for slug, numbers in facts.networks.items()}
    panels = {other(key): numbers for key, numbers in facts.panels.items()}
    last = networks["wide-4"], panels["surface-wide-4"]
    networks["wide-4"], panels["surface-wide-4"] = (
        networks["deep-plain"] | {"test_error": 0.5},
        panels["surface-deep-plain"] | {"sharpness": 50.0, "nonconvex_share": 0.9},
    )
    networks["deep-plain"], panels["surface-deep-plain"] = last
    for key in ("path-small", "path-large"):
        panels[key] = {"explained": 0.2, "random": 0.19}
    # the heavier end rises more, with and without weight decay
    for word in ("off", "on"):
        panels[f"line-{word}"] = {"rise_origin": 2.0, "rise_target": 0.1}
        panels[f"across-none-small-{word}"] = {"rise": 2.0}
        panels[f"across-none-large-{word}"] = {"rise": 0.1}
        networks[f"batch-small-{word}"] = {**networks[f"batch-small-{word}"], "norm": 30.0}
        networks[f"batch-large-{word}"] = {**networks[f"batch-large-{word}"], "norm": 20.0}
    return Facts(networks, panels, facts.test_samples)


@pytest.mark.parametrize("section", SIZES["standard"].sections)
def test_a_claim_shows_where_the_numbers_say_so_and_not_otherwise(section: str) -> None:
    size = replace(SIZES["standard"], sections=(section,))
    facts = facts_of_the_claims()
    assert findings(size, facts)[section].verdict == "shows"
    against = findings(size, turned(facts))[section]
    assert against.verdict == "does not show", against.sentence
    nothing = findings(size, Facts({}, {}, 500))[section]
    assert nothing.verdict == "cannot be told"


def test_errors_within_their_own_noise_are_no_difference() -> None:
    facts = facts_of_the_claims()
    size = replace(SIZES["standard"], sections=("start",))

    def outcome(naive: float) -> str:
        networks = {**facts.networks, "start-naive": {"test_error": naive, "loss_before": 900.0}}
        return findings(size, replace(facts, networks=networks))["start"].checks[-1].outcome

    # √((0.01·0.99 + 0.014·0.986) / 500) = 0.0069
    assert outcome(0.014) == "no difference"
    assert outcome(0.03) == "holds"


def test_an_untrained_network_has_no_sharpness_to_speak_of() -> None:
    facts = facts_of_the_claims()
    networks = {**facts.networks}
    networks["batch-large-on"] = {**networks["batch-large-on"], "train_error": 0.86}
    size = replace(SIZES["standard"], sections=("batch",))
    checks = findings(size, replace(facts, networks=networks))["batch"].checks
    assert [c.outcome for c in checks if "sharper" in c.words] == ["holds", "open"]


def test_ranks_are_correlated() -> None:
    assert rank_correlation([(1, 1), (2, 4), (3, 9), (4, 16)]) == pytest.approx(1)
    assert rank_correlation([(1, 4), (2, 3), (3, 2), (4, 1)]) == pytest.approx(-1)
    # by hand: ranks 0.5 0.5 2 3 and 0 1 2.5 2.5; sum of products 4, of squares 4.5 each
    assert rank_correlation([(1, 1), (1, 2), (2, 3), (3, 3)]) == pytest.approx(4 / 4.5)
    assert rank_correlation([(1, 1), (2, 2)]) is None
    assert rank_correlation([(1, 1)] * 5) is None
    facts = facts_of_the_claims()
    assert sharpness_and_error(facts).verdict == "shows"
    flat: dict[str, Mapping[str, float | None]] = {
        key: {
            **numbers,
            "sharpness": -(facts.network(key.removeprefix("surface-"), "test_error") or 0),
        }
        for key, numbers in facts.panels.items()
    }
    against = sharpness_and_error(replace(facts, panels=flat))
    assert against.verdict == "does not show"
    assert "The opposite is found" in against.sentence


# scales, recipes, images


def test_a_scale_ends_at_ten_times_the_loss_of_guessing() -> None:
    scale = shared([np.array([0.5, np.nan]), np.array([3e8, np.inf])], 10)
    assert scale is not None
    assert (scale.low, scale.high, scale.log, scale.cut) == (
        0.5, pytest.approx(23.03, abs=0.01), False, True
    )  # fmt: skip
    whole = shared([np.array([0.5]), np.array([3e8, np.inf])], 10, whole=True)
    assert whole is not None
    assert (whole.high, whole.log, whole.cut) == (3e8, True, False)
    low = shared([np.array([0.001, 2.0])], 10)
    assert low is not None
    assert (low.high, low.log, low.cut) == (2.0, True, False)
    above = shared([np.array([900.0, 9000.0])], 10)
    assert above is not None
    assert (above.low, above.high, above.cut) == (900.0, 9000.0, False)
    same = shared([np.array([1.0, 1.0])], 10)
    assert same is not None
    assert same.high > same.low
    assert shared([np.array([np.nan])], 10) is None
    ratio = shared_ratio([np.array([0.2, 3.0])])
    assert ratio is not None
    assert (ratio.low, ratio.high, ratio.log, ratio.cut) == (0.0, 1.0, False, True)


@pytest.mark.parametrize("name", SIZES)
def test_every_panel_has_its_networks_and_every_question_its_rule(name: str) -> None:
    size = size_of(name)
    slugs = [recipe.slug for recipe in recipes_of(size)]
    assert len(set(slugs)) == len(slugs)
    panels = panels_of(size)
    assert {slug for panel in panels for slug in panel.networks} == set(slugs)
    assert [s.slug for s in sections_of(size)] == list(size.sections)
    assert set(findings(size, Facts({}, {}, 1))) == set(size.sections)


def test_a_digest_names_what_the_weights_depend_on() -> None:
    recipe = Recipe("a", "A", "vgg", 2)
    assert recipe.digest("d") == replace(recipe, slug="b", title="B").digest("d")
    assert recipe.digest("d") != recipe.digest("e")
    assert recipe.digest("d") != replace(recipe, batch=7).digest("d")


def test_rates_drop_after_the_epochs_named() -> None:
    recipe = Recipe("a", "A", "vgg", 2, rate=1.0, epochs=9, schedule="drops", drops=(3, 6))
    assert [recipe.rate_at(e) for e in (0, 2.9, 3, 5.9, 6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_start_has_the_deviation_that_it_says() -> None:
    he = Recipe("a", "A", "vgg-plain", 32).build(1, 10)
    naive = Recipe("a", "A", "vgg-plain", 32, start="naive").build(1, 10)
    weights = {n: (p, dict(naive.named_parameters())[n]) for n, p in he.named_parameters()}
    for ours, others in (w for name, w in weights.items() if name == "hidden.weight"):
        assert float(ours.detach().std()) == pytest.approx((2 / ours.shape[1]) ** 0.5, rel=0.02)
        assert float(others.detach().std()) == pytest.approx(NAIVE_DEVIATION, rel=0.02)


def test_training_is_the_same_every_time_and_augmentation_keeps_shapes() -> None:
    recipe = Recipe("a", "A", "vgg", 2, epochs=1, keep=True, augment=True)
    data = images.digits(8)
    runs = [train(recipe, data, torch.device("cpu"), lambda *_: None)[1] for _ in range(2)]
    assert [m.step for m in runs[0]] == [0, len(data.train_images) // recipe.batch]
    for name, value in runs[0][-1].weights.items():
        assert torch.equal(value, runs[1][-1].weights[name])


def test_images_of_a_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    found = images.of_file(tmp_path / "a.npz")
    assert found.train_images.shape == (10, 3, 4, 4)
    assert found.test_classes.tolist() == [0, 0]
    assert found.classes == 3
    assert found.train_images.mean((0, 2, 3)).abs().max() < 1e-5
    np.savez(tmp_path / "b.npz", images=pixels)
    np.savez(tmp_path / "c.npz", images=pixels[0], labels=labels)
    np.savez(tmp_path / "d.npz", images=pixels, labels=labels[:3])
    np.savez(tmp_path / "e.npz", images=np.array([None]), labels=labels)
    (tmp_path / "f.safetensors").write_bytes(b"no header")
    for name, said in (
        ("b.npz", "no array 'labels'"), ("c.npz", "the shape"), ("d.npz", "12 whole numbers"),
        ("e.npz", "cannot be read"), ("f.safetensors", "cannot be read"), ("g.npz", "no such file"),
    ):  # fmt: skip
        with pytest.raises(lossatlas.InputError, match=said):
            images.of_file(tmp_path / name)


def test_full_needs_a_device_before_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(lossatlas.InputError, match="CUDA"):
        run(tmp_path / "out", size="full", images=tmp_path / "none.npz")
    assert not (tmp_path / "out").exists()
