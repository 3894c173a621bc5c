"""Pages as HTML: who sees which, what is escaped, and under which policy they are served."""

from __future__ import annotations

import re

import httpx2
import pytest

from service.domain.definitions import FIRST
from tests.catalog.atlas import NASTY, Atlas
from tests.features.by_hand import ByHand
from tests.features.caller import Caller, problem
from tests.support.serving import Serving

HTML = {"Accept": "text/html"}
NOWHERE = "0" * 26


def addresses(atlas: Atlas) -> list[str]:
    """Every kind of page."""
    first, second, third = atlas.surfaces
    return [
        "/",
        "/?q=perceptron&sort=-sharpness&kind=surface",
        f"/landscapes/{first}",
        f"/landscapes/{first}?view=turn",
        f"/landscapes/{atlas.line}",
        f"/landscapes/{atlas.nasty}",
        "/models",
        f"/models/{atlas.model}",
        f"/models/{atlas.other}",
        "/compare",
        f"/compare?ids={first},{second},{third}",
        f"/compare?ids={first}&ids={atlas.line}",
        "/jobs",
        "/keys",
    ]


def opened(caller: Caller, address: str) -> httpx2.Response:
    return caller.http.get(address, headers=HTML)


def test_every_page_is_there_for_a_reader(reader: Caller, atlas: Atlas) -> None:
    for address in addresses(atlas):
        answer = opened(reader, address)
        assert answer.status_code == 200, (address, answer.text[:500])
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "no-store" in answer.headers["cache-control"]


def test_a_model_says_when_every_position_counts_alike(api: Caller, atlas: Atlas) -> None:
    body = {"project": "pooled", "name": "tokens", "architecture": None}
    body |= {"program": api.get(f"/v1/models/{atlas.model}").json()["program"]}
    pooled = api.create("/v1/models", {**body, "loss_options": {"reduction": "position"}})
    for address in ("/models?project=pooled", f"/models/{pooled['id']}"):
        assert "cross entropy, every position alike" in opened(api, address).text
    assert "position alike" not in opened(api, f"/models/{atlas.model}").text


def test_nothing_runs_inside_a_page(reader: Caller, atlas: Atlas) -> None:
    for address in addresses(atlas):
        html = opened(reader, address).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", html), address
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", html), address
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html), address


def test_names_are_words_and_never_markup(reader: Caller, api: Caller, atlas: Atlas) -> None:
    changed = api.http.patch(f"/v1/landscapes/{atlas.nasty}", json={"note": NASTY})
    assert changed.status_code == 200
    for address in (
        "/",
        f"/?model={atlas.other}",
        f"/landscapes/{atlas.nasty}",
        f"/models/{atlas.other}",
        "/models",
        f"/compare?ids={atlas.nasty},{atlas.surfaces[0]}",
        "/jobs",
    ):
        html = opened(reader, address).text
        assert "&lt;script&gt;alert(1)" in html, address
        assert "<script>alert" not in html, address
        assert "<b>'bold'" not in html
    html = opened(reader, "/?" + "q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script>alert" not in html


def test_for_a_stranger_the_pages_are_not_there(stranger: Caller, atlas: Atlas) -> None:
    job = "job_" + NOWHERE
    for address in (
        f"/landscapes/{atlas.surfaces[0]}",
        f"/models/{atlas.model}",
        f"/compare?ids={','.join(atlas.surfaces)}",
        f"/jobs/{job}",
    ):
        answer = opened(stranger, address)
        assert answer.status_code == 404, address
        assert answer.headers["content-type"].startswith("text/html")
        assert "Not found" in answer.text
        problem(stranger.http.get(address), 404, "not_found")
    for address in ("/", "/models", "/jobs", "/keys"):
        html = opened(stranger, address).text
        assert "Perceptron" not in html, address
        assert "atlas" not in re.sub(r"[Ll]ossatlas", "", html), address
    assert "There is no landscape yet" in opened(stranger, "/").text
    answer = stranger.http.post(f"/landscapes/{atlas.surfaces[0]}/edit", data={"tags": "x"})
    problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    "address",
    [
        "/?sort=loudness",
        "/?cursor=zzz",
        "/?since=yesterday",
        "/?project=../etc",
        "/compare?ids=lsc_no",
        "/compare?ids=" + ",".join("lsc_" + str(n) * 26 for n in range(1, 8)),
        "/jobs?state=asleep",
    ],
)
def test_what_cannot_be_asked_is_refused_as_a_page(reader: Caller, address: str) -> None:
    answer = opened(reader, address)
    assert answer.status_code == 422
    assert "The request is not valid" in answer.text
    problem(reader.http.get(address), 422, "invalid_request")


