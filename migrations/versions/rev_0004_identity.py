"""People and their sessions, the CI systems that are trusted, and links to single figures.

A person is a key without a secret: whoever did something is then one reference everywhere.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE projects ADD COLUMN sharing BOOLEAN DEFAULT false NOT NULL",
    """
    CREATE TABLE people (
        id TEXT NOT NULL,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        email TEXT,
        key_id TEXT NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        signed_in_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT people_pkey PRIMARY KEY (id),
        CONSTRAINT people_issuer_subject_key UNIQUE (issuer, subject),
        CONSTRAINT people_key_id_key UNIQUE (key_id),
        CONSTRAINT people_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    """
    CREATE TABLE sessions (
        id TEXT NOT NULL,
        secret_hash BYTEA NOT NULL,
        key_id TEXT NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        last_seen_at timestamptz DEFAULT now() NOT NULL,
        idle_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT sessions_pkey PRIMARY KEY (id),
        CONSTRAINT sessions_secret_hash_key UNIQUE (secret_hash),
        CONSTRAINT sessions_secret_hash CHECK (octet_length(secret_hash) = 32),
        CONSTRAINT sessions_idle CHECK (idle_until <= expires_at),
        CONSTRAINT sessions_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    "CREATE INDEX sessions_key_id_idx ON sessions (key_id)",
    "CREATE INDEX sessions_idle_until_idx ON sessions (idle_until)",
    """
    CREATE TABLE trusts (
        id TEXT NOT NULL,
        issuer TEXT NOT NULL,
        audience TEXT NOT NULL,
        project TEXT NOT NULL,
        role TEXT NOT NULL,
        claims JSONB NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        revoked_at timestamptz,
        CONSTRAINT trusts_pkey PRIMARY KEY (id),
        CONSTRAINT trusts_role CHECK (role IN ('reader', 'submitter')),
        CONSTRAINT trusts_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT trusts_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    "CREATE INDEX trusts_issuer_live_idx ON trusts (issuer) WHERE revoked_at IS NULL",
    "ALTER TABLE api_keys ADD COLUMN trust_id TEXT",
    """
    ALTER TABLE api_keys ADD CONSTRAINT api_keys_trust_id_fkey
        FOREIGN KEY (trust_id) REFERENCES trusts (id) ON DELETE RESTRICT
    """,
    "CREATE INDEX api_keys_trust_id_idx ON api_keys (trust_id) WHERE trust_id IS NOT NULL",
    """
    CREATE TABLE spent_tokens (
        issuer TEXT NOT NULL,
        jti TEXT NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT spent_tokens_pkey PRIMARY KEY (issuer, jti)
    )
    """,
    "CREATE INDEX spent_tokens_expires_at_idx ON spent_tokens (expires_at)",
    """
    CREATE TABLE shares (
        id TEXT NOT NULL,
        secret_hash BYTEA NOT NULL,
        landscape_id TEXT NOT NULL,
        project TEXT NOT NULL,
        options JSONB DEFAULT '{}'::jsonb NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        created_by TEXT,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        CONSTRAINT shares_pkey PRIMARY KEY (id),
        CONSTRAINT shares_secret_hash_key UNIQUE (secret_hash),
        CONSTRAINT shares_secret_hash CHECK (octet_length(secret_hash) = 32),
        CONSTRAINT shares_landscape_id_fkey FOREIGN KEY (landscape_id) REFERENCES landscapes (id) ON DELETE RESTRICT,
        CONSTRAINT shares_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT,
        CONSTRAINT shares_created_by_fkey FOREIGN KEY (created_by) REFERENCES api_keys (id) ON DELETE RESTRICT
    )
    """,
    "CREATE INDEX shares_project_id_idx ON shares (project, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
