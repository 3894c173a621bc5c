"""Names that callers choose by: each finds its member, and no other word any."""

from __future__ import annotations

import pytest

from workers.engine.errors import InputInvalid
from workers.engine.hessian import HessianForm
from workers.engine.losses import LossName, Reduction
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision
from workers.engine.trace_estimate import TraceMethod
from workers.engine.vocabulary import Vocabulary

KINDS: dict[type[Vocabulary], str] = {
    Precision: "precision",
    TraceMethod: "trace method",
    HessianForm: "form",
    BufferPolicy: "buffer policy",
    LossName: "loss",
    Reduction: "reduction",
}


def test_every_vocabulary_is_looked_at() -> None:
    assert set(Vocabulary.__subclasses__()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_names_find_members_and_other_words_are_refused(kind: type[Vocabulary]) -> None:
    assert [kind.named(member.value) for member in kind] == list(kind)
    # how JSON and digests have them
    assert [str(member) for member in kind] == [member.value for member in kind]
    for word in ("", "nothing of the sort", next(iter(kind)).value.upper()):
        with pytest.raises(InputInvalid) as refused:
            kind.named(word)
        assert refused.value.detail.startswith(f"unknown {KINDS[kind]} {word!r}; known are ")
        assert all(repr(member.value) in refused.value.detail for member in kind)
