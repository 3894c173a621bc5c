"""Query parameters that no route takes, or takes once: refused everywhere, in one place.

A misspelt filter that is passed over answers another question than was asked. Owns which names a
route takes, read off its signature; never what values they may have.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.domain.problems import MOST_TOLD, FieldError, Problem
from service.inputs.bodies import pointer_of

_E = TypeVar("_E", bound=Callable[..., Any])

_FURTHER: Final = "__further_parameters__"
#: A suggestion costs time that grows with both lengths, and no name of ours is longer.
_LONGEST: Final = 64
#: Faults for which a near name is looked for.
_SUGGESTED: Final = 5
#: What people call the same thing elsewhere.
_ALIKE: Final = (
    frozenset({"q", "text", "search", "query", "name"}),
    frozenset({"limit", "page_size", "per_page", "size", "count"}),
    frozenset({"cursor", "page", "offset", "page_token"}),
    frozenset({"sort", "order", "order_by", "sort_by"}),
    frozenset({"since", "after", "from"}),
    frozenset({"until", "before", "to"}),
)
_MANY: Final = (list, tuple, set, frozenset, Collection)


def takes_further(names: Callable[[], Collection[str]] | None) -> Callable[[_E], _E]:
    """Marks an endpoint that reads parameters which its signature does not name.

    Args:
        names: tells them; None for a page whose parameters somebody else chooses.
    """

    def mark(endpoint: _E) -> _E:
        setattr(endpoint, _FURTHER, names)
        return endpoint

    return mark


async def only_declared(request: Request) -> None:
    """A dependency of every route.

    Raises:
        Problem: `invalid_request` naming each parameter that the route does not take, with the
            nearest one that it does, and each that is there more than once and may not be.
    """
    given = request.query_params.multi_items()
    route = request.scope.get("route")
    if not given or not isinstance(route, APIRoute):
        return
    known = taken_by(route)
    if known is None:
        return
    refuse_others(Counter(name for name, _ in given), known, "parameter")


def refuse_others(given: Mapping[str, int], known: Mapping[str, bool], word: str) -> None:
    """Holds names against those that are known.

    Args:
        given: how many times each is there.
        known: which of them may be repeated.
        word: what such a name is called.

    Raises:
        Problem: `invalid_request`, as `only_declared`.
    """
    faults = _faults(given, known, word)
    if faults:
        raise Problem(
            "invalid_request",
            f"{faults[0].pointer.removeprefix('/')}: {faults[0].detail}"
            + (f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""),
            errors=faults,
        )


def _faults(given: Mapping[str, int], known: Mapping[str, bool], word: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for name, count in given.items():
        if len(faults) > MOST_TOLD:
            break
        pointer = pointer_of([name])
        if name not in known:
            nearest = _nearest(name, known) if len(faults) < _SUGGESTED else None
            faults.append(FieldError(pointer, f"is no {word} here; {_instead(nearest, known)}"))
        elif count > 1 and not known[name]:
            faults.append(FieldError(pointer, f"is there {count} times; give it once"))
    return faults


def _nearest(name: str, known: Mapping[str, bool]) -> str | None:
    if len(name) > _LONGEST:
        return None
    close = get_close_matches(name.lower(), known, n=1)
    alike = [one for words in _ALIKE if name.lower() in words for one in known if one in words]
    return next(iter((*close, *alike)), None)


def _instead(nearest: str | None, known: Mapping[str, bool]) -> str:
    if nearest is not None:
        return f"did you mean {nearest!r}?"
    if not known:
        return "this address takes none"
    own = [name for name in known if "." not in name]
    return f"it takes {', '.join(own)}"


def taken_by(route: APIRoute) -> Mapping[str, bool] | None:
    """The names of a route's query parameters, and which of them may be repeated; None for any."""
    # routes cannot be keys; which of an endpoint's arguments are in the query depends on the path
    key = (route.path, route.endpoint)
    if key not in _TAKEN:
        _TAKEN[key] = _taken(route)
    return _TAKEN[key]


_TAKEN: Final[dict[tuple[str, Callable[..., Any]], Mapping[str, bool] | None]] = {}


def _taken(route: APIRoute) -> Mapping[str, bool] | None:
    further = getattr(route.endpoint, _FURTHER, ())
    if further is None:
        return None
    found = dict(_declared(route.dependant))
    if further:
        found.update(dict.fromkeys(further(), False))
    return types.MappingProxyType(found)


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            # a model's members are parameters of their own
            for name, member in annotation.model_fields.items():
                yield member.alias or name, _is_many(member.annotation)
        else:
            yield field.alias, _is_many(annotation)
    for inner in dependant.dependencies:
        yield from _declared(inner)


def _is_many(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_many(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return any(_is_many(one) for one in get_args(annotation))
    return annotation in _MANY or origin in _MANY
