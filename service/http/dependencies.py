"""What routes ask for in their signatures: the services, the caller, a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request

from service.domain.problems import Problem
from service.http.authentication import KeyHolder
from service.http.services import Services
from service.http.shares import Place
from service.ledger.session import Session

__all__ = ["Administrator", "PlaceOf", "Principal", "ServicesOf", "Submitter", "Transaction"]


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesOf = Annotated[Services, Depends(_services)]


def _principal(request: Request) -> KeyHolder:
    found: KeyHolder | None = getattr(request.state, "caller", None)
    if found is None:
        # a route for callers on a public path: never served to nobody
        raise Problem("unauthenticated", "send an API key: Authorization: Bearer <key>")
    return found


#: The caller, whose key was checked before the request came this far.
Principal = Annotated[KeyHolder, Depends(_principal)]


def _submitter(caller: Principal) -> KeyHolder:
    if not caller.may_add:
        raise Problem("forbidden", "this key may only read; use a key of role submitter or admin")
    return caller


#: A caller that may add something somewhere.
Submitter = Annotated[KeyHolder, Depends(_submitter)]


def _administrator(caller: Principal) -> KeyHolder:
    if not caller.is_admin:
        raise Problem("forbidden", "this needs a key of role admin")
    return caller


#: A caller that manages keys.
Administrator = Annotated[KeyHolder, Depends(_administrator)]


def _place(request: Request) -> Place:
    found: Place = request.state.place
    return found


#: The request's share of the service, for answers that are held.
PlaceOf = Annotated[Place, Depends(_place)]


def _transaction(services: ServicesOf) -> Iterator[Session]:
    with services.database.transaction() as session:
        yield session


#: One unit of work, committed after the route has returned and BEFORE anything is sent (that is
#: what `scope="function"` says): a caller is never told of something that was not kept.
Transaction = Annotated[Session, Depends(_transaction, scope="function")]
