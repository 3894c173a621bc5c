"""What is registered: objects and who may see them, models, checkpoints, data sets, directions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import exc

from service.domain.digests import digest_json
from service.domain.problems import Problem
from service.ledger import (
    audit,
    checkpoints,
    datasets,
    directions,
    keys,
    landscapes,
    models,
    objects,
    projects,
    uploads,
)
from service.ledger.ids import new_id
from service.ledger.records import KeyRecord, Role
from tests.ledger.test_claims import together
from tests.ledger.world import SIGNATURE, World, digest
from tests.support.ledger import audit_of, project_names


def key_for(world: World, *allowed: str, role: Role = "reader") -> KeyRecord:
    with world.database.transaction() as session:
        made, _ = keys.create(
            session, name="k", role=role, projects=allowed, expires_at=None, created_by=None
        )
    return made


def sees(world: World, name: str, key: KeyRecord) -> bool:
    with world.database.transaction() as session:
        return objects.seen(session, name, key) is not None


# objects


def test_an_object_is_recorded_once_with_its_size(world: World) -> None:
    with world.database.transaction() as session:
        first = objects.record(session, digest("a"), 5, world.key)
        again = objects.record(session, digest("a"), 5, world.key)
        assert objects.seen(session, digest("b"), world.key) is None
    assert (first.digest, first.size) == (digest("a"), 5)
    assert again == first


def test_an_object_known_from_a_worker_gets_its_size_later(world: World) -> None:
    with world.database.transaction() as session:
        objects.note(session, digest("a"))
        assert objects.seen(session, digest("a"), world.key) is None
        assert objects.record(session, digest("a"), 7, world.key).size == 7
        objects.note(session, digest("a"))
        found = objects.seen(session, digest("a"), world.key)
    assert found is not None
    assert found.size == 7


def test_knowing_a_digest_shows_nothing(world: World) -> None:
    stranger = key_for(world, "beta")
    reader = key_for(world, "alpha")
    name = world.object()
    assert sees(world, name, world.key)
    assert not sees(world, name, stranger)
    assert not sees(world, name, reader)
    # used in a project: visible to its readers
    world.model("alpha", ready=False, program=name)
    assert sees(world, name, reader)
    assert not sees(world, name, stranger)
    # brought by oneself: visible, whatever the projects
    world.object_by(stranger, name)
    assert sees(world, name, stranger)


def test_a_link_needs_its_object(world: World) -> None:
    with world.database.transaction() as session:
        projects.ensure(session, "alpha")
    with pytest.raises(exc.IntegrityError), world.database.transaction() as session:
        objects.link(session, digest("nothing"), "alpha", "mdl_x", "program")


# projects and audit


def test_projects_are_made_on_first_use(world: World) -> None:
    with world.database.transaction() as session:
        projects.ensure(session, "beta")
        projects.ensure(session, "alpha")
        projects.ensure(session, "beta")
        assert project_names(session) == ["alpha", "beta"]


def test_the_audit_keeps_who_did_what(world: World) -> None:
    with world.database.transaction() as session:
        audit.record(
            session, key_id=world.key.id, action="key.revoke", entity_id="e", data={"a": 1}
        )
        audit.record(session, key_id=None, action="boot", entity_id="e")
        found = audit_of(session, "e")
    assert [(a.action, a.key_id, a.data) for a in found] == [
        ("key.revoke", world.key.id, {"a": 1}),
        ("boot", None, {}),
    ]


# uploads


def upload(world: World) -> str:
    with world.database.transaction() as session:
        return uploads.create(
            session,
            identity=new_id("upl"),
            digest=digest("big"),
            size=100,
            part_size=10,
            s3_upload_id="s3",
            key_id=world.key.id,
        ).id


def test_an_upload_ends_once(world: World) -> None:
    done, dropped = upload(world), upload(world)
    with world.database.transaction() as session:
        found = uploads.get(session, done)
        assert found is not None
        assert (found.state, found.part_size) == ("open", 10)
        assert uploads.complete(session, done).state == "completed"
        assert uploads.complete(session, done).state == "completed"
        assert uploads.abort(session, dropped).state == "aborted"
    for end, identity, code in (
        (uploads.abort, done, "conflict"),
        (uploads.complete, dropped, "conflict"),
        (uploads.complete, "upl_nowhere", "not_found"),
    ):
        with pytest.raises(Problem) as caught, world.database.transaction() as session:
            end(session, identity)
        assert caught.value.code == code


def test_abandoned_uploads_are_found(world: World) -> None:
    old, _ = upload(world), upload(world)
    world.sql("UPDATE uploads SET created_at = now() - interval '2 days' WHERE id = :i", i=old)
    with world.database.transaction() as session:
        assert [u.id for u in uploads.abandoned(session, timedelta(days=1))] == [old]


# models


def test_a_model_and_its_ingest_come_together(world: World) -> None:
    model = world.model(ready=False, tags=["b", "a", "a"], metadata={"lr": 0.1})
    assert (model.state, model.tags, model.metadata) == ("checked", ("a", "b"), {"lr": 0.1})
    claimed = world.claim()
    assert (claimed.job.kind, claimed.unit.kind) == ("ingest", "ingest")
    assert claimed.inputs.model.id == model.id


def test_a_model_needs_its_program_recorded(world: World) -> None:
    with pytest.raises(exc.IntegrityError):
        world.model(ready=False, program=digest("never uploaded"))


def test_a_named_architecture_needs_no_graph(world: World) -> None:
    with world.database.transaction() as session:
        model = models.create(
            session,
            project="alpha",
            name="net",
            program=None,
            architecture={"name": "resnet20", "config": {}},
            loss="cross_entropy",
            created_by=world.key.id,
        )
    world.ingest(world.claim())
    now = world.model_now(model.id)
    assert (now.state, now.graph, now.signature) == ("ready", None, SIGNATURE)


def test_the_same_program_is_ingested_once(world: World) -> None:
    first = world.model("alpha")
    assert first.program is not None
    twin = world.model("alpha", ready=False, program=first.program)
    assert (twin.state, twin.graph, twin.signature) == ("ready", first.graph, first.signature)
    assert world.try_claim() is None
    assert twin.graph is not None
    assert world.linked(twin.graph) == {"alpha"}
    # another project is not told that others have the program
    foreign = world.model("beta", ready=False, program=first.program)
    assert (foreign.state, foreign.graph, foreign.signature) == ("checked", None, SIGNATURE)
    assert world.linked(twin.graph) == {"alpha"}
    # another loss is another question to the worker
    assert world.model(ready=False, program=first.program, loss="mse").state == "checked"
    pooled = world.model(ready=False, program=first.program, loss_options={"reduction": "position"})
    assert (pooled.state, pooled.loss_options) == ("checked", {"reduction": "position"})


def test_models_are_filtered_and_paged(world: World) -> None:
    one = world.model("alpha", name="one", tags=["red"])
    two = world.model("beta", name="two", ready=False)

    def ids(**filters: Any) -> list[str]:
        with world.database.transaction() as session:
            return [m.id for m in models.list(session, **filters).items]

    assert ids() == [two.id, one.id]
    assert ids(projects=["alpha"]) == [one.id]
    assert ids(project="beta") == [two.id]
    assert ids(name="two") == [two.id]
    assert ids(tag="red") == [one.id]
    assert ids(state="checked") == [two.id]
    with world.database.transaction() as session:
        first = models.list(session, limit=1)
        rest = models.list(session, limit=1, cursor=first.next_cursor)
    assert [m.id for m in (*first.items, *rest.items)] == [two.id, one.id]
    assert rest.next_cursor is None


# checkpoints


def test_checkpoints_are_numbered_in_order(world: World) -> None:
    model = world.model()
    made = [world.checkpoint(model, step=n, epoch=n / 2, metrics={"loss": 0.5}) for n in range(3)]
    assert [c.seq for c in made] == [0, 1, 2]
    with world.database.transaction() as session:
        assert checkpoints.get(session, made[1].id) == made[1]
        assert set(checkpoints.for_ids(session, [made[0].id, "ckp_nowhere"])) == {made[0].id}
        first = checkpoints.list(session, model.id, limit=2)
        rest = checkpoints.list(session, model.id, limit=2, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == made
    with pytest.raises(Problem, match="no model"), world.database.transaction() as session:
        checkpoints.create(session, model_id="mdl_x", weights=digest("w"), created_by=None)


def test_checkpoints_registered_at_once_are_numbered_without_gaps(world: World) -> None:
    model = world.model()
    together(6, lambda _: world.checkpoint(model))
    rows = world.sql("SELECT seq FROM checkpoints ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(6))


def test_awkward_numbers_survive(world: World) -> None:
    made = world.checkpoint(world.model(), step=2**53 - 1, epoch=0.1, learning_rate=1e-300)
    assert (made.step, made.epoch, made.learning_rate) == (2**53 - 1, 0.1, 1e-300)


# data sets


def test_datasets_are_filtered_and_paged(world: World) -> None:
    one, two = world.dataset("alpha", "train"), world.dataset("beta", "test")

    def ids(**filters: Any) -> list[str]:
        with world.database.transaction() as session:
            return [d.id for d in datasets.list(session, **filters).items]

    assert ids() == [two.id, one.id]
    assert ids(projects=["alpha"]) == [one.id]
    assert ids(project="beta", name="test") == [two.id]
    assert ids(split="train") == []
    with world.database.transaction() as session:
        assert datasets.get(session, one.id) == one
        assert datasets.for_ids(session, [two.id]) == {two.id: two}
        first = datasets.list(session, limit=1)
        rest = datasets.list(session, limit=1, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == [two, one]
    assert sees(world, one.object, key_for(world, "alpha"))


# directions


def test_the_same_spec_at_the_same_checkpoint_is_one_direction(world: World) -> None:
    model = world.model()
    here, there = world.checkpoint(model), world.checkpoint(model)
    found: list[str] = []

    def record(checkpoint: str, seed: int) -> str:
        spec = {"kind": "random", "seed": seed}
        with world.database.transaction() as session:
            return directions.create(
                session,
                project="alpha",
                model_id=model.id,
                checkpoint_id=checkpoint,
                spec=spec,
                spec_digest=digest_json(spec),
                created_by=world.key.id,
            ).id

    together(4, lambda _: found.append(record(here.id, 1)))
    assert len(set(found)) == 1
    assert len({record(here.id, 1), record(here.id, 2), record(there.id, 1)}) == 3
    with world.database.transaction() as session:
        everything = directions.list(session, project="alpha", model_id=model.id).items
        here_only = directions.list(session, checkpoint_id=here.id, limit=1)
        assert directions.list(session, projects=["beta"]).items == []
        assert directions.get(session, found[0]) is not None
    assert len(everything) == 3
    assert here_only.next_cursor is not None


def test_a_direction_belongs_to_its_checkpoints_model(world: World) -> None:
    one, two = world.model(), world.model()
    origin = world.checkpoint(one)
    with pytest.raises(exc.IntegrityError), world.database.transaction() as session:
        directions.create(
            session,
            project="alpha",
            model_id=two.id,
            checkpoint_id=origin.id,
            spec={},
            spec_digest=digest("spec"),
            created_by=None,
        )


# landscapes


def test_landscapes_are_found_by_what_they_are_about(world: World) -> None:
    alpha = world.model("alpha", name="ResNet_56")
    beta = world.model("beta", name="vgg")
    one = world.done(
        alpha, tags=("paper",), landscape={"derived": {"train": {"barrier": 0.5, "note": "x"}}}
    )
    two = world.done(beta, landscape={"title": "100% flat", "derived": {"train": {"barrier": 2.0}}})
    three = world.done(beta, landscape={"title": None})

    def ids(**filters: Any) -> list[str]:
        with world.database.transaction() as session:
            return [x.id for x in landscapes.list(session, **filters).items]

    assert ids() == [three, two, one]
    assert ids(sort="created_at") == [one, two, three]
    assert ids(projects=["alpha"]) == [one]
    assert ids(project="beta") == [three, two]
    assert ids(model_id=alpha.id) == [one]
    assert ids(kind="surface") == [three, two, one]
    assert ids(kind="interpolation") == []
    assert ids(tag="paper") == [one]
    with world.database.transaction() as session:
        first = landscapes.get(session, one)
    assert first is not None
    assert ids(dataset=first.spec["datasets"][0]) == [one]
    assert ids(dataset="dst_nowhere") == []
    # case does not matter, and LIKE's signs are themselves
    assert ids(text="resnet_") == [one]
    assert ids(text="PAPER") == [one]
    assert ids(text="0% f") == [two]
    assert ids(text="%") == [two]
    assert ids(text="g_g") == []
    assert ids(ranges={"train.barrier": (None, 1.0)}) == [one]
    assert ids(ranges={"train.barrier": (1.0, None)}) == [two]
    assert ids(ranges={"train.barrier": (0.5, 2.0)}) == [two, one]
    assert ids(ranges={"train.barrier": (0.0, 9.0), "nothing": (0.0, 1.0)}) == []
    assert ids(ranges={"train.note": (None, None)}) == []


def test_landscapes_are_paged_in_both_orders(world: World) -> None:
    made = [world.done(points=1) for _ in range(3)]
    for sort, expected in (("-created_at", made[::-1]), ("created_at", made)):
        seen: list[str] = []
        cursor = None
        while True:
            with world.database.transaction() as session:
                page = landscapes.list(session, sort=sort, limit=2, cursor=cursor)
            seen += [x.id for x in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == expected
    with pytest.raises(Problem, match="sort"), world.database.transaction() as session:
        landscapes.list(session, sort="title")
