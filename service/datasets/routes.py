"""HTTP of data sets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from service.datasets import registration
from service.datasets.schemas import ColumnOut, DatasetOut, DatasetPage, NewDataset, TargetsOut
from service.domain.ids import DatasetId, DisplayName, ProjectName
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.inputs import lookup
from service.ledger import datasets
from service.ledger.records import DatasetRecord

router = APIRouter(tags=["datasets"])


@router.post(
    "/v1/datasets",
    status_code=status.HTTP_201_CREATED,
    summary="Register a data set",
    responses=problems(
        "invalid_request", "forbidden", "object_missing", "object_invalid", "dataset_invalid"
    ),
)
def register(
    body: NewDataset, response: Response, services: ServicesOf, caller: Principal
) -> DatasetOut:
    """The file holds `inputs` (or `inputs.<name>` for each of several inputs) and `targets`, first
    dimension = samples. Every value is looked at once: NaN and infinities are refused, and the
    range of whole-number targets is recorded.
    """
    dataset = registration.register(services, caller, body)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return shown(dataset)


@router.get("/v1/datasets", summary="List data sets", responses=problems("invalid_request"))
def list_datasets(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    name: Annotated[DisplayName | None, Query(description="Exactly this name.")] = None,
    split: Annotated[DisplayName | None, Query(description="Exactly this split.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DatasetPage:
    """Data sets of the projects that the key may read, newest first."""
    page = datasets.list(
        session,
        projects=caller.projects,
        project=project,
        name=name,
        split=split,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    return DatasetPage(items=[shown(d) for d in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/datasets/{dataset_id}",
    summary="One data set",
    responses=problems("invalid_request", "not_found"),
)
def get(dataset_id: DatasetId, session: Transaction, caller: Principal) -> DatasetOut:
    """Shapes, types and the number of samples."""
    return shown(lookup.dataset(session, caller, dataset_id))


def shown(dataset: DatasetRecord) -> DatasetOut:
    """A data set as the wire shows it."""
    return DatasetOut(
        id=dataset.id,
        project=dataset.project,
        name=dataset.name,
        split=dataset.split,
        object=dataset.object,
        samples=dataset.samples,
        inputs={
            name or "inputs": ColumnOut.model_validate(body)
            for name, body in dataset.inputs.items()
        },
        targets=TargetsOut.model_validate(dataset.targets),
        created_at=dataset.created_at,
        created_by=dataset.created_by,
        links={
            "self": f"/v1/datasets/{dataset.id}",
            "object": f"/v1/objects/{dataset.object}",
            "landscapes": f"/v1/landscapes?dataset={dataset.id}",
        },
    )
