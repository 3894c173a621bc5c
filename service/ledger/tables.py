"""The tables and everything that must always be true of their rows.

The same truths are in the migrations, as SQL; a test compares the two in the catalogue of a
real server. Which state may follow which is enforced by triggers that the migrations make.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

# parts of words are found by an index of trigrams
_TRIGRAMS = DDL("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # type: ignore[no-untyped-call]
event.listen(metadata, "before_create", _TRIGRAMS)

_DIGEST: Final = r"~ '^sha256:[0-9a-f]{64}$'"
_NO_TAGS: Final = text("'{}'::text[]")
_NOTHING: Final = text("'{}'::jsonb")

#: Measures of landscapes that lists are sorted by; each has an index.
SORTED_MEASURES: Final = (
    "barrier",
    "basin_width",
    "center_loss",
    "lambda_max",
    "minimum",
    "roughness",
    "sharpness",
)


def measured(name: str) -> tuple[str, str]:
    """A measure as a number, and the condition that it is one; as the indexes have them."""
    return (
        f"(((derived -> '{name}') ->> 'value')::double precision)",
        f"jsonb_typeof((derived -> '{name}') -> 'value') = 'number'",
    )


def _at(name: str, *, now: bool = False) -> Column[Any]:
    """A moment by the database's clock."""
    if now:
        return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())
    return Column(name, DateTime(timezone=True))


def _json(name: str, *, required: bool = False, empty: bool = False) -> Column[Any]:
    return Column(
        name,
        JSONB(none_as_null=True),
        nullable=not (required or empty),
        server_default=_NOTHING if empty else None,
    )


def _refers(name: str, target: str, *, required: bool = True, **options: Any) -> Column[Any]:
    """A reference whose target cannot be deleted under it."""
    return Column(
        name, Text, ForeignKey(target, ondelete="RESTRICT", **options), nullable=not required
    )


def _project() -> Column[Any]:
    return _refers("project", "projects.name")


def _author() -> Column[Any]:
    return _refers("created_by", "api_keys.id", required=False)


def _tags() -> Column[Any]:
    return Column("tags", ARRAY(Text), nullable=False, server_default=_NO_TAGS)


def _id() -> Column[Any]:
    return Column("id", Text, primary_key=True)


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False)


projects = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    _at("created_at", now=True),
    # whether links to single figures may be made and work
    Column("sharing", Boolean, nullable=False, server_default=text("false")),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _text("name"),
    # sha256 of the secret, which has 256 random bits: no slow hash is needed
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    _text("role"),
    Column("projects", ARRAY(Text)),
    # whether it may move aliases: what others are judged against
    Column("can_promote", Boolean, nullable=False, server_default=text("false")),
    _at("created_at", now=True),
    _author(),
    _at("expires_at"),
    _at("revoked_at"),
    _at("last_used_at"),
    CheckConstraint("role IN ('reader', 'submitter', 'admin')", name="role"),
    # for whom an identity token was exchanged; ends with the trust
    _refers("trust_id", "trusts.id", required=False, use_alter=True),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
    Index("api_keys_trust_id_idx", "trust_id", postgresql_where=text("trust_id IS NOT NULL")),
    CheckConstraint("NOT can_promote OR role <> 'reader'", name="promoters_submit"),
)

