"""Names that try to be something else: refused at the door, and harmless at every way out.

What was stored before the rule is written straight into the database here, and everything that the
service and the client say of it is looked at.
"""

from __future__ import annotations

import logging
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lossatlas import printable as client_side
from lossatlas.cli.reports.junit import junit_xml
from lossatlas.cli.reports.markdown import markdown_text
from lossatlas.cli.reports.outcome import Outcome, Policies
from lossatlas.errors import LossatlasError
from markdown_it import MarkdownIt
from pydantic import TypeAdapter, ValidationError

from service.domain.ids import DisplayName
from service.domain.printable import is_printable, shown
from service.settings import Settings
from service.telemetry import LineFormatter
from tests.catalog.atlas import Atlas, build
from tests.features.caller import Caller, problem
from tests.support.addresses import NOTHING, addresses
from tests.support.servers import Servers, settings_factory
from tests.support.serving import Serving, serving

NAME = TypeAdapter(DisplayName)
#: C1, bidi, separators, invisible, private, unassigned: each does something to a terminal, an
#: editor or a page.
UNSEEN = (
    "\x7f", "\x85", "\x9b31m", "\x9d0;x\x9c", "\u061c", "\u200b", "\u200e", "\u202e", "\u2066",
    "\u2028", "\u2029", "\ufeff", "\u00ad", "\ue000", "\uffff", "\U000e0041", "\U0010ffff",
)  # fmt: skip
MARKUP = (
    r"\[x\](http://evil.example/)",
    "[x](http://evil.example/)",
    r"\\[x](javascript:x)",
    "![x](//evil.example/x.png)",
    "@everyone @org/team",
    "see http://evil.example/x and https://evil.example",
    "www.evil.example ftp://evil.example me@evil.example",
    "#1 GH-1 org/repo#1 !1 ~label %1 $1 &1",
    "<img src=x onerror=alert(1)>",
    "<!-- --><details open>",
    "&lt;script&gt;&#x3c;b>",
    "`code` ``` ~~~",
    "| a | b |",
    "**bold** __bold__ ~~gone~~ $x^2$",
    "<http://evil.example>",
    "1. one",
    "# heading",
    "::set-output name=x::y",
    "::error::x",
    "##[error]x",
    "=cmd|' /C calc'!A0",
    "</script><script>alert(1)</script>",
    "]]><x/>",
)


@given(st.text())
def test_what_is_shown_prints(text: str) -> None:
    for said in (shown(text), client_side.shown(text)):
        assert all(is_printable(c) for c in said)
        assert len(said) == len(text)
    assert client_side.shown(text, breaks=True) == shown(text, breaks=True)


def test_both_sides_know_the_same_characters() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    assert all(is_printable(c) is client_side.is_printable(c) for c in every)


@pytest.mark.parametrize("unseen", UNSEEN)
def test_names_print(unseen: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_python(f"a{unseen}b")
    if not unseen.isspace():  # which is cut off at the ends
        for text in (f"{unseen}b", f"b{unseen}"):
            with pytest.raises(ValidationError):
                NAME.validate_python(text)


@pytest.mark.parametrize(
    "name",
    [
        "ResNet-56 (no skips)", "Größe", "موديل", "می‌خواهم", "模型 一号", "\U0001f469‍\U0001f52c",
        "♥️ heart", "नमस्ते", "α β λ_max ≤ 1", "it's a \"name\"", "a/b\\c", "$x^2$",
    ],
)  # fmt: skip
def test_names_of_every_script_stay(name: str) -> None:
    assert NAME.validate_python(name) == unicodedata.normalize("NFC", name)


def test_names_are_composed() -> None:
    assert NAME.validate_python("Gro\u0308ße") == "Größe"
    assert len(NAME.validate_python("a" + "\u0301" * 150)) <= 200


@pytest.mark.parametrize("text", [*MARKUP, *UNSEEN])
def test_markdown_shows_text_as_it_stands(text: str) -> None:
    """As CommonMark reads it, and nothing is left that GitHub or GitLab links by themselves."""
    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for where in (text, f"a {text} b"):
        source = client_side.for_markdown(where)
        for document in (source, f"| a | b |\n|---|---|\n| {source} | c |"):
            html = renderer.render(document)
            for tag in (
                "<a",
                "<img",
                "<code",
                "<script",
                "<details",
                "<h1",
                "<strong",
                "<ol",
                "<s>",
            ):
                assert tag not in html, (document, html)
            assert html.count("<td") in (0, 2)
        said = "".join(_texts(renderer, source)).replace("\u200b", "")
        assert said == " ".join(shown(where).split())
        left = "".join(_texts(renderer, source))
        for mark in ("://", "www.", "@e", "@o", "#1", "!1", "~l", "%1", "$1", "&1", "GH-", "t:x"):
            assert mark not in left or mark not in text, (mark, left)


def _texts(renderer: MarkdownIt, source: str) -> Iterator[str]:
    for token in renderer.parse(source):
        for child in token.children or ():
            yield child.content


@pytest.mark.parametrize("text", ["`", "a`b", "``", "```\n# x", "~~~", ""])
def test_markdown_code_ends_where_it_ends(text: str) -> None:
    renderer = MarkdownIt("commonmark")
    html = renderer.render(f"{client_side.markdown_code(text)} end")
    assert html.count("<code>") == 1
    assert html.rstrip().endswith("</code> end</p>")
    html = renderer.render(client_side.markdown_block(text, "text") + "\n\nend")
    assert html.count("<pre>") == 1
    assert html.rstrip().endswith("<p>end</p>")


@pytest.mark.parametrize("text", [*MARKUP, *UNSEEN, "a\n::error::b", "x\r\n##[error]y"])
def test_no_line_of_a_log_is_a_command(text: str) -> None:
    for said in (client_side.for_terminal(text), client_side.for_terminal(text, breaks=True)):
        assert not any(line.lstrip().startswith("::") for line in said.splitlines()), said
        assert "##[" not in said
        assert all(c == "\n" or is_printable(c) for c in said)
    document = client_side.json_text({"name": text})
    assert all(c == "\n" or is_printable(c) for c in document)
    record = logging.makeLogRecord({"msg": "%s", "args": (text,)})
    line = LineFormatter("%(message)s").format(record)
    assert all(map(is_printable, line))


@pytest.mark.parametrize("text", [*MARKUP, *UNSEEN])
def test_reports_of_an_error_that_quotes_a_name(text: str) -> None:
    outcome = Outcome(Policies(), error=LossatlasError(f"there is no {text} here"))
    ElementTree.fromstring(junit_xml(outcome))  # noqa: S314 (our own)
    html = MarkdownIt("commonmark").render(markdown_text(outcome, image=None, characters=""))
    assert "<a" not in html
    assert "<img" not in html


# --- stored before there was a rule


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with settings_factory(servers, tmp_path_factory.mktemp("names")) as make:
        yield make()


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="module")
def admin(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("admin", name="Ada")[1]) as http:
        yield Caller(http, running.census)


