"""The ledger's first tables, and the triggers that hold states to their transitions.

A migration is literal: it says what was true when it was written, whatever the code says later.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE projects (
        name TEXT NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT projects_pkey PRIMARY KEY (name)
    )
    """,
    """
    CREATE TABLE api_keys (
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        secret_hash BYTEA NOT NULL,
        role TEXT NOT NULL,
        projects TEXT[],
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        CONSTRAINT api_keys_pkey PRIMARY KEY (id),
        CONSTRAINT api_keys_role CHECK (role IN ('reader', 'submitter', 'admin')),
        CONSTRAINT api_keys_secret_hash CHECK (octet_length(secret_hash) = 32),
        CONSTRAINT api_keys_secret_hash_key UNIQUE (secret_hash),
        CONSTRAINT api_keys_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE objects (
        digest TEXT NOT NULL,
        size BIGINT,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT objects_pkey PRIMARY KEY (digest),
        CONSTRAINT objects_digest CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT objects_size CHECK (size >= 0)
    )
    """,
    """
    CREATE TABLE object_uploads (
        digest TEXT NOT NULL,
        key_id TEXT NOT NULL,
        at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT object_uploads_pkey PRIMARY KEY (digest, key_id),
        CONSTRAINT object_uploads_digest_fkey FOREIGN KEY (digest) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT object_uploads_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE object_links (
        digest TEXT NOT NULL,
        project TEXT NOT NULL,
        entity_id TEXT NOT NULL,
        role TEXT NOT NULL,
        CONSTRAINT object_links_pkey PRIMARY KEY (digest, project, entity_id, role),
        CONSTRAINT object_links_digest_fkey FOREIGN KEY (digest) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT object_links_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE uploads (
        id TEXT NOT NULL,
        digest TEXT NOT NULL,
        size BIGINT NOT NULL,
        part_size BIGINT NOT NULL,
        s3_upload_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        state TEXT DEFAULT 'open' NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT uploads_pkey PRIMARY KEY (id),
        CONSTRAINT uploads_digest CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT uploads_size CHECK (size >= 0 AND part_size > 0),
        CONSTRAINT uploads_state CHECK (state IN ('open', 'completed', 'aborted')),
        CONSTRAINT uploads_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE models (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        program TEXT,
        architecture JSONB,
        loss TEXT NOT NULL,
        tags TEXT[] DEFAULT '{}'::text[] NOT NULL,
        metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
        state TEXT NOT NULL,
        problem JSONB,
        signature JSONB,
        graph TEXT,
        constants TEXT,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT models_pkey PRIMARY KEY (id),
        CONSTRAINT models_state CHECK (state IN ('checked', 'ready', 'refused')),
        CONSTRAINT models_one_origin CHECK ((program IS NULL) <> (architecture IS NULL)),
        CONSTRAINT models_refused_has_problem CHECK ((state = 'refused') = (problem IS NOT NULL)),
        CONSTRAINT models_ready_has_signature CHECK (state <> 'ready' OR signature IS NOT NULL),
        CONSTRAINT models_ready_program_has_graph CHECK ((state = 'ready' AND program IS NOT NULL) = (graph IS NOT NULL)),
        CONSTRAINT models_constants_need_graph CHECK (constants IS NULL OR graph IS NOT NULL),
        CONSTRAINT models_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT models_program_fkey FOREIGN KEY (program) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT models_graph_fkey FOREIGN KEY (graph) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT models_constants_fkey FOREIGN KEY (constants) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT models_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX models_program_loss_idx ON models (program, loss) WHERE state = 'ready'
    """,
    """
    CREATE INDEX models_project_id_idx ON models (project, id)
    """,
    """
    CREATE INDEX models_tags_idx ON models USING gin (tags)
    """,
    """
    CREATE TABLE datasets (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        split TEXT,
        object TEXT NOT NULL,
        samples BIGINT NOT NULL,
        inputs JSONB NOT NULL,
        targets JSONB NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT datasets_pkey PRIMARY KEY (id),
        CONSTRAINT datasets_samples CHECK (samples > 0),
        CONSTRAINT datasets_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT datasets_object_fkey FOREIGN KEY (object) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT datasets_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX datasets_project_id_idx ON datasets (project, id)
    """,
    """
    CREATE TABLE audit (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        at timestamptz DEFAULT now() NOT NULL,
        key_id TEXT,
        action TEXT NOT NULL,
        entity_id TEXT NOT NULL,
        data JSONB DEFAULT '{}'::jsonb NOT NULL,
        CONSTRAINT audit_pkey PRIMARY KEY (id),
        CONSTRAINT audit_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX audit_entity_id_idx ON audit (entity_id, id)
    """,
    """
    CREATE TABLE checkpoints (
        id TEXT NOT NULL,
        model_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        weights TEXT NOT NULL,
        step BIGINT,
        epoch DOUBLE PRECISION,
        label TEXT,
        metrics JSONB DEFAULT '{}'::jsonb NOT NULL,
        learning_rate DOUBLE PRECISION,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT checkpoints_pkey PRIMARY KEY (id),
        CONSTRAINT checkpoints_model_id_seq_key UNIQUE (model_id, seq),
        CONSTRAINT checkpoints_id_model_id_key UNIQUE (id, model_id),
        CONSTRAINT checkpoints_seq CHECK (seq >= 0),
        CONSTRAINT checkpoints_model_id_fkey FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE RESTRICT,
        CONSTRAINT checkpoints_weights_fkey FOREIGN KEY (weights) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT checkpoints_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE directions (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        model_id TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        spec JSONB NOT NULL,
        spec_digest TEXT NOT NULL,
        object TEXT,
        norm DOUBLE PRECISION,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT directions_pkey PRIMARY KEY (id),
        CONSTRAINT directions_checkpoint_id_model_id_fkey FOREIGN KEY (checkpoint_id, model_id) REFERENCES checkpoints (id, model_id) ON DELETE RESTRICT,
        CONSTRAINT directions_checkpoint_id_spec_digest_key UNIQUE (checkpoint_id, spec_digest),
        CONSTRAINT directions_spec_digest CHECK (spec_digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT directions_materialised_whole CHECK ((object IS NULL) = (norm IS NULL)),
        CONSTRAINT directions_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT directions_object_fkey FOREIGN KEY (object) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT directions_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX directions_project_id_idx ON directions (project, id)
    """,
    """
    CREATE TABLE jobs (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        spec JSONB NOT NULL,
        input_digest TEXT NOT NULL,
        force BOOLEAN DEFAULT false NOT NULL,
        model_id TEXT NOT NULL,
        origin TEXT,
        directions JSONB DEFAULT '{}'::jsonb NOT NULL,
        priority INTEGER DEFAULT 0 NOT NULL,
        phase TEXT NOT NULL,
        cells_total INTEGER,
        cells_done INTEGER DEFAULT 0 NOT NULL,
        attempt INTEGER DEFAULT 1 NOT NULL,
        plan JSONB,
        error JSONB,
        landscape_id TEXT,
        cancel_requested_at timestamptz,
        tags TEXT[] DEFAULT '{}'::text[] NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        started_at timestamptz,
        finished_at timestamptz,
        created_by TEXT,
        CONSTRAINT jobs_pkey PRIMARY KEY (id),
        CONSTRAINT jobs_id_project_key UNIQUE (id, project),
        CONSTRAINT jobs_state CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        CONSTRAINT jobs_phase CHECK (phase IN ('ingest', 'prepare', 'tile', 'finalise')),
        CONSTRAINT jobs_input_digest CHECK (input_digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT jobs_origin_unless_ingest CHECK ((kind = 'ingest') = (origin IS NULL)),
        CONSTRAINT jobs_finished_has_time CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
        CONSTRAINT jobs_started_has_time CHECK (state NOT IN ('running', 'succeeded') OR started_at IS NOT NULL),
        CONSTRAINT jobs_failed_has_error CHECK ((state = 'failed') = (error IS NOT NULL)),
        CONSTRAINT jobs_succeeded_has_landscape CHECK ((state = 'succeeded' AND kind <> 'ingest') = (landscape_id IS NOT NULL)),
        CONSTRAINT jobs_cancelled_was_asked CHECK ((state = 'cancelled') = (cancel_requested_at IS NOT NULL)),
        CONSTRAINT jobs_cells CHECK (cells_done >= 0 AND cells_done <= cells_total),
        CONSTRAINT jobs_attempt CHECK (attempt >= 1),
        CONSTRAINT jobs_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT jobs_model_id_fkey FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE RESTRICT,
        CONSTRAINT jobs_origin_fkey FOREIGN KEY (origin) REFERENCES checkpoints (id) ON DELETE RESTRICT,
        CONSTRAINT jobs_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX jobs_live_idx ON jobs (id) WHERE state IN ('queued', 'running')
    """,
    """
    CREATE INDEX jobs_model_id_idx ON jobs (model_id, id)
    """,
    """
    CREATE INDEX jobs_project_id_idx ON jobs (project, id)
    """,
    """
    CREATE INDEX jobs_project_input_digest_idx ON jobs (project, input_digest)
    """,
    """
    CREATE UNIQUE INDEX jobs_project_input_digest_live_key ON jobs (project, input_digest) WHERE state IN ('queued', 'running') AND NOT force
    """,
    """
    CREATE TABLE units (
        id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        project TEXT NOT NULL,
        kind TEXT NOT NULL,
        seq INTEGER NOT NULL,
        state TEXT NOT NULL,
        start INTEGER,
        stop INTEGER,
        attempt INTEGER DEFAULT 0 NOT NULL,
        deaths INTEGER DEFAULT 0 NOT NULL,
        lease_until timestamptz,
        worker TEXT,
        cells_done INTEGER DEFAULT 0 NOT NULL,
        result TEXT,
        seconds DOUBLE PRECISION,
        problem JSONB,
        ready_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        CONSTRAINT units_pkey PRIMARY KEY (id),
        CONSTRAINT units_job_id_project_fkey FOREIGN KEY (job_id, project) REFERENCES jobs (id, project) ON DELETE RESTRICT,
        CONSTRAINT units_job_id_kind_seq_key UNIQUE (job_id, kind, seq),
        CONSTRAINT units_kind CHECK (kind IN ('ingest', 'prepare', 'tile', 'finalise')),
        CONSTRAINT units_state CHECK (state IN ('blocked', 'ready', 'leased', 'done', 'failed', 'cancelled')),
        CONSTRAINT units_leased_has_lease CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
        CONSTRAINT units_leased_has_worker CHECK (state <> 'leased' OR (worker IS NOT NULL AND attempt > 0)),
        CONSTRAINT units_finished_has_time CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
        CONSTRAINT units_ready_has_time CHECK (state <> 'ready' OR ready_at IS NOT NULL),
        CONSTRAINT units_failed_has_problem CHECK (state <> 'failed' OR problem IS NOT NULL),
        CONSTRAINT units_done_tile_has_result CHECK ((kind = 'tile' AND state = 'done') = (result IS NOT NULL)),
        CONSTRAINT units_tile_has_slice CHECK ((kind = 'tile') = (start IS NOT NULL) AND (kind = 'tile') = (stop IS NOT NULL)),
        CONSTRAINT units_slice CHECK (start >= 0 AND start < stop),
        CONSTRAINT units_cells CHECK (cells_done >= 0 AND cells_done <= coalesce(stop - start, 0)),
        CONSTRAINT units_counts CHECK (attempt >= 0 AND deaths >= 0),
        CONSTRAINT units_result_fkey FOREIGN KEY (result) REFERENCES objects (digest) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX units_finished_tiles_idx ON units (job_id, finished_at) WHERE state = 'done' AND kind = 'tile'
    """,
    """
    CREATE INDEX units_lease_idx ON units (lease_until) WHERE state = 'leased'
    """,
    """
    CREATE INDEX units_leased_job_idx ON units (job_id) WHERE state = 'leased'
    """,
    """
    CREATE INDEX units_leased_project_idx ON units (project) WHERE state = 'leased'
    """,
    """
    CREATE INDEX units_ready_idx ON units (job_id, seq) WHERE state = 'ready'
    """,
    """
    CREATE TABLE job_events (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        job_id TEXT NOT NULL,
        type TEXT NOT NULL,
        data JSONB DEFAULT '{}'::jsonb NOT NULL,
        at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT job_events_pkey PRIMARY KEY (id),
        CONSTRAINT job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX job_events_job_id_id_idx ON job_events (job_id, id)
    """,
    """
    CREATE TABLE idempotency (
        key TEXT NOT NULL,
        api_key_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        job_id TEXT NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT idempotency_pkey PRIMARY KEY (key, api_key_id),
        CONSTRAINT idempotency_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys (id) ON DELETE RESTRICT,
        CONSTRAINT idempotency_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED
    )
    """,
    """
    CREATE TABLE landscapes (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        job_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        model_id TEXT NOT NULL,
        origin TEXT,
        input_digest TEXT NOT NULL,
        data TEXT NOT NULL,
        provenance JSONB NOT NULL,
        derived JSONB NOT NULL,
        spec JSONB NOT NULL,
        title TEXT,
        tags TEXT[] DEFAULT '{}'::text[] NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT landscapes_pkey PRIMARY KEY (id),
        CONSTRAINT landscapes_job_id_project_fkey FOREIGN KEY (job_id, project) REFERENCES jobs (id, project) ON DELETE RESTRICT,
        CONSTRAINT landscapes_input_digest CHECK (input_digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT landscapes_job_id_key UNIQUE (job_id),
        CONSTRAINT landscapes_model_id_fkey FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE RESTRICT,
        CONSTRAINT landscapes_origin_fkey FOREIGN KEY (origin) REFERENCES checkpoints (id) ON DELETE RESTRICT,
        CONSTRAINT landscapes_data_fkey FOREIGN KEY (data) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT landscapes_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX landscapes_datasets_idx ON landscapes USING gin ((spec -> 'datasets'))
    """,
    """
    CREATE INDEX landscapes_model_id_idx ON landscapes (model_id, id)
    """,
    """
    CREATE INDEX landscapes_project_id_idx ON landscapes (project, id)
    """,
    """
    CREATE INDEX landscapes_tags_idx ON landscapes USING gin (tags)
    """,
    """
    CREATE TABLE outbox (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        topic TEXT NOT NULL,
        payload JSONB NOT NULL,
        unit_id TEXT,
        job_id TEXT,
        created_at timestamptz DEFAULT now() NOT NULL,
        not_before timestamptz DEFAULT now() NOT NULL,
        sent_at timestamptz,
        attempts INTEGER DEFAULT 0 NOT NULL,
        CONSTRAINT outbox_pkey PRIMARY KEY (id),
        CONSTRAINT outbox_unit_id_key UNIQUE (unit_id),
        CONSTRAINT outbox_topic CHECK (topic IN ('hint', 'webhook')),
        CONSTRAINT outbox_hint_has_unit CHECK ((topic = 'hint') = (unit_id IS NOT NULL) AND (unit_id IS NULL OR job_id IS NOT NULL)),
        CONSTRAINT outbox_sent_has_time CHECK ((attempts > 0) = (sent_at IS NOT NULL)),
        CONSTRAINT outbox_unit_id_fkey FOREIGN KEY (unit_id) REFERENCES units (id) ON DELETE RESTRICT,
        CONSTRAINT outbox_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX outbox_hints_job_idx ON outbox (job_id) WHERE topic = 'hint'
    """,
    """
    CREATE INDEX outbox_unsent_idx ON outbox (not_before) WHERE sent_at IS NULL
    """,
    """
    ALTER TABLE jobs ADD CONSTRAINT jobs_landscape_id_fkey FOREIGN KEY (landscape_id) REFERENCES landscapes (id) ON DELETE RESTRICT
    """,
)