people = Table(
    "people",
    metadata,
    _id(),
    _text("issuer"),
    _text("subject"),
    _text("name"),
    Column("email", Text),
    # a key without a secret: what the person may do, and what others refer to
    _refers("key_id", "api_keys.id"),
    _at("created_at", now=True),
    _at("signed_in_at", now=True),
    UniqueConstraint("issuer", "subject"),
    UniqueConstraint("key_id"),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    # sha256 of what the cookie holds
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    _refers("key_id", "api_keys.id"),
    _at("created_at", now=True),
    _at("last_seen_at", now=True),
    Column("idle_until", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
    CheckConstraint("idle_until <= expires_at", name="idle"),
    Index("sessions_key_id_idx", "key_id"),
    Index("sessions_idle_until_idx", "idle_until"),
)

trusts = Table(
    "trusts",
    metadata,
    _id(),
    _text("issuer"),
    _text("audience"),
    _project(),
    _text("role"),
    _json("claims", required=True),
    _at("created_at", now=True),
    _author(),
    _at("revoked_at"),
    CheckConstraint("role IN ('reader', 'submitter')", name="role"),
    Index("trusts_issuer_live_idx", "issuer", postgresql_where=text("revoked_at IS NULL")),
)

spent_tokens = Table(
    "spent_tokens",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("spent_tokens_expires_at_idx", "expires_at"),
)

objects = Table(
    "objects",
    metadata,
    Column("digest", Text, primary_key=True),
    # null where only a worker has told of the object so far
    Column("size", BigInteger),
    _at("created_at", now=True),
    # in quarantine from when it could not be read until its bytes are written anew
    _at("damaged_at"),
    Column("damage", Text),
    CheckConstraint(f"digest {_DIGEST}", name="digest"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("(damaged_at IS NULL) = (damage IS NULL)", name="damage"),
)

object_uploads = Table(
    "object_uploads",
    metadata,
    Column("digest", Text, ForeignKey("objects.digest", ondelete="RESTRICT"), primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.id", ondelete="RESTRICT"), primary_key=True),
    _at("at", now=True),
)

object_links = Table(
    "object_links",
    metadata,
    Column("digest", Text, ForeignKey("objects.digest", ondelete="RESTRICT"), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="RESTRICT"), primary_key=True),
    Column("entity_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
)

uploads = Table(
    "uploads",
    metadata,
    _id(),
    _text("digest"),
    Column("size", BigInteger, nullable=False),
    Column("part_size", BigInteger, nullable=False),
    _text("s3_upload_id"),
    _refers("key_id", "api_keys.id"),
    Column("state", Text, nullable=False, server_default="open"),
    _at("created_at", now=True),
    CheckConstraint(f"digest {_DIGEST}", name="digest"),
    CheckConstraint("size >= 0 AND part_size > 0", name="size"),
    CheckConstraint("state IN ('open', 'completed', 'aborted')", name="state"),
)

models = Table(
    "models",
    metadata,
    _id(),
    _project(),
    _text("name"),
    _refers("program", "objects.digest", required=False),
    _json("architecture"),
    _text("loss"),
    _tags(),
    _json("metadata", empty=True),
    _text("state"),
    _json("problem"),
    _json("signature"),
    _refers("graph", "objects.digest", required=False),
    _refers("constants", "objects.digest", required=False),
    _at("created_at", now=True),
    _author(),
    CheckConstraint("state IN ('checked', 'ready', 'refused')", name="state"),
    CheckConstraint("(program IS NULL) <> (architecture IS NULL)", name="one_origin"),
    CheckConstraint("(state = 'refused') = (problem IS NOT NULL)", name="refused_has_problem"),
    CheckConstraint("state <> 'ready' OR signature IS NOT NULL", name="ready_has_signature"),
    CheckConstraint(
        "(state = 'ready' AND program IS NOT NULL) = (graph IS NOT NULL)",
        name="ready_program_has_graph",
    ),
    CheckConstraint("constants IS NULL OR graph IS NOT NULL", name="constants_need_graph"),
    Column("note", Text),
    _json("loss_options", empty=True),
    Index("models_project_id_idx", "project", "id"),
    Index("models_program_loss_idx", "program", "loss", postgresql_where=text("state = 'ready'")),
    Index("models_tags_idx", "tags", postgresql_using="gin"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _id(),
    _refers("model_id", "models.id"),
    Column("seq", Integer, nullable=False),
    _refers("weights", "objects.digest"),
    Column("step", BigInteger),
    Column("epoch", Double),
    Column("label", Text),
    _json("metrics", empty=True),
    Column("learning_rate", Double),
    _at("created_at", now=True),
    _author(),
    UniqueConstraint("model_id", "seq"),
    # what a direction or a job refers to together with its model
    UniqueConstraint("id", "model_id"),
    CheckConstraint("seq >= 0", name="seq"),
)

datasets = Table(
    "datasets",
    metadata,
    _id(),
    _project(),
    _text("name"),
    Column("split", Text),
    _refers("object", "objects.digest"),
    Column("samples", BigInteger, nullable=False),
    _json("inputs", required=True),
    _json("targets", required=True),
    _at("created_at", now=True),
    _author(),
    CheckConstraint("samples > 0", name="samples"),
    Index("datasets_project_id_idx", "project", "id"),
)

directions = Table(
    "directions",
    metadata,
    _id(),
    _project(),
    Column("model_id", Text, nullable=False),
    Column("checkpoint_id", Text, nullable=False),
    _json("spec", required=True),
    _text("spec_digest"),
    _refers("object", "objects.digest", required=False),
    Column("norm", Double),
    _at("created_at", now=True),
    _author(),
    ForeignKeyConstraint(
        ["checkpoint_id", "model_id"],
        ["checkpoints.id", "checkpoints.model_id"],
        ondelete="RESTRICT",
    ),
    UniqueConstraint("checkpoint_id", "spec_digest"),
    CheckConstraint(f"spec_digest {_DIGEST}", name="spec_digest"),
    CheckConstraint("(object IS NULL) = (norm IS NULL)", name="materialised_whole"),
    Index("directions_project_id_idx", "project", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    _project(),
    _text("kind"),
    _text("state"),
    _json("spec", required=True),
    _text("input_digest"),
    Column("force", Boolean, nullable=False, server_default=text("false")),
    _refers("model_id", "models.id"),
    _refers("origin", "checkpoints.id", required=False),
    _json("directions", empty=True),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    _text("phase"),
    Column("cells_total", Integer),
    Column("cells_done", Integer, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    _json("plan"),
    _json("error"),
    _refers("landscape_id", "landscapes.id", required=False, use_alter=True),
    _at("cancel_requested_at"),
    _tags(),
    _at("created_at", now=True),
    _at("started_at"),
    _at("finished_at"),
    _author(),
    # what units and landscapes refer to together with their project
    UniqueConstraint("id", "project"),
    CheckConstraint(
        "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint("phase IN ('ingest', 'prepare', 'tile', 'finalise')", name="phase"),
    CheckConstraint(f"input_digest {_DIGEST}", name="input_digest"),
    CheckConstraint("(kind = 'ingest') = (origin IS NULL)", name="origin_unless_ingest"),
    CheckConstraint(
        "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
        name="finished_has_time",
    ),
    CheckConstraint(
        "state NOT IN ('running', 'succeeded') OR started_at IS NOT NULL", name="started_has_time"
    ),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
    CheckConstraint(
        "(state = 'succeeded' AND kind <> 'ingest') = (landscape_id IS NOT NULL)",
        name="succeeded_has_landscape",
    ),
    CheckConstraint(
        "(state = 'cancelled') = (cancel_requested_at IS NOT NULL)", name="cancelled_was_asked"
    ),
    CheckConstraint("cells_done >= 0 AND cells_done <= cells_total", name="cells"),
    CheckConstraint("attempt >= 1", name="attempt"),
    # one question is answered once at a time, unless asked to repeat itself
    Index(
        "jobs_project_input_digest_live_key",
        "project",
        "input_digest",
        unique=True,
        postgresql_where=text("state IN ('queued', 'running') AND NOT force"),
    ),
    Index("jobs_live_idx", "id", postgresql_where=text("state IN ('queued', 'running')")),
    Index("jobs_project_input_digest_idx", "project", "input_digest"),
    Index("jobs_project_id_idx", "project", "id"),
    Index("jobs_model_id_idx", "model_id", "id"),
)

units = Table(
    "units",
    metadata,
    _id(),
    Column("job_id", Text, nullable=False),
    Column("project", Text, nullable=False),
    _text("kind"),
    Column("seq", Integer, nullable=False),
    _text("state"),
    Column("start", Integer),
    Column("stop", Integer),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("deaths", Integer, nullable=False, server_default=text("0")),
    Column("losses", Integer, nullable=False, server_default=text("0")),
    _at("lease_until"),
    Column("worker", Text),
    Column("shunned", Text),
    Column("cells_done", Integer, nullable=False, server_default=text("0")),
    _refers("result", "objects.digest", required=False),
    Column("seconds", Double),
    _json("problem"),
    _at("ready_at"),
    _at("started_at"),
    _at("finished_at"),
    ForeignKeyConstraint(["job_id", "project"], ["jobs.id", "jobs.project"], ondelete="RESTRICT"),
    UniqueConstraint("job_id", "kind", "seq"),
    CheckConstraint("kind IN ('ingest', 'prepare', 'tile', 'finalise')", name="kind"),
    CheckConstraint(
        "state IN ('blocked', 'ready', 'leased', 'done', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name="leased_has_lease"),
    CheckConstraint(
        "state <> 'leased' OR (worker IS NOT NULL AND attempt > 0)", name="leased_has_worker"
    ),
    CheckConstraint(
        "(state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
        name="finished_has_time",
    ),
    CheckConstraint("state <> 'ready' OR ready_at IS NOT NULL", name="ready_has_time"),
    CheckConstraint("state <> 'failed' OR problem IS NOT NULL", name="failed_has_problem"),
    CheckConstraint(
        "(kind = 'tile' AND state = 'done') = (result IS NOT NULL)", name="done_tile_has_result"
    ),
    CheckConstraint(
        "(kind = 'tile') = (start IS NOT NULL) AND (kind = 'tile') = (stop IS NOT NULL)",
        name="tile_has_slice",
    ),
    CheckConstraint("start >= 0 AND start < stop", name="slice"),
    CheckConstraint("cells_done >= 0 AND cells_done <= coalesce(stop - start, 0)", name="cells"),
    CheckConstraint("attempt >= 0 AND deaths >= 0 AND losses >= 0", name="counts"),
    # the claim looks for the first ready unit of a job and counts the leased ones of a project;
    # both indexes hold live units only, however many have been done
    Index("units_ready_idx", "job_id", "seq", postgresql_where=text("state = 'ready'")),
    Index("units_leased_project_idx", "project", postgresql_where=text("state = 'leased'")),
    Index("units_leased_job_idx", "job_id", postgresql_where=text("state = 'leased'")),
    Index("units_lease_idx", "lease_until", postgresql_where=text("state = 'leased'")),
    Index(
        "units_finished_tiles_idx",
        "job_id",
        "finished_at",
        postgresql_where=text("state = 'done' AND kind = 'tile'"),
    ),
)

job_events = Table(
    "job_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _refers("job_id", "jobs.id"),
    _text("type"),
    _json("data", empty=True),
    _at("at", now=True),
    Index("job_events_job_id_id_idx", "job_id", "id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("topic"),
    _json("payload", required=True),
    # what a hint is about; at most one hint for each unit
    _refers("unit_id", "units.id", required=False),
    _refers("job_id", "jobs.id", required=False),
    _at("created_at", now=True),
    _at("not_before", now=True),
    _at("sent_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("unit_id"),
    CheckConstraint("topic IN ('hint', 'webhook')", name="topic"),
    CheckConstraint(
        "(topic = 'hint') = (unit_id IS NOT NULL) AND (unit_id IS NULL OR job_id IS NOT NULL)",
        name="hint_has_unit",
    ),
    CheckConstraint("(attempts > 0) = (sent_at IS NOT NULL)", name="sent_has_time"),
    Index("outbox_unsent_idx", "not_before", postgresql_where=text("sent_at IS NULL")),
    Index("outbox_hints_job_idx", "job_id", postgresql_where=text("topic = 'hint'")),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("api_key_id", Text, ForeignKey("api_keys.id", ondelete="RESTRICT"), primary_key=True),
    _text("request_digest"),
    # written before its job, so that of two equal requests the second waits here
    _refers("job_id", "jobs.id", deferrable=True, initially="DEFERRED"),
    _at("created_at", now=True),
)

landscapes = Table(
    "landscapes",
    metadata,
    _id(),
    Column("project", Text, nullable=False),
    Column("job_id", Text, nullable=False, unique=True),
    _text("kind"),
    _refers("model_id", "models.id"),
    _refers("origin", "checkpoints.id", required=False),
    _text("input_digest"),
    _refers("data", "objects.digest"),
    _json("provenance", required=True),
    _json("derived", required=True),
    _json("spec", required=True),
    Column("title", Text),
    _tags(),
    _at("created_at", now=True),
    _author(),
    ForeignKeyConstraint(["job_id", "project"], ["jobs.id", "jobs.project"], ondelete="RESTRICT"),
    CheckConstraint(f"input_digest {_DIGEST}", name="input_digest"),
    Index("landscapes_project_id_idx", "project", "id"),
    Index("landscapes_model_id_idx", "model_id", "id"),
    Index("landscapes_tags_idx", "tags", postgresql_using="gin"),
    Index("landscapes_datasets_idx", text("(spec -> 'datasets')"), postgresql_using="gin"),
    Column("note", Text),
    # title, model, tags and note in lower case, written by a trigger
    Column("search", Text, nullable=False, server_default=""),
    Index(
        "landscapes_search_idx",
        "search",
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    ),
    Index("landscapes_kind_id_idx", "kind", "id"),
    Index("landscapes_created_by_id_idx", "created_by", "id"),
    *(
        Index(
            f"landscapes_{name}_idx",
            text(measured(name)[0]),
            "id",
            postgresql_where=text(measured(name)[1]),
        )
        for name in SORTED_MEASURES
    ),
)

landscape_facets = Table(
    "landscape_facets",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="RESTRICT"), primary_key=True),
    Column("field", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    # counted by triggers
    Column("landscapes", BigInteger, nullable=False),
    CheckConstraint("field IN ('kind', 'model', 'tag', 'dataset', 'author')", name="field"),
    CheckConstraint("landscapes >= 0", name="landscapes"),
)

edits = Table(
    "edits",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _at("at", now=True),
    _refers("key_id", "api_keys.id", required=False),
    _project(),
    _text("entity_id"),
    _text("field"),
    _json("before"),
    _json("after"),
    CheckConstraint("field IN ('tags', 'note')", name="field"),
    Index("edits_entity_id_idx", "entity_id", "id"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="RESTRICT"), primary_key=True),
    Column("name", Text, primary_key=True),
    _refers("model_id", "models.id", required=False),
    _refers("checkpoint_id", "checkpoints.id", required=False),
    _refers("landscape_id", "landscapes.id", required=False),
    # of the last move; grows for ever, through removals too
    Column("revision", Integer, nullable=False),
    Column("note", Text),
    _at("moved_at", now=True),
    _refers("moved_by", "api_keys.id", required=False),
    CheckConstraint("num_nonnulls(model_id, checkpoint_id, landscape_id) = 1", name="one_target"),
    CheckConstraint("revision > 0", name="revision"),
)

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="RESTRICT"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    # null: there was none before, or the alias was removed
    Column("from_target", Text),
    Column("to_target", Text),
    Column("note", Text),
    _at("at", now=True),
    _refers("key_id", "api_keys.id", required=False),
    CheckConstraint("num_nonnulls(from_target, to_target) > 0", name="from_or_to"),
    CheckConstraint("revision > 0", name="revision"),
)

checks = Table(
    "checks",
    metadata,
    _id(),
    _project(),
    _refers("landscape_id", "landscapes.id"),
    _refers("data", "objects.digest"),
    _json("baseline"),
    _refers("baseline_id", "landscapes.id", required=False),
    Column("standard_errors", Double, nullable=False),
    _text("verdict"),
    _json("rules", required=True),
    Column("idempotency_key", Text),
    _text("request_digest"),
    _at("created_at", now=True),
    _author(),
    UniqueConstraint("created_by", "idempotency_key"),
    CheckConstraint("verdict IN ('pass', 'fail', 'inconclusive')", name="verdict"),
    CheckConstraint("standard_errors >= 0", name="standard_errors"),
    CheckConstraint("(baseline IS NULL) = (baseline_id IS NULL)", name="baseline"),
    CheckConstraint(f"request_digest {_DIGEST}", name="request_digest"),
    Index("checks_landscape_id_idx", "landscape_id", "id"),
    Index("checks_project_id_idx", "project", "id"),
)

shares = Table(
    "shares",
    metadata,
    _id(),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    _refers("landscape_id", "landscapes.id"),
    _project(),
    _json("options", empty=True),
    _at("created_at", now=True),
    _author(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _at("revoked_at"),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
    Index("shares_project_id_idx", "project", "id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _at("at", now=True),
    _refers("key_id", "api_keys.id", required=False),
    _text("action"),
    _text("entity_id"),
    _json("data", empty=True),
    Index("audit_entity_id_idx", "entity_id", "id"),
)
