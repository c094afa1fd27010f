"""One-time tickets for streams."""

import sqlalchemy as sa
from alembic import op

from store.migrations.columns import big

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table; nobody has a ticket yet."""
    op.create_table(
        "tickets",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("token_id", sa.String(36), nullable=False),
        big("expires_us"),
    )
    op.create_index("ix_tickets_expires_us", "tickets", ["expires_us"])
