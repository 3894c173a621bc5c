"""What lies in another project is not told of: no name, tag, note, digest, whatever is asked.

Everything in a project that the caller does not see has a name which stands nowhere else. Every
route is asked for each of its things, by id and by each of its query parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.features.reference import MLP, ROOT, read
from tests.support.addresses import Address, addresses
from tests.support.serving import Serving

MARK = "quetzal"
HIDDEN = f"{MARK}-project"
#: Parameters that name things or words of them; the others are asked for some values alone.
REFERENCES = {
    "author", "beside", "checkpoint", "dataset", "ids", "label", "landscape", "model", "name",
    "project", "q", "split", "subtract", "tag", "text",
}  # fmt: skip
#: Of what the caller may see.
OPEN = "meadow"


@dataclass(frozen=True)
class Made:
    """What a project has, by the path parameter that names it, and everybody who made it."""

    ids: dict[str, str]
    digests: tuple[str, ...]


def build(running: Serving, project: str, word: str) -> Made:
    """A model, data, a landscape, a check, an alias, a link, an upload: all named by the word."""
    key, secret = running.key("admin", None, f"{word}-person")
    program, data = read(MLP, "program.pt2"), read(MLP, "data.safetensors")
    paths = sorted((ROOT / MLP).glob("checkpoint_*.safetensors"))
    with running.client(secret) as http:
        api = Caller(http, running.census)
        digests = [api.put(program), api.put(data), *(api.put(p.read_bytes()) for p in paths[-2:])]
        about = {"project": project, "tags": [f"{word}-tag"]}
        model = api.create(
            "/v1/models",
            {**about, "name": f"{word} model", "program": digests[0], "metadata": {word: word}},
        )["id"]
        first, last = (
            api.create(
                f"/v1/models/{model}/checkpoints",
                {"weights": digest, "label": f"{word} label", "metrics": {f"{word}_loss": 1.0}},
            )["id"]
            for digest in digests[2:]
        )
        dataset = api.create(
            "/v1/datasets",
            {"project": project, "name": f"{word} data", "object": digests[1], "split": word},
        )["id"]
        direction = api.create("/v1/directions", {"checkpoint": last, "kind": "random", "seed": 3})[
            "id"
        ]
        job = api.create(
            "/v1/jobs",
            {
                "kind": "interpolation",
                "origin": last,
                "target": first,
                "alpha": {"min": 0, "max": 1, "num": 3},
                "datasets": [dataset],
                "tags": [f"{word}-job"],
                "force": True,
            },
        )["id"]
        ByHand(running.services, job).whole()
        landscape = api.get(f"/v1/jobs/{job}").json()["landscape"]
        for path in (f"/v1/landscapes/{landscape}", f"/v1/models/{model}"):
            answer = http.patch(path, json={"note": f"{word} note", "tags": [f"{word}-edit"]})
            assert answer.status_code == 200, answer.text
        http.patch(f"/v1/projects/{project}", json={"sharing": True})
        check = {"landscape": landscape, "rules": ["barrier <= 1"]}
        trust = {
            "issuer": "https://token.actions.githubusercontent.com",
            "audience": f"https://{word}.example",
            "project": project,
            "claims": {"repository_id": "1", "repository_owner_id": "2"},
        }
        named = f"{word}-alias"
        moved = http.put(f"/v1/aliases/{project}/{named}", json={"target": landscape, "note": word})
        assert moved.status_code in (200, 201), moved.text
        ids = {
            "model_id": model,
            "checkpoint_id": last,
            "dataset_id": dataset,
            "direction_id": direction,
            "job_id": job,
            "landscape_id": landscape,
            "check_id": api.create("/v1/checks", check)["id"],
            "key_id": key.id,
            "share_id": api.create(f"/v1/landscapes/{landscape}/shares", {})["id"],
            "trust_id": api.create("/v1/identity/trusts", trust)["id"],
            "upload_id": api.create("/v1/uploads", {"digest": digests[0], "size": 10})["id"],
            "project": project,
            "name": named,
            "digest": digests[0],
            "extension": "png",
            "token": "A" * 43,
        }
    return Made(ids, tuple(digests))


@pytest.fixture(scope="module")
def hidden(running: Serving) -> Made:
    return build(running, HIDDEN, MARK)


@pytest.fixture(scope="module")
def own(running: Serving) -> Made:
    return build(running, OPEN, "own")


@pytest.fixture(scope="module")
def neighbour(running: Serving) -> Iterator[Caller]:
    """Sees one project, and not the hidden one."""
    with running.client(running.key("submitter", [OPEN], "neighbour")[1]) as http:
        yield Caller(http, running.census)


def said(caller: Caller, method: str, target: str, sent: str, html: bool) -> list[str]:
    """What an answer tells of the hidden project, but for what was sent."""
    # figures are not drawn for each of these: a picture is no text
    headers = {"Accept": "text/html" if html else "application/json", "If-None-Match": "*"}
    answer = caller.http.request(method, target, headers=headers)
    text = answer.text + str(answer.headers)
    for one in (sent, quote(sent), sent.replace(" ", "+")):
        text = text.replace(one, "")
    return [f"{method} {target}: {answer.status_code}"] if MARK in text.lower() else []


def reached(running: Serving) -> list[Address]:
    """Changes too: what is refused may not tell why. Not those that end the caller's own."""
    return [a for a in addresses(running) if a.template not in ("/sign-out", "/sign-in/oidc")]


