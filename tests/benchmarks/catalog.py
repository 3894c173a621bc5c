"""How long the catalog's pages take over a million landscapes.

Claim: the first page is rendered in under 300 ms on the server, facets included, and so is every
page that one of its links leads to. The rows are generated in a scratch database by SQL, of the
size and the spread of an organisation's: 40 projects, 5,000 models, 60 authors, 400 data sets,
1,000 tags of very unequal use. What is timed is the route itself, from the request to the last
byte of the HTML, by HTTP on loopback. No index holds fragments of two letters: what searching for
them costs is told beside, and is no part of the claim.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from service.ledger import catalog
from service.ledger.catalog import Filters
from service.settings import Settings
from tests.benchmarks.timing import interleave, write
from tests.support import servers as support
from tests.support.serving import Serving, serving

LANDSCAPES: Final = int(os.environ.get("LANDSCAPES", "1000000"))
MODELS: Final = max(10, LANDSCAPES // 200)
ROUNDS: Final = 9
LIMIT_SECONDS: Final = 0.3

#: An id of our own shape for row n, sorted by n; a minute apart, the newest now.
_ID: Final = (
    "'{kind}_' || (SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz',"
    " ((ms >> (5 * (9 - k))) & 31)::int + 1, 1), '' ORDER BY k) FROM generate_series(0, 9) k)"
    " || lpad({n}::text, 16, '0')"
)

_ROWS: Final = (
    "INSERT INTO projects (name) SELECT 'project-' || p FROM generate_series(1, 40) p",
    "INSERT INTO api_keys (id, name, secret_hash, role) SELECT 'key_' || lpad(a::text, 26, '0'),"
    " 'author ' || a, sha256(a::text::bytea), 'submitter' FROM generate_series(1, 60) a",
    "INSERT INTO objects (digest, size) VALUES ('sha256:' || repeat('a', 64), 1)",
    "INSERT INTO datasets (id, project, name, object, samples, inputs, targets)"
    " SELECT 'dst_' || lpad(d::text, 26, '0'), 'project-' || (1 + d % 40), 'data set ' || d,"
    " 'sha256:' || repeat('a', 64), 1000, '{{}}', '{{}}' FROM generate_series(1, 400) d",
    # small projects and large ones, seldom and often mapped models
    "INSERT INTO models (id, project, name, architecture, loss, state, signature)"
    " SELECT 'mdl_' || lpad(m::text, 26, '0'), 'project-' || (1 + floor(40 * (m / {models}.0) ^ 3)"
    "::int % 40), (ARRAY['ResNet','VGG','ViT','MLP','UNet'])[1 + m % 5] || '-' || m,"
    " '{{\"name\": \"made\"}}', 'cross_entropy', 'ready', '{{\"parameter_count\": 1}}'"
    " FROM generate_series(1, {models}) m",
    "INSERT INTO checkpoints (id, model_id, seq, weights, metrics)"
    " SELECT replace(id, 'mdl_', 'ckp_'), id, 0, 'sha256:' || repeat('a', 64),"
    " jsonb_build_object('test_error', random()) FROM models",
    "ALTER TABLE jobs DISABLE TRIGGER USER",
    "CREATE TEMP TABLE made AS SELECT n, ms, {id} AS id, m.project, m.id AS model_id,"
    " (ARRAY['surface','surface','surface','interpolation','line','curvature','trajectory'])"
    "[1 + n % 7] AS kind, 'key_' || lpad((1 + floor(60 * random() ^ 2))::text, 26, '0') AS author,"
    " 'dst_' || lpad((1 + floor(400 * random() ^ 2))::text, 26, '0') AS dataset,"
    " ARRAY['tag-' || floor(1000 * random() ^ 4), 'tag-' || floor(1000 * random() ^ 4)] AS tags"
    " FROM (SELECT n,"
    "  (extract(epoch FROM now()) * 1000)::bigint - ({rows} - n)::bigint * 60000 AS ms,"
    "  'mdl_' || lpad((1 + floor({models} * random() ^ 2))::text, 26, '0') AS model"
    "  FROM generate_series(1, {rows}) n) g JOIN models m ON m.id = g.model ORDER BY n",
    "INSERT INTO jobs (id, project, kind, state, spec, input_digest, model_id, origin, phase,"
    " error, created_at, started_at, finished_at) SELECT replace(id, 'lsc_', 'job_'), project,"
    " kind, 'failed', '{{}}', 'sha256:' || repeat('b', 64), model_id,"
    " replace(model_id, 'mdl_', 'ckp_'), 'finalise', '{{}}', now(), now(), now() FROM made",
    "INSERT INTO landscapes (id, project, job_id, kind, model_id, origin, input_digest, data,"
    " provenance, derived, spec, title, tags, created_by, created_at)"
    " SELECT id, project, replace(id, 'lsc_', 'job_'), kind, model_id,"
    " replace(model_id, 'mdl_', 'ckp_'), 'sha256:' || repeat('b', 64),"
    " 'sha256:' || repeat('a', 64), jsonb_build_object('engine', 'made', 'dtype', 'float32'),"
    " jsonb_build_object('minimum', jsonb_build_object('value', random()), 'sharpness',"
    "  jsonb_build_object('value', CASE WHEN n % 7 < 3 THEN exp(5 * random()) END)),"
    " jsonb_build_object('datasets', jsonb_build_array(dataset)),"
    " 'run ' || n || CASE WHEN n % 5000 = 0 THEN ' zircon' ELSE '' END, tags, author,"
    " to_timestamp(ms / 1000.0) FROM made ORDER BY n",
    "DROP TABLE made",
)


def run() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = stack.enter_context(support.running(folder))
        make = stack.enter_context(support.settings_factory(started, folder))
        settings: Settings = make(requests_per_minute=0)
        _fill(settings)
        api = stack.enter_context(serving(settings))
        _measure(api)


def _fill(settings: Settings) -> None:
    rows = LANDSCAPES
    with psycopg.connect(support.libpq(settings.database_url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off; SET work_mem = '256MB'")
        for statement in _ROWS:
            connection.execute(
                statement.format(rows=rows, models=MODELS, id=_ID.format(kind="lsc", n="n"))
            )
        connection.execute("VACUUM ANALYZE")


def _measure(api: Serving) -> None:
    with api.services.database.transaction() as session:
        known = {
            field: {facet.value: facet.count for facet in found}
            for field, found in catalog.facets(session, Filters()).by_field.items()
        }
        newest = catalog.search(session, Filters(), limit=1).items[0]
    model = max(known["model"], key=known["model"].__getitem__)
    tag = max(known["tag"], key=known["tag"].__getitem__)
    author = max(known["author"], key=known["author"].__getitem__)
    dataset = max(known["dataset"], key=known["dataset"].__getitem__)
    week = datetime.now(UTC).date() - timedelta(minutes=LANDSCAPES // 2)
    pages = {
        "first page": "/",
        "sorted by sharpness": "/?sort=sharpness",
        "a large project": "/?project=project-1",
        "a small project": "/?project=project-40",
        "a kind": "/?kind=trajectory",
        "a model": f"/?model={model}",
        "the commonest tag": f"/?tag={tag}",
        "a rare tag": "/?tag=tag-997",
        "a data set": f"/?dataset={dataset}",
        "an author": f"/?author={author}",
        "a common word": "/?q=resnet",
        "a rare word": "/?q=zircon",
        "two words": "/?q=vit+zircon",
        "no such word": "/?q=qqqqqq",
        "two letters": "/?q=zi",
        "an old week": f"/?since={week}&until={week + timedelta(days=6)}",
        "tag, kind and author": f"/?tag={tag}&kind=line&author={author}",
        "kind in a small project, flattest": "/?project=project-40&kind=surface&sort=sharpness",
        "model's page": f"/models/{model}",
        "models": "/models?q=resnet-1",
        "jobs": "/jobs",
        "API, by text": "/v1/landscapes?text=zircon",
        "API, last by author": f"/v1/landscapes?author={author}&limit=1",
    }
    key = api.key("admin")[1]
    stranger = api.key("reader", ["project-40"])[1]
    with api.client(key) as client, api.client(stranger) as confined:

        def asked(address: str) -> None:
            answer = client.get(address, headers={"Accept": "text/html"})
            assert answer.status_code == 200, (address, answer.text[:300])

        def asked_by_few() -> None:
            assert confined.get("/", headers={"Accept": "text/html"}).status_code == 200

        sides = {name: (lambda address=address: asked(address)) for name, address in pages.items()}
        samples = interleave({**sides, "first page of a confined key": asked_by_few}, ROUNDS)
    print(f"{LANDSCAPES:,} landscapes, {MODELS:,} models; newest {newest.id}")
    for name, sample in samples.items():
        print(
            f"  {name:<36} {1000 * sample.median:7.1f} ms  (worst {1000 * max(sample.seconds):.0f})"
        )
    slow = [name for name, sample in samples.items() if sample.median > LIMIT_SECONDS]
    print("all under 300 ms" if not slow else f"OVER 300 ms: {', '.join(slow)}")
    write(
        "catalog",
        {
            "landscapes": LANDSCAPES,
            "models": MODELS,
            "limit_s": LIMIT_SECONDS,
            "pages": {name: sample.to_json() for name, sample in samples.items()},
        },
    )
