"""The conventional side's tables: orders, lines, outbox; with the indexes that it reads by."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Table(DeclarativeBase):
    """What all tables share."""


class Order(Table):
    """One order; a source's id is there once."""

    __tablename__ = "shop_orders"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index("ix_shop_orders_state", "state", "placed_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    external_id: Mapped[str]
    number: Mapped[str]
    state: Mapped[str]
    currency: Mapped[str]
    total_minor: Mapped[int] = mapped_column(BigInteger)
    placed_at: Mapped[datetime]
    created_at: Mapped[datetime]
    lines: Mapped[list["Line"]] = relationship(lazy="raise")


class Line(Table):
    """One line of an order."""

    __tablename__ = "shop_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey("shop_orders.id"), primary_key=True)
    line_ref: Mapped[str] = mapped_column(primary_key=True)
    sku: Mapped[str]
    title: Mapped[str]
    quantity: Mapped[int]
    unit_price_minor: Mapped[int] = mapped_column(BigInteger)


class Event(Table):
    """An event that a relay would publish."""

    __tablename__ = "shop_outbox"
    __table_args__ = (Index("ix_shop_outbox_published", "published", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    published: Mapped[bool]
    data: Mapped[bytes]
