"""Examples of answers, made from their schemas: a field's own example, or what its name stands for.

Owns the values that recur in every answer (ids, digests, times, names). What comes out is the same
whenever it is made, and is valid against the schema; a test holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BODY: Final = "01k5m8z3r7q9w2x4y6t8v0b1c3"
_DIGEST: Final = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_TIME: Final = "2026-01-15T09:30:00Z"
_MEASURE: Final = {
    "value": 2.41,
    "definition": "Largest loss minus the centre's, over the cells with √(α²+β²) ≤ r; r = 0.5 …",
    "stderr": 0.03,
    "radius": 0.5,
    "at": [0.5, 0.0],
}

#: What a field of this name is in an example, where its schema says less.
_NAMED: Final[Mapping[str, Any]] = {
    "alias": "vision/prod",
    "alias_target": f"lsc_{_BODY}",
    "audience": "https://lossatlas.example.org",
    "axes": ["batch", "features"],
    "by": f"key_{_BODY}",
    "claims": {"repository_owner_id": "1234567", "repository_id": "7654321"},
    "created_by": f"key_{_BODY}",
    "data": _DIGEST,
    "dataset": "test",
    "definition": _MEASURE["definition"],
    "high": 2.47,
    "learning_rate": 0.01,
    "low": 2.35,
    "parameters": 272474,
    "samples": 10000,
    "seq": 12,
    "size": 1095872,
    "standard_errors": 2.0,
    "stderr": 0.03,
    "step": 12000,
    "value": 2.41,
    "derived": {"dataset": "test", "sharpness": _MEASURE},
    "directions": {"x": f"dir_{_BODY}", "y": f"dir_{_BODY[:-1]}4"},
    "dtype": "float32",
    "figure": {"view": "surface"},
    "from_target": f"lsc_{_BODY}",
    "input_digest": _DIGEST,
    "issuer": "https://token.actions.githubusercontent.com",
    "key": f"la_{_BODY}_…",
    "label": "final",
    "links": {"self": "/v1/…"},
    "metadata": {"commit": "3f2a9c1"},
    "metrics": {"test_error": 0.026},
    "moved_by": f"key_{_BODY}",
    "name": "resnet20",
    "note": "after the learning rate was halved",
    "object": _DIGEST,
    "program": _DIGEST,
    "project": "vision",
    "projects": ["vision"],
    "provenance": {"engine": "1.0.0", "dtype": "float32", "seeds": {"x": 1, "y": 2}},
    "rule": {"measure": "sharpness", "max_increase_rel": 0.1},
    "shape": [10000, 3, 32, 32],
    "spec": {"kind": "surface", "origin": f"ckp_{_BODY}", "datasets": [f"dst_{_BODY}"]},
    "split": "test",
    "tags": ["release"],
    "target": f"lsc_{_BODY}",
    "text": "sharpness <= baseline + 10%",
    "title": "surface of resnet20",
    "to_target": f"lsc_{_BODY}",
    "url": "https://s3.example.org/lossatlas/…",
    "weights": _DIGEST,
}
#: What may be null, and usually is.
_ABSENT: Final = frozenset(
    {"error", "problem", "next_cursor", "reason", "revoked_at", "expected", "supersedes"}
)


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any], name: str = "") -> Any:
    """An example of what this schema describes.

    Args:
        components: schemas by name, for references.
        name: of the field, if it is one.
    """
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components, name)
    # one that a type has inherited may lack its own fields
    for given in schema.get("examples", ()):
        if not isinstance(given, Mapping) or set(schema.get("required", ())) <= set(given):
            return given
    if "const" in schema:
        return schema["const"]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _one_of(options, components, name)
    if schema.get("enum"):
        return schema["enum"][0]
    if (
        "properties" not in schema
        and name in _NAMED
        and isinstance(_NAMED[name], _python_type(schema))
    ):
        return _NAMED[name]
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, components)
    if kind == "array":
        return [example_of(schema.get("items", {}), components, name.removesuffix("s"))]
    if kind == "string":
        return _text(schema, name)
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return False if kind == "boolean" else {}


def _one_of(options: list[Mapping[str, Any]], components: Mapping[str, Any], name: str) -> Any:
    nullable = any(option.get("type") == "null" for option in options)
    if nullable and name in _ABSENT:
        return None
    said = [option for option in options if option.get("type") != "null"]
    return example_of(said[0], components, name)


def _object(schema: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    made = {field: example_of(of, components, field) for field, of in fields.items()}
    more = schema.get("additionalProperties")
    if not fields and isinstance(more, Mapping):
        made["inputs"] = example_of(more, components)
    return made


def _text(schema: Mapping[str, Any], name: str) -> str:
    pattern = str(schema.get("pattern", ""))
    if pattern.startswith("^sha256:"):
        return _DIGEST
    # ids: three letters, an underscore, and the same body for all
    if len(pattern) > 5 and pattern[0] == "^" and pattern[4] == "_":
        return f"{pattern[1:4]}_{_BODY}"
    if schema.get("format") == "date-time":
        return _TIME
    return name or "text"


def _python_type(schema: Mapping[str, Any]) -> type | tuple[type, ...]:
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "string": str,
        "object": dict,
        "array": list,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    return kinds.get(str(schema.get("type")), object)
