"""Pages in a real browser: walked, turned, watched, with and without scripts, wide and narrow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from tests.catalog.atlas import NASTY, Atlas
from tests.catalog.test_pages import addresses
from tests.catalog.visitor import Visitor
from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.support.serving import Serving


def changed(before: bytes, after: bytes) -> float:
    """Share of the pixels that differ."""
    a, b = (imread(io.BytesIO(image))[..., :3] for image in (before, after))
    return float((np.abs(a - b).max(axis=2) > 0.02).mean())


def test_browse_search_open_and_switch(visitor: Visitor, atlas: Atlas) -> None:
    visitor.open("/")
    visitor.pictures()
    visitor.look("browse")
    assert visitor.count(".card") == 5
    visitor.fill("#q", "perceptron")
    visitor.value("document.querySelector('#sort').value = '-sharpness'")
    visitor.follow(".search button")
    assert [card for card in visitor.text(".cards").splitlines() if "surface" in card]
    assert visitor.value("document.querySelector('.card a').pathname") == (
        f"/landscapes/{atlas.surfaces[2]}"
    )
    visitor.follow(".facet a[href*='tag=steep-3']")
    assert visitor.count(".card") == 1
    assert "q=perceptron" in visitor.at()
    visitor.follow(".card a")
    assert visitor.at() == f"/landscapes/{atlas.surfaces[1]}"
    visitor.pictures()
    contour = visitor.value("document.querySelector('.hero img').currentSrc")
    visitor.look("landscape")
    visitor.follow(".switch a[href*='view=surface']")
    visitor.pictures()
    relief = visitor.value("document.querySelector('.hero img').currentSrc")
    assert contour != relief
    assert visitor.text(".switch a[aria-current]") == "Relief"
    visitor.follow(".switch a[href*='metric=accuracy']")
    assert "view=surface" in visitor.at()
    visitor.pictures()
    visitor.page.prefer("dark")
    visitor.until("document.querySelector('.hero img').currentSrc.includes('theme=dark')")
    visitor.pictures()
    visitor.look("landscape-dark")
    assert visitor.page.complaints == []


def test_slices_follow_pointer_and_keys(visitor: Visitor, atlas: Atlas) -> None:
    visitor.open(f"/landscapes/{atlas.surfaces[0]}")
    visitor.until("document.querySelector('canvas.map')")
    line = "document.querySelectorAll('[data-slices] .line')[0].getAttribute('d')"
    served = visitor.value(line)
    assert visitor.text(".readout") == "α 0, β 0: loss 0.1"
    x, y = visitor.middle("canvas.map")
    height = visitor.value("document.querySelector('canvas.map').getBoundingClientRect().height")
    visitor.page.mouse("mouseMoved", x, y - height / 9)
    assert visitor.text(".readout") == "α 0, β 0.25: loss 0.1625"
    assert visitor.value(line) != served
    visitor.value("document.querySelector('canvas.map').focus()")
    visitor.page.press("ArrowRight")
    assert visitor.text(".readout") == "α 0.25, β 0.25: loss 0.225"
    for key in ["ArrowUp", "ArrowRight"] * 4:
        visitor.page.press(key)
    assert visitor.text(".readout") == "α 1, β 1: loss no value"


def test_a_surface_is_turned(visitor: Visitor, atlas: Atlas) -> None:
    visitor.open(f"/landscapes/{atlas.surfaces[0]}")
    visitor.follow(".switch a[href*='view=turn']")
    x, y = visitor.middle("iframe")
    _shown(visitor)
    before = visitor.look("turn-before")
    visitor.page.drag((x, y), (160, 40))
    after = visitor.look("turn-after")
    assert changed(before, after) > 0.02
    assert visitor.page.complaints == []


def test_compare_shares_scale_and_camera(visitor: Visitor, atlas: Atlas) -> None:
    first, second, _ = atlas.surfaces
    visitor.open(f"/?model={atlas.model}&sort=sharpness")
    for identity in (first, second):
        visitor.value(f"document.querySelector(\"input[value='{identity}']\").click()")
    visitor.follow("#compare button")
    assert visitor.count(".sides .side") == 3
    visitor.pictures()
    visitor.look("compare")
    assert "One scale for all" in visitor.text(".under")
    permanent = visitor.value("document.querySelector('.under a').getAttribute('href')")
    assert permanent == f"/compare?ids={first},{second}"
    assert "B − A" in visitor.text()
    visitor.follow(".switch a[href*='view=turn']")
    x, y = visitor.middle("iframe")
    _shown(visitor)
    before = visitor.look("compare-turn-before")
    visitor.page.drag((x, y), (120, 30))
    after = visitor.look("compare-turn-after")
    half = visitor.value("innerWidth") // 2
    assert _half(before, after, half) > 0.02, "the other surface was not turned along"
    visitor.open(f"/compare?ids={atlas.line},{first}")
    assert "different shapes" in visitor.text()
    assert visitor.page.complaints == []


def test_a_running_job_is_watched(
    visitor: Visitor, running: Serving, api: Caller, atlas: Atlas
) -> None:
    job = api.create("/v1/jobs", atlas.surface(num=9))["id"]
    visitor.open(f"/jobs/{job}")
    assert "queued" in visitor.text("#progress")
    hand = ByHand(running.services, job)
    hand.prepare(27)
    visitor.until("document.querySelector('#progress').innerText.includes('tile')")
    hand.tile()
    visitor.until("document.querySelector('[data-slot] canvas')")
    early = visitor.value("document.querySelector('[data-picture]').dataset.tag")
    visitor.look("job-early")
    hand.tile()
    visitor.until(f"document.querySelector('[data-picture]').dataset.tag !== '{early}'")
    visitor.until("document.querySelector('progress').value === 54")
    assert "Surface of Perceptron" in visitor.text("h1")
    visitor.look("job-later")
    while api.get(f"/v1/jobs/{job}").json()["progress"]["phase"] == "tile":
        hand.tile()
    hand.finalise()
    visitor.until("document.querySelector('a.primary')")
    assert "succeeded" in visitor.text("#progress")
    visitor.follow("a.primary")
    assert visitor.at().startswith("/landscapes/lsc_")
    assert visitor.page.complaints == []


def test_a_job_is_cancelled_and_tried_again(visitor: Visitor, api: Caller, atlas: Atlas) -> None:
    job = api.create("/v1/jobs", atlas.surface(num=7))["id"]
    visitor.open("/jobs")
    assert visitor.count(".state.queued") >= 1
    visitor.open(f"/jobs/{job}")
    visitor.follow("button.danger")
    assert "cancelled" in visitor.text("#progress")
    visitor.follow(f"form[action='/jobs/{job}/retry'] button")
    assert "attempt 2" in visitor.text()
    visitor.follow("button.danger")


def test_tags_and_notes_are_edited_with_a_history(visitor: Visitor, atlas: Atlas) -> None:
    visitor.open(f"/landscapes/{atlas.surfaces[1]}")
    visitor.fill("#tags", "steep-3 paper reviewed")
    visitor.fill("#note", NASTY)
    visitor.follow("#notes form button")
    assert visitor.text(".note") == NASTY
    assert "reviewed" in visitor.text(".title")
    assert visitor.count("#notes .log li") == 2
    assert "Grace changed the note" in visitor.value(
        "document.querySelector('#notes .log').textContent.replace(/\\s+/g, ' ')"
    )
    visitor.fill("#tags", "steep-3 paper")
    visitor.fill("#note", "")
    visitor.follow("#notes form button")
    assert visitor.count(".note") == 0
    assert visitor.count("#notes .log li") == 4


def test_keys_are_made_and_revoked(visitor: Visitor, running: Serving) -> None:
    visitor.open("/keys")
    visitor.fill("#name", "Nightly runs")
    visitor.fill("#projects", "atlas elsewhere")
    visitor.follow("form[action='/keys'] button.primary")
    secret = visitor.text(".secret code")
    with running.client(secret) as client:
        me = client.get("/v1/keys/me").json()
    assert (me["name"], me["role"]) == ("Nightly runs", "reader")
    assert me["projects"] == ["atlas", "elsewhere"]
    visitor.look("key-made")
    visitor.open("/keys")
    assert secret not in visitor.value("document.documentElement.outerHTML")
    visitor.follow(f"form[action='/keys/{me['id']}/revoke'] button")
    with running.client(secret) as client:
        assert client.get("/v1/keys/me").status_code == 401
    visitor.fill("#name", "Chief")
    visitor.fill("#projects", "atlas")
    visitor.value("document.querySelector('#role').value = 'admin'")
    visitor.follow("form[action='/keys'] button.primary")
    assert "administrator" in visitor.text("[role=alert]")
    assert visitor.value("document.querySelector('#name').value") == "Chief"


def test_without_scripts_everything_is_there(
    visitor: Visitor, running: Serving, api: Caller, atlas: Atlas
) -> None:
    visitor.page.scripts(False)
    visitor.open(f"/landscapes/{atlas.surfaces[0]}")
    assert visitor.value("document.querySelector('.hero img').naturalWidth") == 1600
    assert visitor.count("canvas.map") == 0
    assert visitor.count("[data-slices] .line") == 2
    visitor.open("/?tag=paper")
    assert visitor.count(".card") == 3
    visitor.follow(".facet a[href*='tag=steep-9']")
    assert visitor.count(".card") == 1
    visitor.look("without-scripts")
    job = api.create("/v1/jobs", atlas.surface(num=5))["id"]
    ByHand(running.services, job).prepare(30)
    visitor.open(f"/jobs/{job}")
    assert visitor.value("document.querySelector('noscript meta').content") == "5"
    assert visitor.value("document.querySelector('[data-slot] img').naturalWidth") == 1600
    visitor.follow("button.danger")
    assert "cancelled" in visitor.text("#progress")


def test_nothing_runs_over_the_edge_of_a_telephone(visitor: Visitor, atlas: Atlas) -> None:
    visitor.resize(400, 900)
    for place, address in enumerate(addresses(atlas)):
        visitor.open(address)
        assert visitor.value("document.documentElement.scrollWidth") <= 400, address
        if place == 2:
            source = visitor.value("document.querySelector('.hero img').currentSrc")
            assert "figure.svg?theme=light&width=480" in source
        if place in (0, 2, 7, 10):
            visitor.pictures()
            visitor.look(f"narrow-{place}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(visitor: Visitor, atlas: Atlas, scheme: str) -> None:
    visitor.page.prefer(scheme)
    for address in [*addresses(atlas), f"/landscapes/lsc_{'0' * 26}"]:
        visitor.open(address)
        assert visitor.violations() == [], address


def test_the_keyboard_comes_first_to_the_content(visitor: Visitor) -> None:
    visitor.open("/")
    visitor.page.press("Tab")
    assert visitor.value("document.activeElement.className") == "skip"
    assert visitor.value("document.activeElement.getBoundingClientRect().y") >= 0
    visitor.page.call(
        "Input.dispatchKeyEvent",
        type="keyDown",
        key="Enter",
        code="Enter",
        text="\r",
        windowsVirtualKeyCode=13,
    )
    visitor.until("location.hash === '#main'")
    assert visitor.value("document.activeElement.id") == "main"


def test_nobody_is_sent_to_sign_in_and_back(
    visitor: Visitor, running: Serving, atlas: Atlas
) -> None:
    visitor.open("/")
    visitor.follow("form[action='/sign-out'] button")
    assert visitor.at() == "/sign-in"
    for scheme in ("light", "dark"):
        visitor.page.prefer(scheme)
        assert visitor.violations() == []
        visitor.look(f"sign-in-{scheme}")
    visitor.open(f"/models/{atlas.model}")
    assert visitor.at() == f"/sign-in?next=/models/{atlas.model}"
    visitor.fill("#key", running.key("admin", name="Grace")[1])
    visitor.follow("form[action='/sign-in'] button")
    assert visitor.at() == f"/models/{atlas.model}"
    visitor.pictures()
    visitor.look("model")


def _shown(visitor: Visitor) -> None:
    """Waits until every frame has drawn: the window has stopped changing."""
    last = visitor.page.screenshot()
    for _ in range(200):
        visitor.page.settle()
        now = visitor.page.screenshot()
        if now == last and changed(now, _blank(now)) > 0.05:
            return
        last = now
    raise AssertionError("the frames never came to rest")


def _blank(image: bytes) -> bytes:
    from matplotlib.image import imsave

    pixels = imread(io.BytesIO(image))
    out = io.BytesIO()
    imsave(out, np.ones_like(pixels), format="png")
    return out.getvalue()


def _half(before: bytes, after: bytes, column: int) -> float:
    a, b = (imread(io.BytesIO(image))[:, column:, :3] for image in (before, after))
    return float((np.abs(a - b).max(axis=2) > 0.02).mean())
