"""Whether a claim of the paper shows in the numbers: stated rules that make the sentences. Pure.

A claim is cut into comparisons of two numbers. Each holds, fails, or finds no difference beyond
its margin; a number that is not there leaves it open. All hold: the claim shows. None: it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from lossatlas_gallery.sizes import Size

Outcome = Literal["holds", "fails", "no difference", "open"]
Verdict = Literal["shows", "shows in part", "does not show", "cannot be told"]

#: Values of one network: `test_error`, `norm`, `loss_before` and others; None where undefined.
Values = Mapping[str, float | None]

#: Differences smaller than these are none: a share of the larger value for measures of sharpness,
#: points for shares of cells.
RELATIVE: Final = 0.1
POINTS: Final = 0.05
#: A rank correlation that counts as one must also be beyond so many standard errors.
RANK: Final = 0.5
ERRORS: Final = 1.96
_ENDS: Final = ("small", "large")
#: What the paper found two components to hold at least, and how much more than random planes.
EXPLAINED: Final = 0.4
TIMES: Final = 10.0
#: A network that errs more often on what it was trained on has not reached a minimum.
TRAINED: Final = 0.5


@dataclass(frozen=True)
class Facts:
    """All the numbers.

    Attributes:
        networks, panels: by slug and by key.
        test_samples: how many images the test errors are shares of.
    """

    networks: Mapping[str, Values]
    panels: Mapping[str, Values]
    test_samples: int

    def network(self, slug: str, name: str) -> float | None:
        """One number of a network; None when it is not there."""
        return _finite(self.networks.get(slug, {}).get(name))

    def panel(self, key: str, name: str) -> float | None:
        """One number of a landscape; None when it is not there."""
        return _finite(self.panels.get(key, {}).get(name))


@dataclass(frozen=True)
class Check:
    """One comparison: that `left` is above `right` by more than `margin`.

    `numbers` is what the sentence gives in brackets, in place of both.
    """

    words: str
    left: float | None
    right: float | None
    margin: float
    shown: Callable[[float], str]
    numbers: str | None = None

    @property
    def outcome(self) -> Outcome:
        """How it came out."""
        if self.left is None or self.right is None:
            return "open"
        if abs(self.left - self.right) <= self.margin:
            return "no difference"
        return "holds" if self.left > self.right else "fails"

    @property
    def sentence(self) -> str:
        """The comparison in words, with both numbers."""
        if self.left is None or self.right is None:
            return f"{self.words} (a number is missing)"
        both = f"{self.shown(self.left)} against {self.shown(self.right)}"
        return f"{self.words} ({both if self.numbers is None else self.numbers})"


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    verdict: Verdict
    sentence: str
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """As `gallery.json` has it."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "checks": [
                {
                    "claim": check.words,
                    "left": check.left,
                    "right": check.right,
                    "margin": check.margin,
                    "outcome": check.outcome,
                }
                for check in self.checks
            ],
        }


def concluded(checks: Iterable[Check]) -> Finding:
    """The verdict over the comparisons, and the sentence that says why."""
    checks = tuple(checks)
    told = [check for check in checks if check.outcome != "open"]
    holding = [check for check in told if check.outcome == "holds"]
    if not told:
        return Finding("cannot be told", "It cannot be told here: numbers are missing.", checks)
    if len(holding) == len(told):
        verdict: Verdict = "shows"
        head = "It shows at this size"
    elif holding:
        verdict, head = "shows in part", "It shows in part at this size"
    else:
        verdict, head = "does not show", "It does not show at this size"
    parts = []
    for outcome, lead in (
        ("holds", ""),
        ("fails", "The opposite is found for: "),
        ("no difference", "No clear difference for: "),
    ):
        said = [check.sentence for check in told if check.outcome == outcome]
        if said:
            parts.append(lead + "; ".join(said))
    left = len(checks) - len(told)
    tail = f" {left} of {len(checks)} comparisons lack a number." if left else ""
    mark = ": " if holding else ". "
    return Finding(verdict, f"{head}{mark}{'. '.join(parts)}.{tail}", checks)


def findings(size: Size, facts: Facts) -> dict[str, Finding]:
    """An answer for each of the size's questions, by the section's slug."""
    return {slug: concluded(_RULES[slug](size, facts)) for slug in size.sections}


# the rules


def _depth(size: Size, facts: Facts) -> list[Check]:
    plain, skip = "surface-deep-plain", "surface-deep-skip"
    growth = [
        _growth(facts, f"surface-deep-{kind}", f"surface-shallow-{kind}")
        for kind in ("plain", "skip")
    ]
    return [
        *_flatter(facts, plain, skip, "in the deep network without skips than with them"),
        _count(
            "more local minima without skips",
            facts.panel(plain, "local_minima"),
            facts.panel(skip, "local_minima"),
        ),
        _share("depth adds more non-convex cells without skips than with them", *growth),
        _error(facts, "deep-plain", "deep-skip", "the deep network errs more often without skips"),
    ]