# state -> the states that may follow it
MODEL_TRANSITIONS = {
    "checked": ("ready", "refused"),
    "ready": (),
    "refused": (),
}
JOB_TRANSITIONS = {
    "queued": ("running", "failed", "cancelled"),
    "running": ("succeeded", "failed", "cancelled"),
    "succeeded": (),
    "failed": ("queued",),
    "cancelled": ("queued",),
}
UNIT_TRANSITIONS = {
    "blocked": ("ready", "cancelled", "failed"),
    "ready": ("leased", "cancelled", "failed"),
    "leased": ("done", "ready", "failed", "cancelled"),
    "done": (),
    "failed": ("ready", "blocked"),
    "cancelled": ("ready", "blocked"),
}


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    _guard("models", MODEL_TRANSITIONS)
    _guard("jobs", JOB_TRANSITIONS)
    _guard("units", UNIT_TRANSITIONS)
    op.execute(
        """
        CREATE FUNCTION landscapes_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'landscape % is immutable', OLD.id USING ERRCODE = 'check_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER landscapes_are_immutable BEFORE UPDATE OR DELETE ON landscapes
        FOR EACH ROW EXECUTE FUNCTION landscapes_are_immutable()
        """
    )


def _guard(table: str, transitions: dict[str, tuple[str, ...]]) -> None:
    """Refuses every change of `table.state` that the transitions lack."""
    allowed = " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(repr(a) for a in after)}))"
        for before, after in transitions.items()
        if after
    )
    op.execute(
        f"""
        CREATE FUNCTION {table}_transition() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT ({allowed}) THEN
                RAISE EXCEPTION '{table} %: no way from % to %', OLD.id, OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = '{table}_transition';
            END IF;
            RETURN NEW;
        END $$
        """  # noqa: S608 (the literals above)
    )
    op.execute(
        f"""
        CREATE TRIGGER {table}_transition BEFORE UPDATE OF state ON {table}
        FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
        EXECUTE FUNCTION {table}_transition()
        """
    )
