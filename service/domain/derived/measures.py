"""Every measure of a finished result, as the wire's `derived`. Knows no measure and no kind."""

from __future__ import annotations

from typing import Any

from service.domain.cells import CellStatus
from service.domain.derived.ends import beside
from service.domain.questions.question import Question
from service.domain.results import DatasetGrid, GridResult


def measure(question: Question[Any], result: GridResult) -> dict[str, Any]:
    """The measures of a result of this kind.

    The first data set's measures stand at the top level, so that they can be filtered and
    sorted by; all data sets' measures stand under `datasets`.
    """
    by_dataset = {d.name: _of_dataset(question, result, d) for d in result.datasets}
    first = result.datasets[0].name
    return {"dataset": first, **by_dataset[first], "datasets": by_dataset}


def _of_dataset(
    question: Question[Any], result: GridResult, dataset: DatasetGrid
) -> dict[str, Any]:
    rules = [*question.measures(result)]
    if dataset.anchors.accuracy is not None:
        rules += question.accuracies(result)
    rules += beside(result, dataset)
    if dataset is result.datasets[0]:
        rules += question.first_measures(result)
    body: dict[str, Any] = {}
    for rule in rules:
        # a measure keeps its first place, whatever computes it last
        body[rule.name] = rule.of(result, dataset).to_json()
    codes = dataset.status.ravel()
    body["cells"] = {
        code.word: int((codes == code).sum()) for code in CellStatus if (codes == code).any()
    }
    return body