def test_styles_are_public_and_kept_for_ever(running: object, reader: Caller) -> None:
    html = opened(reader, "/").text
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
    assert len(found) >= 3
    with httpx2.Client(base_url=reader.http.base_url) as nobody:
        for address in found:
            answer = nobody.get(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
        for wrong in ("/static/catalog.css", "/static/..%2fwords.py", "/static/"):
            assert nobody.get(wrong).status_code in (401, 404)


def test_figures_are_said_in_numbers(reader: Caller, atlas: Atlas) -> None:
    html = opened(reader, f"/landscapes/{atlas.surfaces[0]}").text
    said = re.search(r'alt="(Loss surface of Perceptron: [^"]+)"', html)
    assert said is not None
    assert "0.1 at the trained weights" in said.group(1)
    assert re.search(r"rises to 2\.1", said.group(1)), said.group(1)
    # slices for those without scripts, and the numbers that they show
    assert html.count('class="line s0"') == 2
    assert "along α at β = 0: from 0.1 to 1.1" in html


def test_compared_figures_share_one_scale(reader: Caller, atlas: Atlas) -> None:
    html = opened(reader, f"/compare?ids={','.join(atlas.surfaces)}").text
    scales = set(re.findall(r"vmin=([^&]+)&amp;vmax=([^&]+)&amp;log=(\w+)", html))
    assert len(scales) == 1
    ((low, high, _),) = scales
    assert float(low) == pytest.approx(0.1)
    assert float(high) == pytest.approx(0.1 + 9 * 2)
    assert html.count("difference.png?subtract=" + atlas.surfaces[0]) == 4
    other = opened(reader, f"/compare?ids={atlas.surfaces[0]},{atlas.nasty}").text
    assert "No difference B − A: they were evaluated on different data." in other


def test_a_difference_is_a_figure(reader: Caller, stranger: Caller, atlas: Atlas) -> None:
    first, second, _ = atlas.surfaces
    address = f"/v1/landscapes/{second}/difference.png"
    answer = reader.get(address, subtract=first, theme="dark")
    assert answer.status_code == 200
    assert answer.content.startswith(b"\x89PNG")
    again = reader.http.get(
        address,
        params={"subtract": first, "theme": "dark"},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert again.status_code == 304
    problem(reader.get(address, subtract=atlas.line), 422, "not_supported", "/subtract")
    problem(reader.get(address, subtract=atlas.nasty), 422, "not_supported", "/subtract")
    problem(reader.get(address), 422, "invalid_request", "/subtract")
    problem(stranger.get(address, subtract=first), 404, "not_found")


def test_pages_say_what_was_computed_under_older_definitions(
    running: Serving, api: Caller, reader: Caller, atlas: Atlas
) -> None:
    job = api.create("/v1/jobs", atlas.surface())["id"]
    ByHand(running.services, job, definitions=FIRST).whole()
    old = api.get(f"/v1/jobs/{job}").json()["landscape"]
    new = atlas.surfaces[-1]
    page = opened(reader, f"/landscapes/{old}").text
    assert "Computed under older definitions (lossatlas numerics 1" in page
    assert "is answered under today's definitions" in page
    assert "older definitions" not in opened(reader, f"/landscapes/{new}").text
    compared = opened(reader, f"/compare?ids={old},{new}").text
    assert "A lossatlas numerics 1, B lossatlas numerics 2" in compared
    assert "No difference B − A: they were computed under different definitions" in compared
    assert f"difference.png?subtract={old}" not in compared
    others = ",".join(atlas.surfaces)
    assert "different definitions" not in opened(reader, f"/compare?ids={others}").text


def test_a_plain_figure_is_the_plot_alone(reader: Caller, atlas: Atlas) -> None:
    address = f"/v1/landscapes/{atlas.surfaces[0]}/figure.png"
    whole, plain = (
        int.from_bytes(reader.get(address, width=640, plain=flag).content[16:20], "big")
        for flag in ("false", "true")
    )
    assert whole == 640
    assert 300 < plain < 560


def test_what_is_to_be_done_again_can_be_done(reader: Caller, api: Caller, atlas: Atlas) -> None:
    """The Python and the curl on the page are the question itself."""
    html = opened(reader, f"/landscapes/{atlas.surfaces[1]}").text
    shown = re.search(r"client\.submit\(\n(.*?)\n\)", html, re.S)
    assert shown is not None
    import ast
    from html import unescape

    spec = ast.literal_eval(unescape(shown.group(1)).strip())
    assert spec["force"] is True
    assert spec["origin"] == atlas.checkpoints[1]
    job = api.create("/v1/jobs", spec)
    first = api.get(f"/v1/landscapes/{atlas.surfaces[1]}").json()
    assert job["spec"]["grid"] == first["spec"]["grid"]
    assert job["directions"] == api.get(f"/v1/jobs/{first['job']}").json()["directions"]
    assert api.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
