"""Search and editing for the catalog: notes, the history of edits, counts of facets, indexes.

A migration is literal: it says what was true when it was written, whatever the code says later.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Measures that lists are sorted by.
SORTED = ("barrier", "basin_width", "center_loss", "lambda_max", "minimum", "roughness", "sharpness")

COLUMNS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "ALTER TABLE landscapes ADD COLUMN note TEXT, ADD COLUMN search TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE models ADD COLUMN note TEXT",
)

TABLES = (
    """
    CREATE TABLE edits (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        at timestamptz DEFAULT now() NOT NULL,
        key_id TEXT,
        project TEXT NOT NULL,
        entity_id TEXT NOT NULL,
        field TEXT NOT NULL,
        before JSONB,
        after JSONB,
        CONSTRAINT edits_pkey PRIMARY KEY (id),
        CONSTRAINT edits_field CHECK (field IN ('tags', 'note')),
        CONSTRAINT edits_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE RESTRICT,
        CONSTRAINT edits_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT
    )
    """,
    "CREATE INDEX edits_entity_id_idx ON edits (entity_id, id)",
    """
    CREATE TABLE landscape_facets (
        project TEXT NOT NULL,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        landscapes BIGINT NOT NULL,
        CONSTRAINT landscape_facets_pkey PRIMARY KEY (project, field, value),
        CONSTRAINT landscape_facets_field CHECK (field IN ('kind', 'model', 'tag', 'dataset', 'author')),
        CONSTRAINT landscape_facets_landscapes CHECK (landscapes >= 0),
        CONSTRAINT landscape_facets_project_fkey FOREIGN KEY (project) REFERENCES projects (name) ON DELETE RESTRICT
    )
    """,
)

#: Results never change; what people say of them may.
IMMUTABLE = """
    CREATE OR REPLACE FUNCTION landscapes_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND (
            NEW.id, NEW.project, NEW.job_id, NEW.kind, NEW.model_id, NEW.origin, NEW.input_digest,
            NEW.data, NEW.provenance, NEW.derived, NEW.spec, NEW.title, NEW.created_at, NEW.created_by
        ) IS NOT DISTINCT FROM (
            OLD.id, OLD.project, OLD.job_id, OLD.kind, OLD.model_id, OLD.origin, OLD.input_digest,
            OLD.data, OLD.provenance, OLD.derived, OLD.spec, OLD.title, OLD.created_at, OLD.created_by
        ) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'landscape % is immutable, but for tags and note', OLD.id
            USING ERRCODE = 'check_violation';
    END $$
"""

SEARCH = """
    CREATE FUNCTION landscape_search() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.search := lower(concat_ws(
            E'\\n', NEW.title, (SELECT name FROM models WHERE id = NEW.model_id),
            array_to_string(NEW.tags, E'\\n'), NEW.note
        ));
        RETURN NEW;
    END $$
"""

#: The values that a landscape is counted under.
VALUES = """
    CREATE FUNCTION landscape_facet_values(
        kind text, model_id text, created_by text, tags text[], datasets jsonb
    ) RETURNS TABLE (field text, value text) LANGUAGE sql IMMUTABLE AS $$
        SELECT 'kind', kind
        UNION ALL SELECT 'model', model_id
        UNION ALL SELECT 'author', created_by WHERE created_by IS NOT NULL
        UNION ALL SELECT 'tag', tag FROM (SELECT DISTINCT unnest(tags) AS tag) tagged
        UNION ALL SELECT 'dataset', d FROM (
            SELECT DISTINCT jsonb_array_elements_text(datasets) AS d
            WHERE jsonb_typeof(datasets) = 'array') named
    $$
"""

#: In one order always, so that two of them never wait for each other.
COUNT = """
    INSERT INTO landscape_facets (project, field, value, landscapes)
    SELECT l.project, f.field, f.value, count(*) AS landscapes
    FROM {rows} l, landscape_facet_values(l.kind, l.model_id, l.created_by, l.tags, l.spec -> 'datasets') f
    GROUP BY l.project, f.field, f.value ORDER BY l.project, f.field, f.value
    ON CONFLICT (project, field, value)
    DO UPDATE SET landscapes = landscape_facets.landscapes + EXCLUDED.landscapes
"""

COUNTING = (
    f"""
    CREATE FUNCTION landscapes_added() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {COUNT.format(rows="added")};
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION landscape_tagged() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO landscape_facets (project, field, value, landscapes)
        SELECT NEW.project, 'tag', tag, 0 FROM (SELECT DISTINCT unnest(NEW.tags) AS tag) tagged
        ORDER BY tag ON CONFLICT DO NOTHING;
        UPDATE landscape_facets held SET landscapes = held.landscapes
            + (held.value = ANY (NEW.tags))::int - (held.value = ANY (OLD.tags))::int
        WHERE held.project = NEW.project AND held.field = 'tag'
            AND held.value = ANY (NEW.tags || OLD.tags)
            AND (held.value = ANY (NEW.tags)) <> (held.value = ANY (OLD.tags));
        RETURN NULL;
    END $$
    """,
)

TRIGGERS = (
    "CREATE TRIGGER landscapes_search BEFORE INSERT OR UPDATE ON landscapes"
    " FOR EACH ROW EXECUTE FUNCTION landscape_search()",
    "CREATE TRIGGER landscapes_added AFTER INSERT ON landscapes REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION landscapes_added()",
    "CREATE TRIGGER landscapes_tagged AFTER UPDATE OF tags ON landscapes FOR EACH ROW"
    " WHEN (OLD.tags IS DISTINCT FROM NEW.tags) EXECUTE FUNCTION landscape_tagged()",
)

INDEXES = (
    "CREATE INDEX landscapes_search_idx ON landscapes USING gin (search gin_trgm_ops)",
    "CREATE INDEX landscapes_kind_id_idx ON landscapes (kind, id)",
    "CREATE INDEX landscapes_created_by_id_idx ON landscapes (created_by, id)",
    *(
        f"CREATE INDEX landscapes_{name}_idx ON landscapes"
        f" ((((derived -> '{name}') ->> 'value')::double precision), id)"
        f" WHERE jsonb_typeof((derived -> '{name}') -> 'value') = 'number'"
        for name in SORTED
    ),
)


def upgrade() -> None:
    for statement in (*COLUMNS, *TABLES, IMMUTABLE, SEARCH, VALUES, *COUNTING, *TRIGGERS):
        op.execute(statement)
    # those that are there already are found too
    op.execute("UPDATE landscapes SET note = note")
    op.execute(COUNT.format(rows="landscapes"))
    for statement in INDEXES:
        op.execute(statement)

