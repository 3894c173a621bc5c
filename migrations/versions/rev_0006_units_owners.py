"""Whose fault it was: of a unit's failed attempts the child's (deaths) or the machine's (losses); and
which objects are in quarantine.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE units ADD COLUMN losses INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE units ADD COLUMN shunned TEXT",
    "ALTER TABLE units DROP CONSTRAINT units_counts",
    "ALTER TABLE units ADD CONSTRAINT units_counts"
    " CHECK (attempt >= 0 AND deaths >= 0 AND losses >= 0)",
    "ALTER TABLE objects ADD COLUMN damaged_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE objects ADD COLUMN damage TEXT",
    "ALTER TABLE objects ADD CONSTRAINT objects_damage"
    " CHECK ((damaged_at IS NULL) = (damage IS NULL))",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
