"""What the guides say against what the code has: settings, measures, links, images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.domain.questions.table import every_measure
from service.settings import Settings
from tests.documentation.pages import DOCS, PAGES, name

_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MOST_IMAGE_BYTES = 200_000


def variables() -> dict[str, str]:
    """Every setting's variable and its default, as the guide writes it."""
    found = {}
    for field, info in Settings.model_fields.items():
        choices = getattr(info.validation_alias, "choices", None)
        found[choices[0] if choices else f"LOSSATLAS_{field.upper()}"] = _written(info.default)
    return found


def _written(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None:
        return "none"
    if default == "":
        return "empty"
    if isinstance(default, bool | tuple):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


def test_every_setting_is_described() -> None:
    text = (DOCS / "operating.md").read_text()
    table = {variable: default for variable, default, _ in _ROW.findall(text)}
    assert table == variables()
    for variable, _, meaning in _ROW.findall(text):
        assert len(meaning) > 3, variable


def test_every_measure_is_defined() -> None:
    text = (DOCS / "definitions.md").read_text()
    section = text.partition("## Derived measures")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(every_measure())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_images_are_small_and_in_use() -> None:
    everything = "".join(page.read_text() for page in PAGES)
    images = sorted((DOCS / "images").iterdir())
    assert images
    for image in images:
        assert image.read_bytes().startswith(b"\x89PNG"), image.name
        assert image.stat().st_size < _MOST_IMAGE_BYTES, image.name
        assert f"images/{image.name}" in everything, image.name
