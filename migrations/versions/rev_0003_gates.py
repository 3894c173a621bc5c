"""Aliases that keys with the right to do so move, with every move on record; and checks."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    """
    ALTER TABLE api_keys ADD COLUMN can_promote BOOLEAN DEFAULT false NOT NULL
    """,
    """
    ALTER TABLE api_keys ADD CONSTRAINT api_keys_promoters_submit CHECK (NOT can_promote OR role <> 'reader')
    """,
    """
    CREATE TABLE aliases (
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        model_id TEXT,
        checkpoint_id TEXT,
        landscape_id TEXT,
        revision INTEGER NOT NULL,
        note TEXT,
        moved_at timestamptz DEFAULT now() NOT NULL,
        moved_by TEXT,
        CONSTRAINT aliases_pkey PRIMARY KEY (project, name),
        CONSTRAINT aliases_one_target CHECK (num_nonnulls(model_id, checkpoint_id, landscape_id) = 1),
        CONSTRAINT aliases_revision CHECK (revision > 0),
        CONSTRAINT aliases_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT aliases_model_id_fkey FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE RESTRICT,
        CONSTRAINT aliases_checkpoint_id_fkey FOREIGN KEY (checkpoint_id) REFERENCES checkpoints (id) ON DELETE RESTRICT,
        CONSTRAINT aliases_landscape_id_fkey FOREIGN KEY (landscape_id) REFERENCES landscapes (id) ON DELETE RESTRICT,
        CONSTRAINT aliases_moved_by_fkey FOREIGN KEY (moved_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE alias_moves (
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        from_target TEXT,
        to_target TEXT,
        note TEXT,
        at timestamptz DEFAULT now() NOT NULL,
        key_id TEXT,
        CONSTRAINT alias_moves_pkey PRIMARY KEY (project, name, revision),
        CONSTRAINT alias_moves_from_or_to CHECK (num_nonnulls(from_target, to_target) > 0),
        CONSTRAINT alias_moves_revision CHECK (revision > 0),
        CONSTRAINT alias_moves_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT alias_moves_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE checks (
        id TEXT NOT NULL,
        project TEXT NOT NULL,
        landscape_id TEXT NOT NULL,
        data TEXT NOT NULL,
        baseline JSONB,
        baseline_id TEXT,
        standard_errors DOUBLE PRECISION NOT NULL,
        verdict TEXT NOT NULL,
        rules JSONB NOT NULL,
        idempotency_key TEXT,
        request_digest TEXT NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        CONSTRAINT checks_pkey PRIMARY KEY (id),
        CONSTRAINT checks_created_by_idempotency_key_key UNIQUE (created_by, idempotency_key),
        CONSTRAINT checks_verdict CHECK (verdict IN ('pass', 'fail', 'inconclusive')),
        CONSTRAINT checks_standard_errors CHECK (standard_errors >= 0),
        CONSTRAINT checks_baseline CHECK ((baseline IS NULL) = (baseline_id IS NULL)),
        CONSTRAINT checks_request_digest CHECK (request_digest ~ '^sha256:[0-9a-f]{64}$'),
        CONSTRAINT checks_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT checks_landscape_id_fkey FOREIGN KEY (landscape_id) REFERENCES landscapes (id) ON DELETE RESTRICT,
        CONSTRAINT checks_baseline_id_fkey FOREIGN KEY (baseline_id) REFERENCES landscapes (id) ON DELETE RESTRICT,
        CONSTRAINT checks_data_fkey FOREIGN KEY (data) REFERENCES objects (digest) ON DELETE RESTRICT,
        CONSTRAINT checks_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE INDEX checks_landscape_id_idx ON checks (landscape_id, id)
    """,
    """
    CREATE INDEX checks_project_id_idx ON checks (project, id)
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    _kept("checks")
    _kept("alias_moves")


def _kept(table: str) -> None:
    """Refuses every change of a row that is a record of what happened."""
    op.execute(
        f"""
        CREATE FUNCTION {table}_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of {table} are immutable' USING ERRCODE = 'check_violation';
        END $$
        """
    )
    op.execute(
        f"""
        CREATE TRIGGER {table}_are_immutable BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION {table}_are_immutable()
        """
    )
