"""The first tables: messages, orders, stock, what waits, the catalog, access and the outbox.

This file says what was made then; it does not read `store.tables`, which goes on.
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from store.migrations.columns import big, blob, flag, number, partial_index, text, uuid

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table on an empty database, and give the database its name."""
    _messages()
    _orders()
    _stock()
    _gate()
    _waiting()
    _money_and_exceptions()
    _catalog()
    _access()
    _outbox()
    _relay()
    _instance()


def _messages() -> None:
    op.create_table(
        "inbox",
        text("source"),
        text("key"),
        uuid("id"),
        text("topic"),
        blob("fingerprint"),
        blob("headers"),
        blob("body"),
        big("received_us"),
        text("outcome"),
        text("reason"),
        uuid("order_id", nullable=True),
        blob("answer", nullable=True),
        sa.PrimaryKeyConstraint("source", "key", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received", "inbox", ["received_us"])
    op.create_index("ix_inbox_order", "inbox", ["order_id"])


def _orders() -> None:
    op.create_table(
        "orders",
        uuid("id"),
        text("source"),
        text("external_id"),
        text("market"),
        text("state"),
        flag("undecided"),
        big("placed_us"),
        big("updated_us"),
        number("lock"),
        blob("document"),
        blob("history"),
        blob("plan", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("source", "external_id", name="uq_orders_source_external_id"),
    )
    op.create_index("ix_orders_state", "orders", ["state", "placed_us"])
    partial_index(
        "ix_orders_undecided",
        "orders",
        ["placed_us"],
        sqlite="undecided IS 1",
        postgresql="undecided IS true",
    )
    op.create_table(
        "fulfilments",
        uuid("id"),
        uuid("order_id"),
        text("location"),
        text("state"),
        flag("open"),
        big("updated_us"),
        number("lock"),
        blob("document"),
        sa.PrimaryKeyConstraint("id", name="pk_fulfilments"),
    )
    op.create_index("ix_fulfilments_order_id", "fulfilments", ["order_id"])
    partial_index(
        "ix_fulfilments_open",
        "fulfilments",
        ["location"],
        sqlite="open IS 1",
        postgresql="open IS true",
    )


def _stock() -> None:
    op.create_table(
        "stock_levels",
        text("sku"),
        text("location"),
        text("market"),
        big("on_hand"),
        big("unavailable"),
        big("safety"),
        big("held"),
        big("allocated"),
        big("incoming"),
        big("counted_version"),
        sa.PrimaryKeyConstraint("sku", "location", name="pk_stock_levels"),
    )
    op.create_table(
        "stock_movements",
        uuid("operation_id"),
        text("kind"),
        text("market"),
        uuid("order_id", nullable=True),
        big("at_us"),
        blob("lines"),
        text("reason"),
        sa.PrimaryKeyConstraint("operation_id", name="pk_stock_movements"),
    )
    op.create_index("ix_movements_order", "stock_movements", ["order_id"])
    op.create_table(
        "commitments",
        text("source"),
        text("sku"),
        text("location"),
        big("quantity"),
        sa.PrimaryKeyConstraint("source", "sku", "location", name="pk_commitments"),
    )


def _gate() -> None:
    op.create_table(
        "holds",
        uuid("id"),
        text("market"),
        text("state"),
        big("expires_us"),
        number("lock"),
        blob("document"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
    )
    partial_index("ix_holds_expiry", "holds", ["expires_us"], sqlite="state = 'held'")
    op.create_table(
        "gates",
        text("market"),
        uuid("epoch"),
        flag("open"),
        big("changed_us"),
        sa.PrimaryKeyConstraint("market", name="pk_gates"),
    )


def _waiting() -> None:
    op.create_table(
        "parked",
        uuid("id"),
        text("parent_source"),
        text("parent_ref"),
        text("message_source"),
        text("message_key"),
        big("parked_us"),
        big("deadline_us"),
        flag("overdue"),
        blob("command"),
        sa.PrimaryKeyConstraint("id", name="pk_parked"),
    )
    op.create_index("ix_parked_deadline_us", "parked", ["deadline_us"])
    op.create_index("ix_parked_parent", "parked", ["parent_source", "parent_ref"])
    op.create_table(
        "fetches",
        uuid("id"),
        text("source"),
        text("order_ref"),
        big("version"),
        number("attempts"),
        big("due_us"),
        text("reason"),
        sa.PrimaryKeyConstraint("id", name="pk_fetches"),
    )
    op.create_index("ix_fetches_due_us", "fetches", ["due_us"])


def _money_and_exceptions() -> None:
    op.create_table(
        "payments",
        text("source"),
        text("payment_ref"),
        uuid("order_id"),
        sa.PrimaryKeyConstraint("source", "payment_ref", name="pk_payments"),
    )
    op.create_table(
        "exceptions",
        uuid("id"),
        text("code"),
        text("subject"),
        uuid("order_id", nullable=True),
        sa.Column("location", sa.String),
        text("state"),
        big("opened_us"),
        number("lock"),
        blob("document"),
        sa.PrimaryKeyConstraint("id", name="pk_exceptions"),
    )
    op.create_index("ix_exceptions_order_id", "exceptions", ["order_id"])
    partial_index(
        "ix_exceptions_open", "exceptions", ["subject", "code"], sqlite="state != 'resolved'"
    )


def _catalog() -> None:
    op.create_table(
        "catalog_items",
        text("sku"),
        blob("document"),
        sa.PrimaryKeyConstraint("sku", name="pk_catalog_items"),
    )
    op.create_table(
        "catalog_externals",
        text("source"),
        text("external_id"),
        text("sku"),
        sa.PrimaryKeyConstraint("source", "external_id", name="pk_catalog_externals"),
    )
    op.create_index("ix_catalog_externals_sku", "catalog_externals", ["sku"])


def _access() -> None:
    op.create_table(
        "tokens",
        uuid("id"),
        blob("digest"),
        text("scopes"),
        text("note"),
        big("created_us"),
        sa.Column("revoked_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )


def _outbox() -> None:
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outbox",
        sa.Column("position", position, autoincrement=True, nullable=False),
        uuid("id"),
        number("partition"),
        text("subject"),
        text("type"),
        text("ordering_key"),
        big("version"),
        big("at_us"),
        blob("data"),
        sa.Column("traceparent", sa.String, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("position", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox_pending",
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name="pk_outbox_pending"),
        sqlite_with_rowid=False,
    )


def _relay() -> None:
    op.create_table(
        "relay_partition",
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        uuid("owner"),
        big("epoch"),
        big("expires_us"),
        big("marker_sequence"),
        sa.Column("batch_id", sa.String(48)),
        sa.Column("positions", sa.String),
        sa.PrimaryKeyConstraint("partition", name="pk_relay_partition"),
    )
    op.create_table(
        "relay_member",
        uuid("owner"),
        big("expires_us"),
        sa.PrimaryKeyConstraint("owner", name="pk_relay_member"),
    )


def _instance() -> None:
    table = op.create_table(
        "instance",
        number("id"),
        uuid("incarnation"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
    )
    op.bulk_insert(table, [{"id": 1, "incarnation": str(uuid4())}])
