"""The first tables: messages, orders, stock, what waits, the catalog, access and the outbox.

This file says what was made then; it does not read `store.tables`, which goes on.
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

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
        _text("source"),
        _text("key"),
        _id("id"),
        _text("topic"),
        _bytes("fingerprint"),
        _bytes("headers"),
        _bytes("body"),
        _big("received_us"),
        _text("outcome"),
        _text("reason"),
        _id("order_id", nullable=True),
        _bytes("answer", nullable=True),
        sa.PrimaryKeyConstraint("source", "key", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received", "inbox", ["received_us"])
    op.create_index("ix_inbox_order", "inbox", ["order_id"])


def _orders() -> None:
    op.create_table(
        "orders",
        _id("id"),
        _text("source"),
        _text("external_id"),
        _text("market"),
        _text("state"),
        _flag("undecided"),
        _big("placed_us"),
        _big("updated_us"),
        _number("lock"),
        _bytes("document"),
        _bytes("history"),
        _bytes("plan", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("source", "external_id", name="uq_orders_source_external_id"),
    )
    op.create_index("ix_orders_state", "orders", ["state", "placed_us"])
    _partial_index(
        "ix_orders_undecided",
        "orders",
        ["placed_us"],
        sqlite="undecided IS 1",
        postgresql="undecided IS true",
    )
    op.create_table(
        "fulfilments",
        _id("id"),
        _id("order_id"),
        _text("location"),
        _text("state"),
        _flag("open"),
        _big("updated_us"),
        _number("lock"),
        _bytes("document"),
        sa.PrimaryKeyConstraint("id", name="pk_fulfilments"),
    )
    op.create_index("ix_fulfilments_order_id", "fulfilments", ["order_id"])
    _partial_index(
        "ix_fulfilments_open",
        "fulfilments",
        ["location"],
        sqlite="open IS 1",
        postgresql="open IS true",
    )


def _stock() -> None:
    op.create_table(
        "stock_levels",
        _text("sku"),
        _text("location"),
        _text("market"),
        _big("on_hand"),
        _big("unavailable"),
        _big("safety"),
        _big("held"),
        _big("allocated"),
        _big("incoming"),
        _big("counted_version"),
        sa.PrimaryKeyConstraint("sku", "location", name="pk_stock_levels"),
    )
    op.create_table(
        "stock_movements",
        _id("operation_id"),
        _text("kind"),
        _text("market"),
        _id("order_id", nullable=True),
        _big("at_us"),
        _bytes("lines"),
        _text("reason"),
        sa.PrimaryKeyConstraint("operation_id", name="pk_stock_movements"),
    )
    op.create_index("ix_movements_order", "stock_movements", ["order_id"])
    op.create_table(
        "commitments",
        _text("source"),
        _text("sku"),
        _text("location"),
        _big("quantity"),
        sa.PrimaryKeyConstraint("source", "sku", "location", name="pk_commitments"),
    )


def _gate() -> None:
    op.create_table(
        "holds",
        _id("id"),
        _text("market"),
        _text("state"),
        _big("expires_us"),
        _number("lock"),
        _bytes("document"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
    )
    _partial_index("ix_holds_expiry", "holds", ["expires_us"], sqlite="state = 'held'")
    op.create_table(
        "gates",
        _text("market"),
        _id("epoch"),
        _flag("open"),
        _big("changed_us"),
        sa.PrimaryKeyConstraint("market", name="pk_gates"),
    )


def _waiting() -> None:
    op.create_table(
        "parked",
        _id("id"),
        _text("parent_source"),
        _text("parent_ref"),
        _text("message_source"),
        _text("message_key"),
        _big("parked_us"),
        _big("deadline_us"),
        _flag("overdue"),
        _bytes("command"),
        sa.PrimaryKeyConstraint("id", name="pk_parked"),
    )
    op.create_index("ix_parked_deadline_us", "parked", ["deadline_us"])
    op.create_index("ix_parked_parent", "parked", ["parent_source", "parent_ref"])
    op.create_table(
        "fetches",
        _id("id"),
        _text("source"),
        _text("order_ref"),
        _big("version"),
        _number("attempts"),
        _big("due_us"),
        _text("reason"),
        sa.PrimaryKeyConstraint("id", name="pk_fetches"),
    )
    op.create_index("ix_fetches_due_us", "fetches", ["due_us"])


def _money_and_exceptions() -> None:
    op.create_table(
        "payments",
        _text("source"),
        _text("payment_ref"),
        _id("order_id"),
        sa.PrimaryKeyConstraint("source", "payment_ref", name="pk_payments"),
    )
    op.create_table(
        "exceptions",
        _id("id"),
        _text("code"),
        _text("subject"),
        _id("order_id", nullable=True),
        sa.Column("location", sa.String),
        _text("state"),
        _big("opened_us"),
        _number("lock"),
        _bytes("document"),
        sa.PrimaryKeyConstraint("id", name="pk_exceptions"),
    )
    op.create_index("ix_exceptions_order_id", "exceptions", ["order_id"])
    _partial_index(
        "ix_exceptions_open", "exceptions", ["subject", "code"], sqlite="state != 'resolved'"
    )


def _catalog() -> None:
    op.create_table(
        "catalog_items",
        _text("sku"),
        _bytes("document"),
        sa.PrimaryKeyConstraint("sku", name="pk_catalog_items"),
    )
    op.create_table(
        "catalog_externals",
        _text("source"),
        _text("external_id"),
        _text("sku"),
        sa.PrimaryKeyConstraint("source", "external_id", name="pk_catalog_externals"),
    )
    op.create_index("ix_catalog_externals_sku", "catalog_externals", ["sku"])


def _access() -> None:
    op.create_table(
        "tokens",
        _id("id"),
        _bytes("digest"),
        _text("scopes"),
        _text("note"),
        _big("created_us"),
        sa.Column("revoked_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )


def _outbox() -> None:
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outbox",
        sa.Column("position", position, autoincrement=True, nullable=False),
        _id("id"),
        _number("partition"),
        _text("subject"),
        _text("type"),
        _text("ordering_key"),
        _big("version"),
        _big("at_us"),
        _bytes("data"),
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
        _id("owner"),
        _big("epoch"),
        _big("expires_us"),
        _big("marker_sequence"),
        sa.Column("batch_id", sa.String(48)),
        sa.Column("positions", sa.String),
        sa.PrimaryKeyConstraint("partition", name="pk_relay_partition"),
    )
    op.create_table(
        "relay_member",
        _id("owner"),
        _big("expires_us"),
        sa.PrimaryKeyConstraint("owner", name="pk_relay_member"),
    )


def _instance() -> None:
    table = op.create_table(
        "instance",
        _number("id"),
        _id("incarnation"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
    )
    op.bulk_insert(table, [{"id": 1, "incarnation": str(uuid4())}])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False)


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(36), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def _partial_index(
    name: str, table: str, columns: list[str], *, sqlite: str, postgresql: str | None = None
) -> None:
    op.create_index(
        name,
        table,
        columns,
        sqlite_where=sa.text(sqlite),
        postgresql_where=sa.text(postgresql or sqlite),
    )
