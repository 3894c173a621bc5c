"""One job from its registration to its landscape, as the ledger sees it."""

from __future__ import annotations

from service.ledger import jobs, landscapes, units
from tests.ledger.world import World


def test_a_job_goes_from_submit_to_landscape(world: World) -> None:
    model = world.model()
    assert model.state == "ready"

    job = world.submit(model, tags=("b", "a"), priority=3)
    assert (job.state, job.phase, job.attempt) == ("queued", "prepare", 1)
    assert world.states(job.id) == {"prepare": ["ready"]}

    claimed = world.claim()
    assert claimed.job.state == "running"
    assert claimed.unit.attempt == 1
    assert claimed.inputs.model.id == model.id
    assert list(claimed.inputs.checkpoints) == [job.origin]
    assert [d.id for d in claimed.inputs.datasets] == job.spec["datasets"]
    assert set(claimed.inputs.directions) == {"x", "y"}
    assert claimed.inputs.plan is None

    world.prepare(claimed, points=4)
    assert world.states(job.id) == {
        "finalise": ["blocked"],
        "prepare": ["done"],
        "tile": ["ready"] * 4,
    }
    for seq in range(4):
        tile = world.claim()
        assert (tile.unit.kind, tile.unit.seq) == ("tile", seq)
        assert tile.inputs.plan is not None
        assert tile.inputs.plan["tile_cells"] == 1
        world.finish_tile(tile)

    assert world.job(job.id).phase == "finalise"
    with world.database.transaction() as session:
        done = units.tiles(session, job.id)
        progress = jobs.progress(session, job.id)
    assert [(t.start, t.stop) for t in done] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert all(t.result for t in done)
    assert (progress.done, progress.total) == (4, 4)

    identity = world.finalise(world.claim())
    ended = world.job(job.id)
    assert (ended.state, ended.landscape_id) == ("succeeded", identity)
    with world.database.transaction() as session:
        landscape = landscapes.get(session, identity)
    assert landscape is not None
    assert landscape.tags == ("a", "b")
    assert landscape.created_by == world.key.id
    assert world.try_claim() is None
    assert world.events(job.id) == [
        "queued",
        "started",
        "unit_started",
        "unit_done",
        "planned",
        *["unit_started", "unit_done"] * 4,
        "unit_started",
        "unit_done",
        "finished",
    ]