def _width(size: Size, facts: Facts) -> list[Check]:
    checks = []
    for small, large in zip(size.factors, size.factors[1:], strict=False):
        narrow, wide = (k_slug(k) for k in (small, large))
        words = f"at k = {small} than at k = {large}"
        checks += _flatter(facts, f"surface-{narrow}", f"surface-{wide}", words)
        checks.append(_error(facts, narrow, wide, f"more errors {words}"))
    return checks


def _curvature(size: Size, facts: Facts) -> list[Check]:
    plain, skip = "ratio-deep-plain", "ratio-deep-skip"
    return [
        _relative(
            f"the {words} of |λ_min/λ_max| is larger without skips than with them",
            facts.panel(plain, name),
            facts.panel(skip, name),
        )
        for words, name in (("median", "ratio_median"), ("mean", "ratio_mean"))
    ] + [
        _share(
            f"the share of cells with {words} curvature is larger without skips",
            facts.panel(plain, name),
            facts.panel(skip, name),
        )
        for words, name in (
            ("negative", "negative_share"),
            ("strongly negative", "strongly_negative_share"),
        )
    ]


def _line(size: Size, facts: Facts) -> list[Check]:
    checks = []
    signs: list[float | None] = []
    for word, words in (("off", "without weight decay"), ("on", "with weight decay")):
        small = facts.panel(f"line-{word}", "rise_origin")
        large = facts.panel(f"line-{word}", "rise_target")
        norms = [facts.network(f"batch-{end}-{word}", "norm") for end in ("small", "large")]
        rises = None if small is None or large is None else large - small
        lengths = None if norms[0] is None or norms[1] is None else norms[0] - norms[1]
        signs.append(rises)
        heavier = None if lengths is None else lengths > 0
        # the end with the larger weights should look flatter
        steep, flat = (large, small) if heavier else (small, large)
        if heavier is None:
            steep = flat = None
        checks.append(
            _relative(f"{words}, the end with the smaller weights rises more", steep, flat)
        )
    off, on = signs
    reversal = None if off is None or on is None else -off * on
    checks.append(
        Check(
            "weight decay reverses which end rises more",
            reversal,
            None if reversal is None else 0.0,
            0.0,
            number,
            None
            if off is None or on is None
            else f"rise at the large batch minus that at the small one: {off:+.3g} without, "
            f"{on:+.3g} with",
        )
    )
    return checks


def _scale(size: Size, facts: Facts) -> list[Check]:
    checks = []
    low, high = size.batches
    for word, words in (("off", "without weight decay"), ("on", "with weight decay")):
        small, large = (facts.panel(f"across-none-{end}-{word}", "rise") for end in _ENDS)
        norms = [facts.network(f"batch-{end}-{word}", "norm") for end in _ENDS]
        steep = flat = None
        if norms[0] is not None and norms[1] is not None:
            steep, flat = (large, small) if norms[0] > norms[1] else (small, large)
        checks.append(
            _relative(
                f"along directions as drawn, {words}, the network with the smaller weights rises "
                "more",
                steep,
                flat,
            )
        )
        small, large = (facts.panel(f"across-filter-{end}-{word}", "rise") for end in _ENDS)
        checks.append(
            _relative(
                f"filter-normalised, {words}, batch {high} rises more than batch {low}",
                large,
                small,
            )
        )
    return checks


def _batch(size: Size, facts: Facts) -> list[Check]:
    checks = []
    low, high = size.batches
    words = {"off": "without weight decay", "on": "with weight decay"}
    for word in ("off", "on"):
        if f"batch-small-{word}" not in facts.networks:
            continue
        large, small = f"batch-large-{word}", f"batch-small-{word}"
        checks.append(
            _relative(
                f"{words[word]}, batch {high} is sharper than batch {low}",
                _at_minimum(facts, large),
                _at_minimum(facts, small),
            )
        )
        checks.append(
            _error(
                facts, large, small, f"{words[word]}, batch {high} errs more often than batch {low}"
            )
        )
    return checks