def test_the_marks_stand_in_what_is_hidden(running: Serving, admin: Caller, hidden: Made) -> None:
    """Otherwise the rest would find nothing, whatever was told."""
    for path in ("models", "datasets", "jobs", "landscapes", "checks", "aliases", "shares", "keys"):
        assert MARK in admin.get(f"/v1/{path}", limit=200).text.lower(), path
    for page in ("/", f"/?model={hidden.ids['model_id']}", "/models", "/keys"):
        assert MARK in admin.get(page).text.lower(), page


def test_by_id(running: Serving, neighbour: Caller, hidden: Made) -> None:
    told = []
    with neighbour.nothing_changes():
        for address in reached(running):
            target = address.at(hidden.ids)
            told += said(neighbour, address.method, target, HIDDEN, address.is_page)
    # an alias's own name was sent
    assert [one for one in told if hidden.ids["name"] not in one] == []


def test_by_every_parameter(running: Serving, neighbour: Caller, hidden: Made, own: Made) -> None:
    """Of the caller's own things, with each hidden id, name and digest in each parameter."""
    values = {
        *(v for k, v in hidden.ids.items() if k not in ("extension", "token")),
        hidden.digests[1],
        f"{MARK}-tag",
        f"{MARK} data",
        f"{MARK} model",
        MARK[:-1],
        f"{MARK}_loss",
    }
    told, asked = [], 0
    for address in reached(running):
        if address.method != "GET" or not address.taken:
            continue
        names = [n for n in address.taken if not n.startswith("derived.")]
        for name in names:
            for value in sorted(values) if name in REFERENCES else sorted(values)[::6]:
                target = f"{address.at(own.ids)}?{name}={quote(value)}"
                told += said(neighbour, "GET", target, value, address.is_page)
                asked += 1
    assert told == []
    assert asked > 500


def test_by_what_a_body_names(neighbour: Caller, hidden: Made, own: Made) -> None:
    """Every reference that a body can hold, to what is hidden, beside the caller's own."""
    h, o = hidden.ids, own.ids
    line = {
        "kind": "interpolation",
        "origin": o["checkpoint_id"],
        "target": o["checkpoint_id"],
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [o["dataset_id"]],
    }
    bodies = [
        ("/v1/jobs", {**line, "origin": h["checkpoint_id"]}),
        ("/v1/jobs", {**line, "target": h["checkpoint_id"]}),
        ("/v1/jobs", {**line, "datasets": [h["dataset_id"]]}),
        ("/v1/directions", {"checkpoint": h["checkpoint_id"], "kind": "random", "seed": 1}),
        ("/v1/checks", {"landscape": h["landscape_id"], "rules": ["barrier <= 1"]}),
        *(
            (
                "/v1/checks",
                {
                    "landscape": o["landscape_id"],
                    "rules": ["barrier <= baseline"],
                    "baseline": baseline,
                },
            )
            for baseline in (
                h["landscape_id"],
                h["model_id"],
                h["checkpoint_id"],
                f"{HIDDEN}/{h['name']}",
            )
        ),
        ("/v1/models", {"project": HIDDEN, "name": "x", "program": o["digest"]}),
        (f"/v1/landscapes/{h['landscape_id']}/shares", {}),
        (f"/v1/models/{h['model_id']}/checkpoints", {"weights": o["digest"]}),
    ]
    with neighbour.nothing_changes():
        for path, body in bodies:
            answer = neighbour.post(path, body)
            assert answer.status_code in (403, 404, 422), (path, answer.text)
            text = answer.text.replace(HIDDEN, "").replace(h["name"], "")
            assert MARK not in text, (path, body, answer.text)
