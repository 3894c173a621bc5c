"""Keys come from digests and ids, and from nothing else."""

from __future__ import annotations

import pytest

from service.domain.digests import digest_bytes
from service.store import keys

DIGEST = digest_bytes(b"")
HEX = DIGEST.removeprefix("sha256:")
BODY = "01k" + "0" * 23


def test_layout() -> None:
    assert keys.object_key(DIGEST) == f"objects/e3/b0/{HEX}"
    assert keys.upload_key(f"upl_{BODY}") == f"uploads/upl_{BODY}"
    assert keys.figure_key(f"lsc_{BODY}", DIGEST, "png") == f"figures/lsc_{BODY}/{HEX}.png"


@pytest.mark.parametrize("digest", ["", HEX, DIGEST.upper(), DIGEST + "/../x", DIGEST + "\n"])
def test_only_digests_name_objects(digest: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        keys.object_key(digest)


@pytest.mark.parametrize("identity", ["", "..", f"key_{BODY}", f"upl_{BODY}/x", f"upl_{BODY}\n"])
def test_only_upload_ids_name_uploads(identity: str) -> None:
    with pytest.raises(ValueError, match="not an upload's key"):
        keys.upload_key(identity)


@pytest.mark.parametrize(
    ("landscape", "extension"),
    [("..", "png"), (f"job_{BODY}", "png"), (f"lsc_{BODY}", "p/g"), (f"lsc_{BODY}", "png\n")],
)
def test_only_landscapes_have_figures(landscape: str, extension: str) -> None:
    with pytest.raises(ValueError, match="not a figure's key"):
        keys.figure_key(landscape, DIGEST, extension)


def test_a_key_that_was_built_elsewhere_is_checked() -> None:
    figure = f"figures/lsc_{BODY}/{HEX}.svg"
    assert keys.require_figure_key(figure) == figure
    for wrong in (f"objects/e3/b0/{HEX}", figure.replace("/", "//"), "figures/../objects"):
        with pytest.raises(ValueError, match="not a figure's key"):
            keys.require_figure_key(wrong)
        with pytest.raises(ValueError, match="not an upload's key"):
            keys.require_upload_key(wrong)
