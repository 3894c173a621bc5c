"""Real servers and a real service, started once for whoever asks first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.support import servers as support
from tests.support.live import Api, Live
from tests.support.servers import Servers, SettingsFactory

#: What asks for one of these, directly or by another fixture, needs servers.
_OF_SERVERS = frozenset(("servers", "live"))

#: Needs no server, but more than some eight seconds of a core for a file (child processes with
#: torch, pictures): not for every save of a file.
_SLOW = (
    "tests/adaptive/test_guarantees.py",
    "tests/ci/",
    "tests/client/test_aio.py",
    "tests/client/test_cli.py",
    "tests/client/test_training.py",
    "tests/client/test_transport.py",
    "tests/client/test_uploading.py",
    "tests/conformance/",
    "tests/deploy/test_sbom.py",
    "tests/embedded/test_tending.py",
    "tests/engine/test_convexity.py",
    "tests/engine/test_counting.py",
    "tests/engine/test_curvature_directions_and_groups.py",
    "tests/engine/test_lanczos.py",
    "tests/engine/test_trace.py",
    "tests/exports/test_page.py",
    "tests/fences/test_contracts.py",
    "tests/figures/",
    "tests/http/test_processes.py",
    "tests/packaging/test_wheels.py",
    "tests/program_attack/",
    "tests/program_binding/test_folding.py",
    "tests/program_binding/test_ingest.py",
    "tests/program_binding/test_masked_attention.py",
    "tests/program_binding/test_measuring.py",
    "tests/program_binding/test_onednn.py",
    "tests/program_binding/test_operators.py",
    "tests/program_binding/test_uncompiled.py",
    "tests/program_binding/test_winograd.py",
    "tests/programs/test_checking.py",
    "tests/programs/test_fuzz.py",
    "tests/programs/test_hostile.py",
    "tests/security/test_confinement.py",
    "tests/security/test_required.py",
    "tests/workers/test_child.py",
    "tests/workers/test_curvature.py",
    "tests/workers/test_every_kind.py",
    "tests/workers/test_memory_limit.py",
    "tests/workers/test_runner.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not even import the slow files where they are left out: that alone takes seconds."""
    if "not slow" not in config.option.markexpr:
        return None
    return True if _slow(collection_path.relative_to(config.rootpath).as_posix()) else None


def _slow(file: str) -> bool:
    return file.startswith(_SLOW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server; modules that start servers of their own say so themselves."""
    for item in items:
        if isinstance(item, pytest.Function) and _OF_SERVERS & set(item.fixturenames):
            item.add_marker(pytest.mark.server)
        if _slow(item.nodeid.partition("::")[0]):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Postgres, S3 and broker; awaited one by one, as their addresses are asked for."""
    with support.running(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    """A database where tests may create databases of their own."""
    return servers.database_url


@pytest.fixture(scope="session")
def s3_settings(servers: Servers) -> dict[str, str]:
    """`S3_ENDPOINT`, `S3_ACCESS_KEY` and `S3_SECRET_KEY`, perhaps `S3_REGION`."""
    return servers.s3


@pytest.fixture(scope="session")
def broker_url(servers: Servers) -> str:
    return servers.broker_url


@pytest.fixture(scope="session")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A migrated database and an empty bucket, shared by the session's tests."""
    with support.settings_factory(servers, tmp_path_factory.mktemp("data")) as make:
        yield make()


@pytest.fixture
def fresh_settings(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SettingsFactory]:
    """Makes Settings with a database, a bucket and a data folder of the test's own."""
    with support.settings_factory(servers, tmp_path_factory.mktemp("data")) as make:
        yield make


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """`lossatlas-server up` with two workers, serving."""
    with support.surroundings() as environment:
        up = Live(tmp_path_factory.mktemp("live") / "data", workers=2, env=environment)
        try:
            up.start()
            yield up
            up.stop()
        finally:
            up.kill()


@pytest.fixture(scope="session")
def live_api(live: Live) -> Api:
    """Calls to the live service with its administrator's key."""
    assert live.api is not None
    return live.api
