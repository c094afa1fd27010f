"""What was published of stock: versions of levels, and the availability last told of each SKU.

This file says what was made then; it does not read `store.tables`, which goes on.
"""

import sqlalchemy as sa
from alembic import op

from store.migrations.columns import big, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables; no level has been published by then, so they begin empty."""
    op.create_table(
        "stock_versions",
        text("sku"),
        text("location"),
        big("version"),
        sa.PrimaryKeyConstraint("sku", "location", name="pk_stock_versions"),
    )
    op.create_table(
        "availability",
        text("sku"),
        text("market"),
        big("version"),
        big("published_us"),
        text("units"),
        sa.PrimaryKeyConstraint("sku", "market", name="pk_availability"),
    )
