"""The audit log of what people and programs did by hand."""

import sqlalchemy as sa
from alembic import op

from store.migrations.columns import big, blob, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table; the chain begins with the first entry."""
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        big("at_us"),
        text("actor"),
        text("token_id"),
        text("action"),
        text("subject"),
        text("fingerprint"),
        blob("digest"),
    )
