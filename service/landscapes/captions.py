"""What a figure's caption says that the arrays do not know: names, directions, buffers.

Reads the ledger for the names of checkpoints and models; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.domain.definitions import outdated
from service.figures import Caption, NetworkPlace
from service.ledger import checkpoints, models
from service.ledger.records import CheckpointRecord, LandscapeRecord
from service.ledger.session import Session

#: More random directions than this are told by their first and last seed.
_SEEDS_TOLD: Final = 2


def caption_of(session: Session, landscape: LandscapeRecord) -> Caption:
    """The caption of a finished landscape."""
    return caption_for(
        session, landscape.model_id, landscape.origin, landscape.spec, landscape.provenance
    )


def caption_for(
    session: Session,
    model_id: str | None,
    origin: str | None,
    spec: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Caption:
    """The caption of a result of this job.

    Args:
        origin: the checkpoint that the result is about.
        provenance: as the result's; while it is being computed, what is known of it.
    """
    specs = _specs(provenance)
    names = {str(s["target"]) for s in specs if s.get("kind") == "between" and s.get("target")}
    names |= {str(network["checkpoint"]) for network in provenance.get("networks") or ()}
    # what names a target is about the line to it
    ends = spec.get("target")
    wanted = {str(i) for i in (origin, ends, *names) if i}
    points = _Points(session, model_id, checkpoints.for_ids(session, wanted))
    return Caption(
        model=points.model,
        # the ends of a line say all of it
        normalisation=None if ends else directions_in_words(specs, points.names()),
        origin=points.place(origin),
        ends=None if ends is None else (points.name(origin), points.name(str(ends))),
        networks=() if ends else _places(provenance, points),
        notes=_notes(provenance),
    )


def labels_of(landscapes: Sequence[LandscapeRecord], captions: Sequence[Caption]) -> list[str]:
    """What tells landscapes apart in a legend: of model, origin, directions, buffers and version
    of the definitions what differs, and their ids where nothing does.
    """
    facts: list[list[str]] = []
    for landscape, caption in zip(landscapes, captions, strict=True):
        between = None if caption.ends is None else f"{caption.ends[0]} to {caption.ends[1]}"
        facts.append(
            [
                caption.model or "",
                between or caption.origin or "",
                caption.normalisation or "no direction",
                f"buffers {landscape.provenance.get('buffers', 'frozen')}",
                str(landscape.provenance.get("definitions", "definitions unknown")),
            ]
        )
    telling = [k for k in range(len(facts[0])) if len({fact[k] for fact in facts}) > 1]
    said = [", ".join(fact[k] for k in telling if fact[k]) for fact in facts]
    if len(set(said)) == len(said) and all(said):
        return said
    return [
        f"{words}, {landscape.id}" if words else landscape.id
        for words, landscape in zip(said, landscapes, strict=True)
    ]


def notes_of(landscapes: Sequence[LandscapeRecord], captions: Sequence[Caption]) -> tuple[str, ...]:
    """The notes of several landscapes on the same axes, each once, and what keeps them apart."""
    notes = dict.fromkeys(note for caption in captions for note in caption.notes)
    names = {str(one.provenance.get("definitions")) for one in landscapes}
    if len(names) > 1:
        # said of all of them at once, in place of each older one's own note
        own = {_older(one.provenance) for one in landscapes}
        notes = dict.fromkeys(note for note in notes if note not in own)
        notes["Not comparable as they are: computed under different definitions."] = None
    return tuple(notes)


def directions_in_words(
    specs: Sequence[Mapping[str, Any]], names: Mapping[str, str] | None = None
) -> str | None:
    """How directions were made, as one would say it in a paper; None without any.

    Args:
        names: of checkpoints that directions lead to, by id.
    """
    said = []
    seeds = [spec["seed"] for spec in specs if spec.get("kind") == "random"]
    many = len(seeds) > _SEEDS_TOLD
    for spec in specs:
        target = (names or {}).get(str(spec.get("target")), "another checkpoint")
        words = {
            "random": f"random (seeds {min(seeds)} to {max(seeds)})"
            if many
            else f"random (seed {spec.get('seed')})",
            "between": f"towards {target}",
            "uploaded": "uploaded",
            "gradient": "the gradient",
            "eigenvector": f"eigenvector of the {spec.get('which')} eigenvalue",
            "pca": f"principal component {spec.get('component')}",
        }.get(str(spec.get("kind")), str(spec.get("kind")))
        normalise = spec.get("normalize", "none")
        if normalise != "none":
            words += f", {normalise}-normalised"
        elif spec.get("kind") == "random":
            # said too: what is not normalised cannot be compared between networks
            words += ", not normalised"
        said.append(words)
    return "; ".join(dict.fromkeys(said)) or None


class _Points:
    """Names of checkpoints, as seen from one model."""

    def __init__(
        self, session: Session, model_id: str | None, known: Mapping[str, CheckpointRecord]
    ) -> None:
        ids = {model_id, *(c.model_id for c in known.values())} - {None}
        found = {str(i): models.get(session, str(i)) for i in sorted(ids, key=str)}
        self._models = {i: m.name for i, m in found.items() if m is not None}
        self._known = known
        self._home = model_id
        self.model = self._models.get(str(model_id))

    def name(self, checkpoint_id: str | None) -> str:
        """With the model's name where it is another's."""
        checkpoint = self._known.get(str(checkpoint_id))
        if checkpoint is None:
            return str(checkpoint_id)
        own = _own_name(checkpoint) or f"checkpoint {checkpoint.seq}"
        abroad = len({c.model_id for c in self._known.values()}) > 1
        if not abroad:
            return own
        return f"{self._models.get(checkpoint.model_id, checkpoint.model_id)}, {own}"

    def names(self) -> dict[str, str]:
        return {identity: self.name(identity) for identity in self._known}

    def place(self, checkpoint_id: str | None) -> str | None:
        """As in "around …"; None for one without a name or a step."""
        checkpoint = self._known.get(str(checkpoint_id))
        return None if checkpoint is None else _own_name(checkpoint)


def _own_name(checkpoint: CheckpointRecord) -> str | None:
    if checkpoint.label is not None:
        return f"checkpoint \u201c{checkpoint.label}\u201d"
    return None if checkpoint.step is None else f"the checkpoint of step {checkpoint.step:,}"


def _places(provenance: Mapping[str, Any], points: _Points) -> tuple[NetworkPlace, ...]:
    """The networks beside the centre that a plane's directions lead to."""
    planned = provenance.get("directions") or {}
    known = {str(network["role"]): network for network in provenance.get("networks") or ()}
    found = []
    for axis, at in (("x", (1.0, 0.0)), ("y", (0.0, 1.0))):
        spec = (planned.get(axis) or {}).get("spec") or {}
        if axis in known:
            a, b = known[axis]["at"]
            name = points.name(str(known[axis]["checkpoint"]))
            found.append(NetworkPlace(axis, name, (float(a), float(b))))
        elif _leads_to_another(spec) and not provenance.get("orthogonalised"):
            found.append(NetworkPlace(axis, points.name(str(spec["target"])), at))
    return tuple(found)


def _leads_to_another(spec: Mapping[str, Any]) -> bool:
    whole = spec.get("normalize", "none") == "none" and not spec.get("ignore")
    return spec.get("kind") == "between" and bool(spec.get("target")) and whole


def _specs(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    planned = provenance.get("directions") or {}
    return [entry.get("spec") or {} for entry in planned.values()]


def _older(provenance: Mapping[str, Any]) -> str:
    return f"Computed under older definitions ({provenance.get('definitions')})."


def _notes(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if outdated(provenance) is not None:
        notes.append(_older(provenance))
    if provenance.get("orthogonalised"):
        notes.append("The second direction was made orthogonal to the first.")
    if provenance.get("networks") and provenance.get("buffers") == "frozen":
        notes.append(
            "Every point has the origin's running statistics, which fit other networks badly "
            "(buffers: recalibrate recomputes them at each point)."
        )
    if provenance.get("buffers") == "interpolate":
        notes.append("Running statistics move along the directions.")
    how = provenance.get("recalibration")
    if how:
        notes.append(f"Running statistics recomputed at every point from {how['samples']} samples.")
    if provenance.get("partial"):
        notes.append("Still being computed.")
    return tuple(notes)
