"""Bodies that are tagged unions, read with errors that point at the very field at fault.

Pydantic reports every branch of a union that did not fit, under names of its own
(`tagged-union[…]`, `constrained-str`). A caller needs the one branch that was meant, and an
RFC 6901 pointer into the body as it was sent. Owns that translation and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from service.domain.ids import KINDS
from service.domain.problems import MOST_LOOKED_AT, FieldError, Problem

_MODEL_RULES = {
    # rules over several fields: the field that the caller would change
    "datasets:": "/datasets",
    "origin and target": "/target",
    "checkpoints:": "/checkpoints",
    "precision:": "/precision",
    "buffers:": "/buffers",
    "map:": "/map",
    "tolerance:": "/tolerance",
    "max_products:": "/max_products",
    "trace/samples:": "/trace/samples",
    "trace:": "/trace",
    "repeats:": "/repeats",
    "sampling:": "/sampling",
}


@dataclass(frozen=True)
class Exact:
    """Marks a request body: validated by `adapter`, refused as a `Problem` with exact pointers.

    Used as `Annotated[Any, Exact(ADAPTER)]`, so that the OpenAPI document still shows the union.
    """

    adapter: TypeAdapter[Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        inner = handler.generate_schema(self.adapter._type)
        return core_schema.no_info_wrap_validator_function(self._read, inner)

    def _read(self, value: Any, _inner: Any) -> Any:
        return read(self.adapter, value)


def read(adapter: TypeAdapter[Any], body: Any) -> Any:
    """The validated value.

    Raises:
        Problem: `invalid_request`, one error for each faulty field.
    """
    try:
        return adapter.validate_python(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        errors, beyond = field_errors(found[:MOST_LOOKED_AT], body), len(found[MOST_LOOKED_AT:])
        if not errors:  # those were of branches that were not meant
            errors, beyond = field_errors(found, body), 0
        more = len(errors) - 1 + beyond
        raise Problem(
            "invalid_request",
            f"{errors[0].pointer or 'the body'}: {errors[0].detail}"
            + (f" (and {more} more faults)" if more else ""),
            errors=errors,
            more_errors=beyond,
        ) from error


def field_errors(errors: Sequence[ErrorDetails], body: Any) -> list[FieldError]:
    """One `FieldError` for each fault of the branch that was meant, in the body's own terms."""
    # each fault once, in order, without looking through those before it: a caller chooses how many
    found = dict.fromkeys(
        located for error in errors if (located := _locate(error, body)) is not None
    )
    above = {parent for e in found for parent in _parents(e.pointer)}
    # "too short" after bad items says nothing that the items' own errors do not
    return [e for e in found if not (e.detail == "must not be empty" and e.pointer in above)]


def _parents(pointer: str) -> Iterator[str]:
    while pointer:
        pointer = pointer.rpartition("/")[0]
        yield pointer


def pointer_of(parts: Sequence[str | int]) -> str:
    """RFC 6901: `/` before each part, `~` and `/` escaped."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _locate(error: ErrorDetails, body: Any) -> FieldError | None:
    """None when the error belongs to a branch that was not meant."""
    parts: list[str | int] = []
    node, skipped = body, False
    location = error["loc"]
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(step, str) and step.startswith("tagged-union["):
            if isinstance(node, str):
                return None
            continue
        if step == "constrained-str" and not (isinstance(node, Mapping) and step in node):
            if not isinstance(node, str):
                return None
            continue
        if isinstance(node, Mapping):
            tags = (node.get("kind"), node.get("mode"))
            if not skipped and step in tags and not (last and step in node):
                skipped = True  # the tag of a discriminated union, not a field
                continue
            if step in node or (last and error["type"] == "missing"):
                parts.append(step)
                node, skipped = node.get(step), False
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            parts.append(step)
            node, skipped = node[step], False
    return _worded(error, parts)


def _worded(error: ErrorDetails, parts: list[str | int]) -> FieldError:
    kind, message = error["type"], error["msg"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    if kind == "union_tag_invalid":
        return FieldError(
            pointer_of([*parts, str(context.get("discriminator", "'kind'")).strip("'")]),
            f"{context.get('tag')!r} is not known here; use one of {context.get('expected_tags')}",
        )
    if kind == "union_tag_not_found":
        return FieldError(pointer_of([*parts, "kind"]), "is required: it says which fields follow")
    if kind == "model_attributes_type":
        return FieldError(pointer_of(parts), "must be a JSON object")
    if kind == "extra_forbidden":
        return FieldError(pointer_of(parts), "is not a field of this object; remove it")
    if kind == "missing":
        return FieldError(pointer_of(parts), "is required")
    if kind == "string_pattern_mismatch":
        kind_of_id = str(context.get("pattern", "")).removeprefix("^").partition("_")[0]
        if kind_of_id in KINDS:
            return FieldError(
                pointer_of(parts),
                f"is not a {KINDS[kind_of_id]} id, which is `{kind_of_id}_` and 26 characters",
            )
    if kind == "too_short":
        message = "must not be empty"
    message = message.removeprefix("Value error, ")
    for beginning, pointer in _MODEL_RULES.items():
        if not parts and message.startswith(beginning):
            return FieldError(pointer, message.removeprefix(f"{pointer[1:]}: "))
    return FieldError(pointer_of(parts), message)
