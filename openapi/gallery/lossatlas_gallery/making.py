"""From a size to its page: trains, asks while the next network trains, waits, compares, writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from lossatlas.client import Client
from lossatlas.errors import JobCancelled, JobFailed, ProblemError, WaitTimeout
from lossatlas.files import write_bytes
from lossatlas.jobs import Job
from lossatlas.landscapes import Landscape

from lossatlas_gallery.findings import Facts, Finding, findings, sharpness_and_error
from lossatlas_gallery.folder import Folder, Trained
from lossatlas_gallery.images import Images
from lossatlas_gallery.mapping import MARGIN, REACH, SEED, Data, Mapper, Pushed
from lossatlas_gallery.numbers import numbers_of, ratio
from lossatlas_gallery.page import Content, Shown, ShownRow, ShownSection, html
from lossatlas_gallery.recipes import Recipe
from lossatlas_gallery.scales import Scale, shared, shared_ratio
from lossatlas_gallery.sections import Panel, Row, panels_of, recipes_of, sections_of
from lossatlas_gallery.sizes import Size
from lossatlas_gallery.training import score, train

#: Of pictures, in pixels: readable in a column of the page.
_WIDTH: Final = 460
#: How often training and waiting say how far they are.
_SAY_SECONDS: Final = 20.0
_HOLD_SECONDS: Final = 5.0
#: Measures whose definitions the page quotes.
_DEFINED: Final = (
    "sharpness",
    "basin_width",
    "nonconvex_share",
    "local_minima",
    "roughness",
    "barrier",
    "negative_share",
    "strongly_negative_share",
)


@dataclass(frozen=True)
class Outcome:
    """What was made: the page, and why panels are missing from it, by key."""

    page: Path
    missing: Mapping[str, str]
    seconds: float


class Maker:
    """One gallery. `say` is told each step in a line."""

    def __init__(
        self,
        client: Client,
        folder: Folder,
        size: Size,
        images: Images,
        device: torch.device,
        say: Callable[[str], None],
    ) -> None:
        self._mapper = Mapper(client, folder, size, images)
        self._folder = folder
        self._size = size
        self._images = images
        self._device = device
        self._tell = say
        self._began = time.monotonic()
        self._jobs: dict[str, Job] = {}
        self._landscapes: dict[str, Landscape] = {}
        self._missing: dict[str, str] = {}

    def make(self) -> Outcome:
        """Everything, or what is left of it. Raises LossatlasError."""
        recipes, panels = recipes_of(self._size), panels_of(self._size)
        self._say(f"{len(recipes)} networks on {self._images.name}, {len(panels)} landscapes")
        data = self._mapper.push_data()
        trained: dict[str, Trained] = {}
        pushed: dict[str, Pushed] = {}
        for recipe in recipes:
            trained[recipe.slug] = self._train(recipe)
            pushed[recipe.slug] = self._mapper.push(recipe, trained[recipe.slug])
            # the service computes while the next network trains
            self._ask(panels, pushed, data)
        self._await(panels)
        page = self._write(recipes, trained, pushed)
        return Outcome(page, self._missing, time.monotonic() - self._began)

    def _train(self, recipe: Recipe) -> Trained:
        digest = recipe.digest(self._images.digest)
        kept = self._folder.trained(digest)
        if kept is not None:
            self._say(f"{recipe.title}: trained before")
            return kept
        began = said = time.monotonic()

        def told(epochs: int, loss: float) -> None:
            nonlocal said
            if time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                self._say(f"{recipe.title}: epoch {epochs} of {recipe.epochs}, loss {loss:.3g}")

        before = score(
            recipe.build(self._images.channels, self._images.classes).to(self._device), self._images
        )
        network, moments = train(recipe, self._images, self._device, told)
        after, seconds = score(network, self._images), time.monotonic() - began
        self._say(
            f"{recipe.title}: trained in {seconds:.1f} s, test error {after.test_error:.1%}, "
            f"train loss {after.train_loss:.3g}"
        )
        return self._folder.keep(digest, moments, before, after, seconds)

    def _ask(self, panels: tuple[Panel, ...], pushed: Mapping[str, Pushed], data: Data) -> None:
        for panel in panels:
            done = panel.key in self._jobs or panel.key in self._missing
            if done or not all(slug in pushed for slug in panel.networks):
                continue
            try:
                self._jobs[panel.key] = self._mapper.ask(panel, pushed, data)
            except ProblemError as problem:
                if problem.status >= 500 or problem.retryable:
                    raise
                # one question less; the others can be answered all the same
                self._missing[panel.key] = f"refused: {problem.detail}"

    def _await(self, panels: tuple[Panel, ...]) -> None:
        """Collects landscapes in the order in which they are finished."""
        waiting = [panel for panel in panels if panel.key in self._jobs]
        before = {p.key for p in waiting if self._jobs[p.key].info.finished}
        total, said = len(waiting), time.monotonic()
        while waiting:
            for panel in waiting:
                job = self._jobs[panel.key]
                if job.info.finished or job.refresh().finished:
                    self._collect(panel, job, earlier=panel.key in before)
            waiting = [p for p in waiting if not self._jobs[p.key].info.finished]
            if waiting and time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                self._say(self._progress(waiting, total))
            self._pause(waiting)

    def _pause(self, waiting: list[Panel]) -> None:
        """Until a job that runs is finished, or for a while."""
        jobs = [self._jobs[panel.key] for panel in waiting]
        running = [job for job in jobs if job.state == "running"] or jobs
        with suppress(WaitTimeout, JobFailed, JobCancelled):
            if running:
                running[0].wait(_HOLD_SECONDS, progress=False)

    def _progress(self, waiting: list[Panel], total: int) -> str:
        words = [f"{total - len(waiting)} of {total} landscapes are there"]
        for panel in waiting:
            info = self._jobs[panel.key].info
            if info.state == "running":
                words.append(f"{panel.key} {info.progress.done}/{info.progress.total or '?'} cells")
        return "; ".join(words)

    def _collect(self, panel: Panel, job: Job, *, earlier: bool) -> None:
        try:
            found = job.result()
        except JobFailed as failed:
            self._missing[panel.key] = f"{job.id} failed: {failed.detail}"
            self._say(f"{panel.key}: {self._missing[panel.key]}")
        except JobCancelled:
            self._missing[panel.key] = f"{job.id} was cancelled"
        else:
            self._landscapes[panel.key] = found
            found.save_data(self._folder.root / "landscapes" / f"{panel.key}.json")
            self._say(f"{panel.key}: {found.id}{', computed before' if earlier else ''}")

    def _write(
        self,
        recipes: tuple[Recipe, ...],
        trained: Mapping[str, Trained],
        pushed: Mapping[str, Pushed],
    ) -> Path:
        facts = self._facts(recipes, trained)
        answers = findings(self._size, facts)
        overall = sharpness_and_error(facts)
        shown = []
        for section in sections_of(self._size):
            rows = tuple(self._drawn(row) for row in section.rows)
            shown.append(ShownSection(section, rows, answers[section.slug]))
        content = Content(
            title="Loss landscapes: the questions of Li et al. (2018), asked again",
            data=self._data_words(recipes),
            method=self._method(),
            sections=shown,
            overall=overall if len(facts.networks) >= 4 else None,
            recipes=recipes,
            facts=facts,
            definitions=self._definitions(),
        )
        body = self._json(recipes, trained, pushed, facts, overall, shown)
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
        write_bytes(self._folder.root / "gallery.json", text.encode())
        return write_bytes(self._folder.root / "index.html", html(content).encode())

    def _facts(self, recipes: tuple[Recipe, ...], trained: Mapping[str, Trained]) -> Facts:
        networks: dict[str, dict[str, float | None]] = {}
        for recipe in recipes:
            network = recipe.build(self._images.channels, self._images.classes)
            kept = trained[recipe.slug]
            networks[recipe.slug] = {
                "parameters": float(sum(p.numel() for p in network.parameters())),
                **kept.after.metrics(),
                # running statistics have seen nothing yet
                "loss_before": None if recipe.normed else kept.before.train_loss,
                "seconds": kept.seconds,
            }
        panels = {p.key: p for p in panels_of(self._size)}
        numbers = {
            key: numbers_of(panels[key].kind, found) for key, found in self._landscapes.items()
        }
        return Facts(networks, numbers, len(self._images.test_images))

    def _drawn(self, row: Row) -> ShownRow:
        """The row's pictures, on one scale."""
        panels = [p for shown in row.panels for p in (shown, *shown.beside)]
        found = {p.key: self._landscapes[p.key] for p in panels if p.key in self._landscapes}
        scale = self._scale(row, found)
        shown = []
        for panel in row.panels:
            landscape = found.get(panel.key)
            if landscape is None:
                shown.append(Shown(panel, None, None, self._missing.get(panel.key)))
                continue
            absent = [p.key for p in panel.beside if p.key not in self._landscapes]
            if absent:
                reason = f"{absent[0]} is missing: {self._missing.get(absent[0])}"
                shown.append(Shown(panel, None, None, reason))
                continue
            picture = self._folder.root / "figures" / f"{panel.key}-{row.view}.png"
            landscape.save_figure(
                picture,
                row.view,
                metric=row.measure,
                theme="light",
                width=_WIDTH,
                beside=[self._landscapes[p.key] for p in panel.beside],
                labels=[p.label for p in (panel, *panel.beside)] if panel.beside else [],
                **({} if scale is None else scale.options()),
            )
            shown.append(Shown(panel, picture, landscape.id))
        return ShownRow(tuple(shown), scale)

    def _scale(self, row: Row, found: Mapping[str, Landscape]) -> Scale | None:
        if row.view == "weights":
            return None
        if row.measure == "ratio":
            return shared_ratio(ratio(landscape) for landscape in found.values())
        values = [d.loss for one in found.values() for d in one.grid.datasets.values()]
        return shared(values, self._images.classes, whole=row.whole)

    def _data_words(self, recipes: tuple[Recipe, ...]) -> str:
        images = self._images
        height, width = images.train_images.shape[2:]
        return (
            f"{len(recipes)} networks trained on {images.name}: {len(images.train_images):,} "
            f"images of {height}×{width} pixels, {len(images.test_images):,} held back for the "
            f"test errors; {len(self._landscapes)} landscapes. Size: {self._size.name}. One seed "
            "each, so a small difference may be chance; every answer below is made from the "
            "numbers by a stated rule."
        )

    def _method(self) -> list[str]:
        size = self._size
        low, high = REACH
        return [
            f"Surfaces: {size.num}×{size.num} cells, α and β from {low:g} to {high:g} along two "
            f"random directions (seed {SEED}), filter-normalised, biases and norms left alone; the "
            f"mean loss of the first {size.samples:,} training samples. The same seed for all, so "
            "networks of the same shape are cut along equally drawn directions.",
            "Lines: training and test set; running statistics are recomputed from training samples "
            "at every point. A rise is how much the training loss grows from a minimum to the "
            "outer end of the line.",
            f"Lines along random directions: {size.repeats} of them (seeds {SEED} to "
            f"{SEED + size.repeats - 1}), the mean and one standard deviation about it; α from "
            f"{-size.reach:g} to {size.reach:g} where directions are as drawn (standard Gaussians: "
            f"steps of the weights' own size), from {low:g} to {high:g} where they are "
            "filter-normalised.",
            "A row of panels has one scale. On contour plots, losses beyond ten times that of "
            "guessing are drawn as its end, which keeps the basins visible; numbers are not cut.",
            "Answers: a claim is cut into comparisons. Measures of shape must differ by a tenth of "
            "the larger one, shares of cells by 5 points, test errors by the standard error of "
            "their difference; anything less is no clear difference. All comparisons hold: the "
            "claim shows; some: in part; none: it does not.",
            f"Paths: two principal components of the weights after every epoch (uncentred, as the "
            f"paper has it); the surface reaches {MARGIN:g} of the path's extent beyond it.",
            "Eigenvalues: a negative curvature seen in a plane means a negative eigenvalue of the "
            "full Hessian; a plane that looks convex rules none out.",
        ]

    def _definitions(self) -> dict[str, str]:
        """The service's own definitions of the measures shown."""
        found: dict[str, str] = {}
        for landscape in self._landscapes.values():
            for name in _DEFINED:
                definition = (landscape.derived.get(name) or {}).get("definition")
                if definition:
                    found.setdefault(name.replace("_", " "), str(definition))
        return found

    def _json(
        self,
        recipes: tuple[Recipe, ...],
        trained: Mapping[str, Trained],
        pushed: Mapping[str, Pushed],
        facts: Facts,
        overall: Finding,
        shown: list[ShownSection],
    ) -> dict[str, Any]:
        networks = {
            recipe.slug: {
                "title": recipe.title,
                "recipe": asdict(recipe),
                "digest": trained[recipe.slug].digest,
                "model": pushed[recipe.slug].model.id,
                "start": pushed[recipe.slug].start.id,
                "end": pushed[recipe.slug].end.id,
                "numbers": facts.networks[recipe.slug],
            }
            for recipe in recipes
        }
        panels = {
            panel.key: {
                "title": panel.title,
                "kind": panel.kind,
                "job": self._jobs[panel.key].id if panel.key in self._jobs else None,
                "landscape": (
                    self._landscapes[panel.key].id if panel.key in self._landscapes else None
                ),
                "numbers": facts.panels.get(panel.key, {}),
                "missing": self._missing.get(panel.key),
            }
            for panel in panels_of(self._size)
        }
        return {
            "size": asdict(self._size),
            "images": {
                "name": self._images.name,
                "sha256": self._images.digest,
                "train": len(self._images.train_images),
                "test": facts.test_samples,
            },
            "networks": networks,
            "panels": panels,
            "sections": [
                {
                    "slug": one.section.slug,
                    "claim": one.section.claim,
                    **one.finding.to_json(),
                    "rows": [
                        {
                            "panels": [s.panel.key for s in row.panels],
                            "pictures": [
                                None
                                if s.picture is None
                                else s.picture.relative_to(self._folder.root).as_posix()
                                for s in row.panels
                            ],
                            "scale": None if row.scale is None else asdict(row.scale),
                        }
                        for row in one.rows
                    ],
                }
                for one in shown
            ],
            "sharpness_and_error": overall.to_json(),
        }

    def _say(self, words: str) -> None:
        seconds = round(time.monotonic() - self._began)
        self._tell(f"{seconds // 60:3d}:{seconds % 60:02d}  {words}")
