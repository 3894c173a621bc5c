"""How a model's loss is taken, where that is not the default: what a mean is over."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE models ADD COLUMN loss_options JSONB DEFAULT '{}'::jsonb NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