#: Every one that the database takes.
OLD = "".join(UNSEEN) + "</script><script>alert(1)</script>\"' onload=x --><x> ]]> $x^{2$ \\ %"


@pytest.fixture(scope="module")
def atlas(running: Serving, admin: Caller) -> Atlas:
    made = build(running, admin)
    with running.services.database.transaction() as session:
        connection = session.connection().connection.dbapi_connection
        assert connection is not None
        cursor = connection.cursor()
        for column, table in (
            ("name", "models"), ("name", "datasets"), ("label", "checkpoints"),
            ("name", "api_keys"), ("note", "models"), ("note", "landscapes"),
        ):  # fmt: skip
            cursor.execute(f"UPDATE {table} SET {column} = %s", (OLD,))  # noqa: S608
    return made


def test_pages_and_pictures_of_old_names(running: Serving, admin: Caller, atlas: Atlas) -> None:
    ids = {
        **NOTHING,
        "model_id": atlas.model,
        "dataset_id": atlas.dataset,
        "checkpoint_id": atlas.checkpoints[0],
        "landscape_id": atlas.surfaces[1],
        "extension": "svg",
        "project": "atlas",
        "job_id": admin.get(f"/v1/landscapes/{atlas.surfaces[1]}").json()["job"],
        "key_id": admin.get("/v1/keys/me").json()["id"],
    }
    seen: dict[str, int] = {}
    for address in addresses(running):
        if address.method != "GET" or address.template.startswith(("/static", "/sign-in/oidc")):
            continue
        queries = {"/compare": f"?ids={atlas.surfaces[0]},{atlas.surfaces[1]}"}
        if "subtract" in (address.taken or ()):
            queries[address.template] = f"?subtract={atlas.surfaces[0]}"
        target = address.at(ids) + queries.get(address.template, "")
        answer = admin.http.get(target, headers={"Accept": "text/html, */*"})
        assert answer.status_code < 500, (target, answer.text)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        for value in answer.headers.values():
            assert all(map(is_printable, value)), (target, value)
        if kind in ("text/html", "image/svg+xml", "application/xml", "application/problem+json"):
            _harmless(answer.text, target)
        if kind == "image/svg+xml" or target.endswith(".vts"):
            ElementTree.fromstring(answer.content)  # noqa: S314 (our own)
        seen[kind] = seen.get(kind, 0) + 1
    assert seen["text/html"] >= 10
    assert seen["image/svg+xml"] >= 2


def _harmless(text: str, where: str) -> None:
    left = {c for c in text if not is_printable(c) and c not in "\n\t"}
    assert not left, (where, left)
    assert "<script>alert" not in text, where


def test_the_door(admin: Caller, atlas: Atlas) -> None:
    """Everything that people may name, on every route that takes a name."""
    digest = admin.get(f"/v1/models/{atlas.model}").json()["program"]
    bodies: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/v1/models", {"project": "atlas", "program": digest}, "name"),
        ("POST", "/v1/datasets", {"project": "atlas", "name": "d", "object": digest}, "split"),
        ("POST", f"/v1/models/{atlas.model}/checkpoints", {"weights": digest}, "label"),
        ("POST", "/v1/keys", {"role": "reader"}, "name"),
        ("PATCH", f"/v1/models/{atlas.model}", {}, "note"),
        ("PATCH", f"/v1/landscapes/{atlas.surfaces[0]}", {}, "note"),
        ("PUT", "/v1/aliases/atlas/prod", {"target": atlas.surfaces[0]}, "note"),
    ]
    with admin.nothing_changes():
        for method, path, body, field in bodies:
            for unseen in UNSEEN:
                answer = admin.http.request(method, path, json={**body, field: f"a{unseen}b"})
                problem(answer, 422, "invalid_request", f"/{field}")
        for unseen in UNSEEN:
            form = {"note": f"a{unseen}b"}
            answer = admin.http.post(f"/models/{atlas.model}/edit", data=form)
            problem(answer, 422, "invalid_request")
