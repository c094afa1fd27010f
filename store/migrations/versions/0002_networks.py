"""The networks that plans were made on: a plan is explained on the one that it was made on."""

import sqlalchemy as sa
from alembic import op

from store.migrations.columns import blob, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "networks",
        text("digest"),
        blob("document"),
        sa.PrimaryKeyConstraint("digest", name="pk_networks"),
    )