def _trajectory(size: Size, facts: Facts) -> list[Check]:
    checks = []
    for end, batch in zip(("small", "large"), size.batches, strict=True):
        held = facts.panel(f"path-{end}", "explained")
        random = facts.panel(f"path-{end}", "random")
        checks.append(
            Check(
                f"at batch {batch}, two components hold more than {EXPLAINED:.0%} of the variation",
                held,
                EXPLAINED,
                0.0,
                percent,
                None if held is None else percent(held),
            )
        )
        checks.append(
            Check(
                f"at batch {batch}, they hold more than {TIMES:g} times what random planes do",
                held,
                random,
                0.0 if random is None else (TIMES - 1) * random,
                percent,
            )
        )
    return checks


def _start(size: Size, facts: Facts) -> list[Check]:
    he, naive = "start-he", "start-naive"
    return [
        _relative(
            "the loss before training is higher after a naive start",
            facts.network(naive, "loss_before"),
            facts.network(he, "loss_before"),
        ),
        _share(
            "more non-convex cells around a naive start than around He's",
            facts.panel(naive, "nonconvex_share"),
            facts.panel(he, "nonconvex_share"),
        ),
        _error(facts, naive, he, "more errors after training from a naive start"),
    ]


_RULES: Final[Mapping[str, Callable[[Size, Facts], Sequence[Check]]]] = {
    "depth": _depth,
    "width": _width,
    "curvature": _curvature,
    "line": _line,
    "scale": _scale,
    "batch": _batch,
    "trajectory": _trajectory,
    "start": _start,
}


def sharpness_and_error(facts: Facts) -> Finding:
    """Over all trained networks with a surface: do the sharper ones err more often?"""
    pairs = [
        (sharp, wrong)
        for key in facts.panels
        if key.startswith("surface-")
        and (sharp := facts.panel(key, "sharpness")) is not None
        and (wrong := facts.network(key.removeprefix("surface-"), "test_error")) is not None
    ]
    rank = rank_correlation(pairs)
    # 1/√(n−1): its standard error where there is none
    least = max(RANK, ERRORS / math.sqrt(max(1, len(pairs) - 1)))
    check = Check(
        f"sharpness and test error rise together over {len(pairs)} networks",
        rank,
        None if rank is None else 0.0,
        least,
        number,
        None if rank is None else f"rank correlation {rank:.2f}; beyond ±{least:.2f} counts",
    )
    return concluded([check])


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's, ties sharing their mean rank; None for fewer than four pairs or no spread."""
    if len(pairs) < 4:
        return None
    left, right = (_ranks([pair[k] for pair in pairs]) for k in (0, 1))
    if left.std() == 0 or right.std() == 0:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def k_slug(factor: int) -> str:
    """The recipe of the deep network without skips, so many times as wide."""
    return "deep-plain" if factor == 1 else f"wide-{factor}"


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    small = 0 < abs(value) < 0.01
    return f"{100 * value:.2g}%" if small else f"{value:.1%}"


# comparisons


def _flatter(facts: Facts, above: str, below: str, words: str) -> list[Check]:
    return [
        _share(
            f"more non-convex cells {words}",
            facts.panel(above, "nonconvex_share"),
            facts.panel(below, "nonconvex_share"),
        ),
        _relative(
            f"more sharpness {words}",
            facts.panel(above, "sharpness"),
            facts.panel(below, "sharpness"),
        ),
    ]


def _at_minimum(facts: Facts, slug: str) -> float | None:
    """The sharpness of a network that was trained with success; of another it means nothing."""
    error = facts.network(slug, "train_error")
    trained = error is not None and error < TRAINED
    return facts.panel(f"surface-{slug}", "sharpness") if trained else None


def _growth(facts: Facts, deep: str, shallow: str) -> float | None:
    after, before = (facts.panel(key, "nonconvex_share") for key in (deep, shallow))
    return None if after is None or before is None else after - before


def _share(words: str, left: float | None, right: float | None) -> Check:
    return Check(words, left, right, POINTS, percent)


def _count(words: str, left: float | None, right: float | None) -> Check:
    return Check(words, left, right, 0.0, number)


def _relative(words: str, left: float | None, right: float | None) -> Check:
    known = left is not None and right is not None
    margin = RELATIVE * max(abs(left or 0.0), abs(right or 0.0)) if known else 0.0
    return Check(words, left, right, margin, number)


def _error(facts: Facts, above: str, below: str, words: str) -> Check:
    """Test errors: a difference within its own standard error is none."""
    left, right = facts.network(above, "test_error"), facts.network(below, "test_error")
    margin = 0.0
    if left is not None and right is not None:
        spread = left * (1 - left) + right * (1 - right)
        margin = math.sqrt(spread / facts.test_samples)
    return Check(words, left, right, margin, percent)


def _ranks(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(1)
    same = (array[:, None] == array[None, :]).sum(1)
    ranks: np.ndarray[Any, np.dtype[np.float64]] = below + (same - 1) / 2
    return ranks


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
