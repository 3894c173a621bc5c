"""Words that several distributions spell out for themselves are the same words everywhere.

The client's wheel imports nothing of the service, and the engine nothing but torch: their copies
are held together here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, get_args

import pytest
from lossatlas import client, landscapes
from lossatlas.cli import options

from service.domain import directions, losses
from service.domain.questions import spec
from service.domain.questions.curvature.spec import TraceEstimate
from service.domain.questions.table import kinds, questions
from service.figures import VIEWS, View
from service.landscapes.figures import Format
from service.landscapes.formats.table import FORMATS
from workers.engine import losses as engine_losses
from workers.engine import normalisation, placement, precision
from workers.engine.trace_estimate import TraceMethod

FILES = [*get_args(Format), "html", *(f.suffix for f in FORMATS)]
METHODS = get_args(TraceEstimate.model_fields["method"].annotation)


def words(vocabulary: Any) -> Iterable[str]:
    if isinstance(vocabulary, type) and issubclass(vocabulary, StrEnum):
        return [str(member) for member in vocabulary]
    return get_args(vocabulary) or vocabulary


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (View, VIEWS),
        (View, landscapes.View),
        (View, options.View),
        (FILES, options.Format),
        (FILES, [suffix.removeprefix(".") for suffix in landscapes.SUFFIXES]),
        (spec.Precision, precision.Precision),
        (spec.Precision, client.Precision),
        (spec.Precision, options.Precision),
        (spec.BufferPolicy, placement.BufferPolicy),
        (spec.BufferPolicy, client.Buffers),
        (spec.BufferPolicy, options.Buffers),
        (directions.Normalisation, normalisation.Normalisation),
        (directions.Normalisation, client.Normalisation),
        (directions.Normalisation, options.Normalize),
        (directions.Convention, normalisation.Convention),
        (directions.Ignored, normalisation.IGNORABLE),
        ([*directions.Ignored, "none"], options.Ignore),
        (losses.LossName, engine_losses.LossName),
        (losses.LossName, options.Loss),
        (METHODS, TraceMethod),
    ],
)
def test_copies_of_a_vocabulary_agree(one: Any, other: Any) -> None:
    assert set(words(one)) == set(words(other))


def test_a_question_is_called_what_its_spec_says() -> None:
    for question in questions():
        assert get_args(question.spec.model_fields["kind"].annotation) == (question.kind,)
    assert len(set(kinds())) == len(kinds())
