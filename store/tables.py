"""The tables; what is queried stands in columns, the rest of a record in one JSON document.

Times are microseconds since the epoch. `version` counts published events of an entity; `lock` is
the optimistic lock and rises with every write.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from outbox.table import metadata

inbox = Table(
    "inbox",
    metadata,
    Column("source", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("id", String(36), nullable=False),
    Column("topic", String, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("order_id", String(36)),
    Column("answer", LargeBinary),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("source", String, nullable=False),
    Column("external_id", String, nullable=False),
    Column("market", String, nullable=False),
    Column("state", String, nullable=False),
    Column("undecided", Boolean, nullable=False),
    Column("placed_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("lock", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("history", LargeBinary, nullable=False),
    Column("plan", LargeBinary),
    UniqueConstraint("source", "external_id"),
)

fulfilments = Table(
    "fulfilments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("order_id", String(36), nullable=False, index=True),
    Column("location", String, nullable=False),
    Column("state", String, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("lock", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

stock_levels = Table(
    "stock_levels",
    metadata,
    Column("sku", String, primary_key=True),
    Column("location", String, primary_key=True),
    Column("market", String, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("unavailable", BigInteger, nullable=False),
    Column("safety", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("allocated", BigInteger, nullable=False),
    Column("incoming", BigInteger, nullable=False),
    Column("counted_version", BigInteger, nullable=False),
)

# How many events were published about a level. Apart from it: the rows that every order writes stay
# as they are, and most levels never have one.
stock_versions = Table(
    "stock_versions",
    metadata,
    Column("sku", String, primary_key=True),
    Column("location", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# What was last published about a SKU's availability in a market; `units` is JSON by location.
availability = Table(
    "availability",
    metadata,
    Column("sku", String, primary_key=True),
    Column("market", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("published_us", BigInteger, nullable=False),
    Column("units", String, nullable=False),
)

stock_movements = Table(
    "stock_movements",
    metadata,
    Column("operation_id", String(36), primary_key=True),
    Column("kind", String, nullable=False),
    Column("market", String, nullable=False),
    Column("order_id", String(36)),
    Column("at_us", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),
    Column("reason", String, nullable=False),
)

commitments = Table(
    "commitments",
    metadata,
    Column("source", String, primary_key=True),
    Column("sku", String, primary_key=True),
    Column("location", String, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("market", String, nullable=False),
    Column("state", String, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("lock", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

gates = Table(
    "gates",
    metadata,
    Column("market", String, primary_key=True),
    Column("epoch", String(36), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("parent_source", String, nullable=False),
    Column("parent_ref", String, nullable=False),
    Column("message_source", String, nullable=False),
    Column("message_key", String, nullable=False),
    Column("parked_us", BigInteger, nullable=False),
    Column("deadline_us", BigInteger, nullable=False, index=True),
    Column("overdue", Boolean, nullable=False),
    Column("command", LargeBinary, nullable=False),
)
Index("ix_parked_parent", parked.c.parent_source, parked.c.parent_ref)

fetches = Table(
    "fetches",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("source", String, nullable=False),
    Column("order_ref", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_us", BigInteger, nullable=False, index=True),
    Column("reason", String, nullable=False),
)

exceptions = Table(
    "exceptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("code", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("order_id", String(36), index=True),
    Column("location", String),
    Column("state", String, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("lock", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("source", String, primary_key=True),
    Column("payment_ref", String, primary_key=True),
    Column("order_id", String(36), nullable=False),
)

catalog_items = Table(
    "catalog_items",
    metadata,
    Column("sku", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

catalog_externals = Table(
    "catalog_externals",
    metadata,
    Column("source", String, primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("sku", String, nullable=False, index=True),
)

# A market with its locations as plans were made on it, by the digest that the plans hold.
networks = Table(
    "networks",
    metadata,
    Column("digest", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", String, nullable=False),
    Column("note", String, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("token_id", String(36), nullable=False),
    Column("expires_us", BigInteger, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("token_id", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incarnation", String(36), nullable=False),
)


def _partial(name: str, where: ColumnElement[bool], *columns: Column[object]) -> None:
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


_partial("ix_orders_undecided", orders.c.undecided.is_(True), orders.c.placed_us)
_partial("ix_fulfilments_open", fulfilments.c.open.is_(True), fulfilments.c.location)
_partial("ix_holds_expiry", holds.c.state == "held", holds.c.expires_us)
_partial(
    "ix_exceptions_open", exceptions.c.state != "resolved", exceptions.c.subject, exceptions.c.code
)
Index("ix_orders_state", orders.c.state, orders.c.placed_us)
Index("ix_inbox_received", inbox.c.received_us)
Index("ix_inbox_order", inbox.c.order_id)
Index("ix_movements_order", stock_movements.c.order_id)
