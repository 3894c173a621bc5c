"""The OpenAPI document, and a page of it for people.

Owns what every operation says alike: problems, the key, ids of operations. The page is plain HTML
without scripts, so that it also works where no other host can be reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from service.domain.problems import KINDS
from service.http.authentication import is_public
from service.http.examples import example_of

TITLE: Final = "Lossatlas"
VERSION: Final = "1.0.0"
_ABOUT: Final = """\
Loss landscapes as a service: networks in, loss surfaces and interpolations out.

Files go up under the digest of their bytes (`PUT /v1/objects/sha256:…`); models, checkpoints and
data sets refer to them; jobs compute landscapes, which are immutable. Every error is
`application/problem+json` with a stable `code`, pointers to the fields at fault and the request's
id. Lists are paged by `cursor`. Times are UTC. Changes within `/v1` only add.
"""

_TAGS: Final = (
    ("objects", "Bytes by digest."),
    ("uploads", "Large files in parts, straight to the object store."),
    ("models", "Networks, checked and never executed by the service."),
    ("checkpoints", "Weights of a network; in order, its trajectory."),
    ("datasets", "Samples to evaluate on."),
    ("directions", "Where to go from a checkpoint."),
    ("jobs", "Work: submit, follow, cancel, retry."),
    ("landscapes", "Results: immutable, as numbers and as figures."),
    ("checks", "Gates: landscapes held against rules and baselines."),
    ("aliases", "Names that a project gives to models, checkpoints and landscapes."),
    ("shares", "Links to single figures, off until a project turns them on."),
    ("projects", "What holds in a project."),
    ("keys", "API keys."),
    ("identity", "CI systems that are trusted, and their tokens exchanged for keys."),
    ("health", "For those who run the service."),
)

_PROBLEM: Final = "application/problem+json"
_ANYWHERE: Final = ("unauthenticated", "rate_limited", "internal_error", "unavailable")


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` for these problems, grouped by status. Raises KeyError for an unknown code."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {status: _response(listed) for status, listed in by_status.items()}


def operation_id(route: APIRoute) -> str:
    """Such as `jobs_submit` or `jobs_list`: what generated clients call the operation."""
    tag = str(route.tags[-1]) if route.tags else "api"
    return f"{tag}_{route.name.removesuffix(f'_{tag}')}"


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application. Equal code gives equal bytes."""
    body = get_openapi(
        title=TITLE,
        version=VERSION,
        description=_ABOUT,
        routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in _TAGS],
    )
    components = body.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _problem_schema()
    components["schemas"] = dict(sorted(schemas.items()))
    components["examples"] = {code: {"value": _example(code)} for code in sorted(KINDS)}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `la_…`."}
    }
    body["security"] = [{"key": []}]
    for path, operations in body["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
            _exemplify(operation, schemas)
    return body


def page(body: Mapping[str, Any]) -> str:
    """The document as HTML."""
    schemas = body["components"]["schemas"]
    sections = []
    for tag in body.get("tags", ()):
        found = [
            _shown(method, path, operation, schemas)
            for path, operations in body["paths"].items()
            for method, operation in operations.items()
            if operation.get("tags", ["api"])[-1] == tag["name"]
        ]
        if found:
            sections.append(
                f'<h2 id="{escape(tag["name"])}">{escape(tag["name"])}</h2>'
                f"<p>{escape(tag['description'])}</p>{''.join(found)}"
            )
    about = "".join(f"<p>{_marked(part)}</p>" for part in body["info"]["description"].split("\n\n"))
    title = f"{escape(body['info']['title'])} {escape(body['info']['version'])}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><main><h1>{title}</h1>{about}"
        '<p>For machines: <a href="/openapi.json">/openapi.json</a>.</p>'
        f"{''.join(sections)}</main></html>"
    )


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1b1f24;background:#fff}"
    "main{max-width:60rem;margin:0 auto;padding:1rem}"
    "details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}"
    "summary{cursor:pointer}code{font:14px ui-monospace,monospace;background:#f3f5f7;"
    "padding:.1em .3em;border-radius:3px}pre{overflow:auto;margin:.25rem 0}"
    "pre code{display:block;padding:.5rem .75rem}b.m{display:inline-block;min-width:4rem}"
    "td,th{text-align:left;vertical-align:top;padding:.15rem .75rem .15rem 0}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}"
    "code{background:#1d232c}details{border-color:#30363d}a{color:#6cb6ff}}"
)


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Adds what every operation may answer, and says where no key is needed."""
    responses: dict[str, Any] = operation["responses"]
    for status, response in list(responses.items()):
        if "HTTPValidationError" in str(response.get("content", "")):
            del responses[status]
    # a parameter that it does not take, wherever it is asked
    responses.setdefault(str(KINDS["invalid_request"].status), _response(["invalid_request"]))
    if is_public(path):
        operation["security"] = []
    else:
        for code in _ANYWHERE:
            responses.setdefault(str(KINDS[code].status), _response([code]))
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        for code in ("malformed_json", "body_too_large", "unsupported_media_type"):
            responses.setdefault(str(KINDS[code].status), _response([code]))
    operation["responses"] = dict(sorted(responses.items()))
    # of nested routers' tags the innermost says where it belongs
    operation["tags"] = operation["tags"][-1:]


def _exemplify(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Gives every JSON answer an example; what is asked has its own, beside its schema."""
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json")
        if status < "300" and content is not None and "examples" not in content:
            made = example_of(content.get("schema", {}), schemas)
            if made:
                content["examples"] = {"answer": {"value": made}}


