"""API keys: the secret opens, is shown once and is stored nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.problems import Problem
from service.ledger import keys
from service.ledger.records import KeyRecord
from service.ledger.session import Database
from service.ledger.sqltext import run
from tests.ledger.test_claims import together
from tests.ledger.world import World


def make(world: World, **more: Any) -> tuple[KeyRecord, str]:
    fields: dict[str, Any] = {
        "name": "ci",
        "role": "submitter",
        "projects": None,
        "expires_at": None,
        "created_by": world.key.id,
        **more,
    }
    with world.database.transaction() as session:
        return keys.create(session, **fields)


def authenticate(world: World, secret: str) -> KeyRecord | None:
    with world.database.transaction() as session:
        return keys.authenticate(session, secret)


def test_a_secret_opens_its_key(world: World) -> None:
    key, secret = make(world, projects=["b", "a", "a"])
    assert (key.role, key.projects, key.last_used_at) == ("submitter", ("a", "b"), None)
    assert secret.startswith(f"la_{key.id.removeprefix('key_')}_")
    found = authenticate(world, secret)
    assert found is not None
    assert found.id == key.id
    assert found.last_used_at is not None


def test_the_secret_is_stored_nowhere(world: World) -> None:
    _, secret = make(world)
    random_part = secret.split("_", 2)[2]
    assert len(random_part) >= 43
    everything = str(world.sql("SELECT * FROM api_keys"))
    assert random_part not in everything
    assert secret not in everything


def near_misses(secret: str) -> Iterator[str]:
    mark, identity, random_part = secret.split("_", 2)
    yield ""
    yield "la"
    yield "la__"
    yield secret[:-1]
    yield secret + "x"
    yield secret.swapcase()
    yield f"xx_{identity}_{random_part}"
    yield f"{mark}_{identity}_"
    yield f"{mark}_{'0' * 26}_{random_part}"
    yield f"{mark}_' OR 1=1 --_{random_part}"
    yield "la_\x00_x"
    yield "é" * 50


def test_anything_but_the_secret_opens_nothing(world: World) -> None:
    _, secret = make(world)
    make(world)
    for wrong in near_misses(secret):
        assert authenticate(world, wrong) is None, wrong
    assert authenticate(world, secret) is not None


def test_an_expired_key_opens_nothing(world: World) -> None:
    now = datetime.now(UTC)
    _, past = make(world, expires_at=now - timedelta(seconds=1))
    _, later = make(world, expires_at=now + timedelta(hours=1))
    assert authenticate(world, past) is None
    assert authenticate(world, later) is not None


def test_a_revoked_key_opens_nothing(world: World) -> None:
    key, secret = make(world)
    with world.database.transaction() as session:
        revoked = keys.revoke(session, key.id)
        again = keys.revoke(session, key.id)
    assert revoked.revoked_at is not None
    assert again.revoked_at == revoked.revoked_at
    assert authenticate(world, secret) is None
    with pytest.raises(Problem) as caught, world.database.transaction() as session:
        keys.revoke(session, "key_nowhere")
    assert caught.value.code == "not_found"


def test_use_is_noted_at_most_once_a_minute(world: World) -> None:
    key, secret = make(world)

    def used() -> datetime:
        found = authenticate(world, secret)
        assert found is not None
        assert found.last_used_at is not None
        return found.last_used_at

    first = used()
    assert used() == first
    world.sql(
        "UPDATE api_keys SET last_used_at = now() - interval '61 seconds' WHERE id = :id",
        id=key.id,
    )
    assert used() >= first


def test_a_key_in_use_elsewhere_is_not_waited_for(world: World) -> None:
    key, secret = make(world)
    with world.database.transaction() as session:
        run(session, "SELECT FROM api_keys WHERE id = :id FOR UPDATE", id=key.id)
        assert authenticate(world, secret) is not None


def test_keys_are_listed_newest_first(world: World) -> None:
    made = [make(world)[0].id for _ in range(3)]
    with world.database.transaction() as session:
        first = keys.list(session, limit=2)
        rest = keys.list(session, cursor=first.next_cursor, limit=2)
    assert [k.id for k in (*first.items, *rest.items)] == [*made[::-1], world.key.id]


def test_the_first_key_is_made_once(database: Database) -> None:
    secrets: list[str | None] = []

    def ensure(_: int) -> None:
        with database.transaction() as session:
            secrets.append(keys.ensure_first(session))

    together(4, ensure)
    (secret,) = [s for s in secrets if s is not None]
    with database.transaction() as session:
        key = keys.authenticate(session, secret)
    assert key is not None
    assert (key.role, key.projects) == ("admin", None)