def examples_of(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Any]:
    """The examples of a body or an answer, wherever they stand."""
    if "examples" in content:
        return [example["value"] for example in content["examples"].values() if "value" in example]
    named = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    return list(named.get("examples", ()))


def _response(codes: Iterable[str]) -> dict[str, Any]:
    listed = list(codes)
    return {
        "description": "; ".join(f"`{code}`: {KINDS[code].title}" for code in listed),
        "content": {
            _PROBLEM: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in listed},
            }
        },
    }


def _example(code: str) -> dict[str, Any]:
    kind = KINDS[code]
    return {
        "type": f"https://lossatlas.dev/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title,
        "code": code,
        "errors": [],
        "retryable": kind.retryable,
        "request_id": "req_01k5m8z3r7q9w2x4y6t8v0b1c3",
    }


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "title": "Problem",
        "description": "RFC 9457. Members beyond these may follow.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "errors", "retryable"],
        "properties": {
            "type": {**text, "format": "uri"},
            "title": {**text, "description": "The same for every problem of this code."},
            "status": {"type": "integer"},
            "detail": {**text, "description": "What is wrong here, and what to do about it."},
            "code": {**text, "enum": sorted(KINDS), "description": "Stable: act on this."},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {
                            **text,
                            "description": "RFC 6901, into the body; `/<name>` of a parameter.",
                        },
                        "detail": text,
                    },
                },
            },
            "retryable": {
                "type": "boolean",
                "description": "Whether the same request may succeed later.",
            },
            "request_id": {**text, "description": "Finds the request in the service's log."},
        },
    }


def _shown(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{_marked(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{_marked(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><b class=m>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
        f"<p>{_marked(operation.get('description', ''))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + _samples("Body", operation.get("requestBody", {}), schemas)
        + f"<table>{answers}</table>"
        + _answered(operation["responses"], schemas)
        + "</details>"
    )


def _answered(responses: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """What comes back when all is well; equal answers of two statuses once."""
    shown = {
        _samples("Answer", answer, schemas): None
        for status, answer in responses.items()
        if status < "300"
    }
    return "".join(shown)


def _samples(title: str, described: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Examples in JSON, for reading and copying."""
    content = described.get("content", {}).get("application/json", {})
    return "".join(
        f"<p>{escape(title)}</p><pre><code>"
        f"{escape(json.dumps(value, indent=2, ensure_ascii=False))}</code></pre>"
        for value in examples_of(content, schemas)
    )


def _marked(text: str) -> str:
    """Escaped, with `code` as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
